package sync

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// Mode is the direction of a sync.
type Mode uint8

// The modes.
const (
	Push   Mode = iota + 1 // local to remote
	Pull                   // remote to local
	TwoWay                 // both, the newer of two versions wins
)

func (m Mode) String() string {
	return name([]string{"none", "push", "pull", "two-way"}, int(m))
}

// Compare says by what two files are held to be the same.
type Compare uint8

// The ways to compare.
const (
	CompareDefault Compare = iota // mtime for push and pull, size for two-way
	CompareSize                   // size alone
	CompareMtime                  // size and modification time
	CompareHash                   // size and content, read on both sides
)

func (c Compare) String() string {
	return name([]string{"default", "size", "mtime", "hash"}, int(c))
}

// ParseCompare reads the name of a Compare; "" is CompareDefault.
func ParseCompare(s string) (Compare, error) {
	i, err := parseName(s, "compare", "", "size", "mtime", "hash")
	return Compare(i), err
}

// Links says what happens to symbolic links.
type Links uint8

// The ways with symbolic links.
const (
	LinksSafe   Links = iota // as copy, but here no link is made that leads out of the local folder
	LinksCopy                // kept as links, targets unchanged
	LinksSkip                // left alone
	LinksFollow              // what they lead to is copied; push and pull only
)

func (l Links) String() string {
	return name([]string{"safe", "copy", "skip", "follow"}, int(l))
}

// ParseLinks reads the name of a Links.
func ParseLinks(s string) (Links, error) {
	i, err := parseName(s, "links", "safe", "copy", "skip", "follow")
	return Links(i), err
}

// Fsync says which files are forced to the receiving disk before they get their
// name; see the package comment.
type Fsync uint8

// The ways to fsync.
const (
	FsyncAuto Fsync = iota
	FsyncAlways
	FsyncNever
)

// ParseFsync reads the name of a Fsync.
func ParseFsync(s string) (Fsync, error) {
	i, err := parseName(s, "fsync", "auto", "always", "never")
	return Fsync(i), err
}

// Options say what a run is to do.
type Options struct {
	Mode    Mode
	Compare Compare
	Update  bool // push and pull: a newer target is kept
	Delete  bool // push and pull: remove the source of every verified copy
	Prune   bool // with Delete: also folders that became empty
	Links   Links
	Owner   bool // owner, group and set-id bits too
	Fsync   Fsync
	DryRun  bool

	Settle  time.Duration // leave alone what changed within this time; 0 is off
	Names   *Filter       // nil lets every name through
	MinSize int64         // bytes; 0 is no bound
	MaxSize int64         // bytes; 0 is no bound
	Newer   time.Duration // only files that changed within this time; 0 is no bound
	Older   time.Duration // only files that did not change within this time; 0 is no bound

	BandwidthLimit int64 // bytes a second, both directions together; 0 is no bound

	VerifyRead    bool          // read back what was copied, and compare
	ModifyWindow  time.Duration // times that differ by no more are equal
	ComposeNames  bool          // names of the remote side count in Unicode's composed form
	Strict        bool          // what is left alone makes a run partial, too
	OneFileSystem bool          // leave alone what lies on another filesystem than the root
	MaxErrors     int64         // end the run after so many failures; 0 is no bound
	TempSuffix    string        // what names of parts end in; "" is .part
	TriggerFile   string        // push and pull: an empty file made last in the target, when all went well; "" is none
}

// A Config is everything a Runner needs.
type Config struct {
	Options
	Local  string        // the local folder
	Remote remote.Remote // the remote folder

	// LocalOnRemote is where the local folder is on the server, when that is known:
	// it lies in a mount of ours. An absolute path, or "".
	LocalOnRemote string

	// Pair names this pair of folders, the same for every run: it is what the
	// lock and the temporary files are known by. It should hold host and user.
	Pair     string
	StateDir string // where the locks of pairs lie; "" locks only the local folder

	Events func(Event)  // called one at a time; nil for none
	Log    *slog.Logger // nil discards
	Now    func() time.Time
}

// ErrUsage marks options that contradict each other.
var ErrUsage = errors.New("options contradict each other")

// Validate reports options that make no sense together.
func (o Options) Validate() error {
	twoWay := o.Mode == TwoWay
	checks := []struct {
		bad  bool
		text string
	}{
		{o.Mode < Push || o.Mode > TwoWay, "no direction given"},
		{twoWay && o.Delete, "two-way never deletes"},
		{twoWay && o.Update, "two-way always keeps the newer version"},
		{twoWay && o.Links == LinksFollow, "two-way cannot follow links"},
		{o.Prune && !o.Delete, "empty folders are pruned only where files are deleted after copying"},
		{o.Delete && o.Links == LinksFollow, "what links lead to is not deleted"},
		{o.MinSize < 0 || o.MaxSize < 0 || o.BandwidthLimit < 0, "a size is negative"},
		{o.MaxSize > 0 && o.MinSize > o.MaxSize, "the least size is above the greatest"},
		{o.Settle < 0 || o.Newer < 0 || o.Older < 0 || o.ModifyWindow < 0, "a duration is negative"},
		{o.MaxErrors < 0, "a number of errors is negative"},
		{twoWay && o.TriggerFile != "", "two-way has no target for a trigger file"},
		{o.TriggerFile != "" && (!fs.ValidPath(o.TriggerFile) || o.TriggerFile == "."), "the trigger file must lie in the target: a relative path without . and .."},
		{len(o.TempSuffix) > 64 || strings.ContainsAny(o.TempSuffix, "/\x00"), "a suffix of temporary files has a slash, or more than 64 bytes"},
	}
	for _, c := range checks {
		if c.bad {
			return fmt.Errorf("%w: %s", ErrUsage, c.text)
		}
	}
	return nil
}

// compare is the comparison in force.
func (o Options) compare() Compare {
	switch {
	case o.Compare != CompareDefault:
		return o.Compare
	case o.Mode == TwoWay:
		return CompareSize
	default:
		return CompareMtime
	}
}

// source is the side that push and pull read.
func (o Options) source() Side {
	if o.Mode == Pull {
		return Remote
	}
	return Local
}

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprint(i)
}

func parseName(s, what string, names ...string) (int, error) {
	for i, n := range names {
		if s == n {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: %s %q", ErrUsage, what, s)
}
