package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/pool"
	remotesync "github.com/remotemount/remotemount/sync"
)

func syncCommand() *cli.Command {
	verb := func(mode remotesync.Mode, usage, arguments string, more ...cli.Flag) *cli.Command {
		flags := append(syncFlags(), more...)
		return &cli.Command{
			Name: mode.String(), Usage: usage,
			UsageText: "remotemount sync " + mode.String() + " [flags] " + arguments,
			Flags:     append(flags, connectionFlags()...),
			Action:    func(c *cli.Context) error { return syncAction(c, mode) },
		}
	}
	return &cli.Command{
		Name:  "sync",
		Usage: "copy a folder, or keep two in step",
		Subcommands: []*cli.Command{
			verb(remotesync.Push, "make the remote folder like the local one", "LOCAL REMOTE", oneWayFlags()...),
			verb(remotesync.Pull, "make the local folder like the remote one", "REMOTE LOCAL", oneWayFlags()...),
			verb(remotesync.TwoWay, "give each folder what the other has, newer versions over older", "LOCAL REMOTE"),
		},
	}
}

// A syncing is one call of the verb.
type syncing struct {
	c       *cli.Context
	options remotesync.Options
	local   string // absolute
	target  target
	every   time.Duration
	watch   bool
}

func syncAction(c *cli.Context, mode remotesync.Mode) error {
	s, err := newSyncing(c, mode)
	if err != nil {
		return err
	}
	outliveReader()
	ctx, stop := untilSignal(c.Context) // the second signal leaves the cleaning up to the next run
	defer stop()
	out, err := newSyncOutput(c, mode)
	if err != nil {
		return err
	}
	return errors.Join(s.run(ctx, out), out.close())
}

// outliveReader lets a run go on when nobody reads what it says any more. A channel does
// it, as a signal that is ignored would be for programs that we start, too.
func outliveReader() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

func newSyncing(c *cli.Context, mode remotesync.Mode) (*syncing, error) {
	names := []string{"LOCAL", "REMOTE"}
	if mode == remotesync.Pull {
		names = []string{"REMOTE", "LOCAL"}
	}
	args, err := arguments(c, names...)
	if err != nil {
		return nil, err
	}
	local, given := args[0], args[1]
	if mode == remotesync.Pull {
		local, given = given, local
	}
	if looksRemote(local) && !looksRemote(given) {
		return nil, syncTurned(c.Command.HelpName, local, given)
	}
	s := &syncing{c: c, every: time.Duration(duration(c, "every")), watch: c.Bool("watch")}
	if s.options, err = syncOptions(c, mode); err != nil {
		return nil, err
	}
	if s.local, err = filepath.Abs(local); err != nil {
		return nil, err
	}
	said, err := connectionFrom(c)
	if err != nil {
		return nil, err
	}
	s.target, err = newTarget(given, said)
	return s, err
}

// syncTurned: which way was meant cannot be known.
func syncTurned(verb, remote, local string) error {
	remote, local = shellQuote(remote), shellQuote(local)
	return usageHint(fmt.Sprintf("%s: %s is the remote, and stands where LOCAL belongs", verb, remote),
		fmt.Sprintf("to copy to the server: remotemount sync push %s %s; from it: remotemount sync pull %[2]s %[1]s", local, remote))
}

func (s *syncing) run(ctx context.Context, out *syncOutput) error {
	if err := s.localFolder(); err != nil {
		return err
	}
	l, err := s.connect(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.repeat(ctx, l, out), l.close(context.WithoutCancel(ctx)))
}

func (s *syncing) repeat(ctx context.Context, l *link, out *syncOutput) error {
	runner, err := s.runner(l, out)
	if err != nil {
		return err
	}
	if s.every == 0 && !s.watch {
		res, err := runner.Run(ctx)
		out.finish()
		return s.outcome(res, err)
	}
	every := s.every
	if every == 0 {
		every = 5 * time.Minute
	}
	return runner.Repeat(ctx, remotesync.Schedule{Every: every, Watch: s.watch, After: func(res *remotesync.Result, err error) error {
		out.finish()
		if err := s.outcome(res, err); err != nil {
			f := explain(err)
			if f.code != exitPartly { // its names were told one by one
				f.print(s.c.App.ErrWriter)
			}
		}
		return nil
	}})
}

func (s *syncing) runner(l *link, out *syncOutput) (*remotesync.Runner, error) {
	dir, err := syncStateDir()
	if err != nil {
		warnings(s.c).Warn("no folder for the locks of a sync", "error", err)
	}
	r, err := remotesync.New(remotesync.Config{
		Options: s.options, Local: s.local, Remote: l.pool, Pair: pairName(s.local, l),
		LocalOnRemote: onServer(s.c.Context, s.local, l),
		StateDir:      dir, Events: out.event, Log: warnings(s.c),
	})
	if errors.Is(err, remotesync.ErrUsage) {
		return nil, usageError(s.c.Command.HelpName, err)
	}
	return r, err
}

// outcome makes an error of what a run left undone.
func (s *syncing) outcome(res *remotesync.Result, err error) error {
	switch {
	case errors.Is(err, remotesync.ErrLocked):
		return fail(exitFailed, err, "wait for it to end")
	case errors.Is(err, remotesync.ErrUsage):
		return fail(exitUsage, err, "give two folders that lie apart, or leave the sources with --after keep")
	case errors.Is(err, remotesync.ErrTooMany):
		return fail(exitPartly, fmt.Errorf("sync %s: %w", s.options.Mode, err), "")
	case errors.Is(err, context.Canceled):
		return fail(exitFailed, errors.New("interrupted; the next run goes on from here"), "")
	case err != nil:
		return fmt.Errorf("sync %s: %w", s.options.Mode, err)
	case res.Partial():
		return fail(exitPartly, fmt.Errorf("sync %s: partly done, %d failed, %d conflicts%s", s.options.Mode, res.FailureCount, res.ConflictCount, s.leftAlone(res)), "")
	}
	return nil
}

func (s *syncing) leftAlone(res *remotesync.Result) string {
	if !s.options.Strict {
		return ""
	}
	return fmt.Sprintf(", %d left alone", res.Left())
}

// localFolder makes the folder that a first pull goes into.
func (s *syncing) localFolder() error {
	info, err := os.Stat(s.local)
	switch {
	case err == nil && !info.IsDir():
		return fail(exitFailed, fmt.Errorf("%s is not a folder", s.local), s.oneFile())
	case errors.Is(err, fs.ErrNotExist) && s.options.Mode == remotesync.Push:
		return fail(exitFailed, fmt.Errorf("%s: there is no such folder here", s.local), "LOCAL comes before REMOTE; mkdir "+shellQuote(s.local)+" makes it")
	case errors.Is(err, fs.ErrNotExist) && s.options.DryRun:
		return nil // a real run makes it
	case errors.Is(err, fs.ErrNotExist):
		return os.MkdirAll(s.local, 0o777)
	}
	return err
}

// oneFile is how one file is copied.
func (s *syncing) oneFile() string {
	if s.options.Mode != remotesync.Push {
		return ""
	}
	dir, name := filepath.Split(s.local)
	return fmt.Sprintf("a sync takes folders: sync push --include %s %s %s copies one file, and so does cp into a mount",
		shellQuote("/"+name), shellQuote(filepath.Clean(dir)), shellQuote(s.target.given))
}

// connect makes the remote folder, but not those above it, when there is none
// yet and something is to go into it.
func (s *syncing) connect(ctx context.Context) (*link, error) {
	l, err := s.target.assemble(ctx, newPrompter(), warnings(s.c), keyNotes(s.c))
	if err != nil {
		return nil, err
	}
	if err = l.connect(ctx); err != nil {
		err = s.makeRemote(ctx, l, err)
	}
	if err != nil {
		l.pool.Abort()
		return nil, err
	}
	return l, nil
}

// makeRemote is for a connection that works but for the folder. It gives cause
// back when that is not what is wrong. Where a folder above it is missing, too, there
// is no connection: most servers then do not tell where the folder would be.
func (s *syncing) makeRemote(ctx context.Context, l *link, cause error) error {
	if s.options.Mode == remotesync.Pull || !errors.Is(cause, errNoFolder) {
		return cause
	}
	above := fail(exitFailed, cause, "a sync makes one folder, not those above it: make them first, with mkdir -p on the server or in a mount")
	if l.pool.Status().State != pool.StateConnected {
		return above
	}
	if s.options.DryRun {
		return nil // a real run makes it
	}
	switch _, err := l.pool.Mkdir(ctx, ".", 0o755); {
	case errors.Is(err, fs.ErrNotExist):
		return above
	case err != nil:
		return cause
	}
	return l.connect(ctx)
}
