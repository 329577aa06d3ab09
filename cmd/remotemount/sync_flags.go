package main

import (
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	remotesync "github.com/remotemount/remotemount/sync"
)

// syncFlags are those of all three directions. They are made anew for each verb:
// the patterns share one list, because their order counts.
func syncFlags() []cli.Flag {
	rules := &patterns{filter: &remotesync.Filter{}}
	size := func(name, usage string) cli.Flag {
		return &cli.GenericFlag{Name: name, Value: new(config.Size), DefaultText: "none", Usage: usage}
	}
	span := func(name, usage string) cli.Flag {
		return &cli.GenericFlag{Name: name, Value: new(config.Duration), DefaultText: "none", Usage: usage}
	}
	return []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "say what would be done, and change nothing"},
		&cli.StringFlag{Name: "compare", DefaultText: "mtime, two-way size", Usage: "files are the same by `size|mtime|hash`"},
		&cli.StringFlag{Name: "links", Value: "safe", Usage: "symbolic links: `safe|copy|skip|follow`; safe makes none here that lead out of LOCAL"},
		&cli.BoolFlag{Name: "owner", Usage: "owner, group and set-id bits too"},
		&cli.StringFlag{Name: "fsync", Value: "auto", Usage: "force copies to the disk: `auto|always|never`"},
		&cli.StringFlag{Name: "verify", Usage: "`read` back what was copied, and compare, before it gets its name"},
		&cli.GenericFlag{Name: "modify-window", Value: new(config.Duration), DefaultText: "what the server keeps, found out", Usage: "times that differ by no more than `TIME` are equal"},
		&cli.StringFlag{Name: "names", Value: "bytes", Usage: "names of the server as they are, or composed as here: `bytes|nfc`"},
		span("settle", "leave alone what changed within the last `TIME`"),
		&cli.GenericFlag{Name: "include", Value: &patternFlag{rules, (*remotesync.Filter).Include}, DefaultText: "all", Usage: "let names through that match `PATTERN`, as ! does in .gitignore; without --exclude only those"},
		&cli.GenericFlag{Name: "exclude", Value: &patternFlag{rules, (*remotesync.Filter).Exclude}, DefaultText: "none", Usage: "leave out names that match `PATTERN` of .gitignore's kind; the last match counts"},
		&cli.GenericFlag{Name: "exclude-from", Value: &patternFlag{rules, excludeFrom}, DefaultText: "none", Usage: "read patterns from `FILE`, one a line"},
		size("min-size", "only files of this `SIZE` or more"),
		size("max-size", "only files of this `SIZE` or less"),
		span("newer", "only files that changed within the last `TIME`"),
		span("older", "only files that did not change within the last `TIME`"),
		size("bwlimit", "move at most `SIZE` bytes a second"),
		span("every", "run again `TIME` after the end of each run"),
		&cli.BoolFlag{Name: "watch", Usage: "run again when something changes locally; the remote is looked at each --every (5m)"},
		&cli.BoolFlag{Name: "one-file-system", Usage: "leave alone what lies on another filesystem than the folder itself"},
		&cli.Int64Flag{Name: "max-errors", DefaultText: "none", Usage: "end the run after `N` errors"},
		&cli.StringFlag{Name: "temp-suffix", DefaultText: ".part", Usage: "names of files being written end in `SUFFIX`"},
		&cli.BoolFlag{Name: "strict", Usage: "what is left alone counts as partly done (exit code 6)"},
		&cli.BoolFlag{Name: "json", Usage: "plan, progress and result for programs, one object a line"},
		&cli.BoolFlag{Name: "verbose", Usage: "name every file that is copied"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "only say what went wrong"},
		&cli.StringFlag{Name: "log-file", Usage: "append what is done to `FILE`"},
	}
}

func oneWayFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "after", Value: "keep", Usage: "`keep|delete` the source of every file that was copied and verified"},
		&cli.BoolFlag{Name: "prune-empty-dirs", Usage: "with --after delete: also folders that became empty"},
		&cli.StringFlag{Name: "trigger-file", Usage: "make the empty file `NAME` in the target last, when all went well"},
		&cli.BoolFlag{Name: "update", Usage: "keep files that are newer on the receiving side"},
	}
}

func syncOptions(c *cli.Context, mode remotesync.Mode) (o remotesync.Options, err error) {
	o = remotesync.Options{
		Mode: mode, Update: c.Bool("update"), Prune: c.Bool("prune-empty-dirs"), Owner: c.Bool("owner"), DryRun: c.Bool("dry-run"),
		Settle: time.Duration(duration(c, "settle")), Newer: time.Duration(duration(c, "newer")), Older: time.Duration(duration(c, "older")),
		ModifyWindow: time.Duration(duration(c, "modify-window")), Strict: c.Bool("strict"), OneFileSystem: c.Bool("one-file-system"),
		MaxErrors: c.Int64("max-errors"), TempSuffix: c.String("temp-suffix"), TriggerFile: c.String("trigger-file"),
		MinSize: sizeOf(c, "min-size"), MaxSize: sizeOf(c, "max-size"), BandwidthLimit: sizeOf(c, "bwlimit"),
	}
	switch names := c.String("names"); names {
	case "bytes":
	case "nfc":
		o.ComposeNames = true
	default:
		return o, usageHint(fmt.Sprintf("%s: --names %q", c.Command.HelpName, names), "bytes or nfc")
	}
	if o.Compare, err = remotesync.ParseCompare(c.String("compare")); err != nil {
		return o, usageError(c.Command.HelpName, err)
	}
	if o.Links, err = remotesync.ParseLinks(c.String("links")); err != nil {
		return o, usageError(c.Command.HelpName, err)
	}
	if o.Fsync, err = remotesync.ParseFsync(c.String("fsync")); err != nil {
		return o, usageError(c.Command.HelpName, err)
	}
	switch verify := c.String("verify"); verify {
	case "read":
		o.VerifyRead = true
	case "":
	default:
		return o, usage("--verify %q: read is all there is", verify)
	}
	switch after := c.String("after"); after {
	case "delete":
		o.Delete = true
	case "keep", "":
	default:
		return o, usage("--after %q: keep or delete", after)
	}
	if p, ok := c.Generic("exclude").(*patternFlag); ok {
		o.Names = p.rules.filter
	}
	if err := o.Validate(); err != nil {
		return o, usageError(c.Command.HelpName, err)
	}
	return o, nil
}

func sizeOf(c *cli.Context, name string) int64 {
	if s, ok := c.Generic(name).(*config.Size); ok && c.IsSet(name) {
		return int64(*s)
	}
	return 0
}

// patterns is the list that --include, --exclude and --exclude-from add to, in
// the order in which they stand.
type patterns struct{ filter *remotesync.Filter }

type patternFlag struct {
	rules *patterns
	add   func(*remotesync.Filter, string) error
}

func (p *patternFlag) Set(text string) error { return p.add(p.rules.filter, text) }
func (p *patternFlag) String() string        { return "" }

func excludeFrom(f *remotesync.Filter, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	if err := f.ExcludeFrom(file); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
