package fsnode

import (
	"log/slog"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// Config says what is mounted and how. Only Remote is needed.
type Config struct {
	Remote  remote.Remote
	Source  string // shown in the mount table
	Subtype string // the type is "fuse." and this; "sshfs" when empty

	// AttrTimeout is how long the kernel may believe entries, attributes and
	// absences; 0 turns all its caching off.
	AttrTimeout time.Duration

	ReadOnly           bool
	AllowOther         bool // users besides the one who mounts may enter
	AllowRoot          bool // root besides, and nobody else
	DefaultPermissions bool // the kernel checks owner and mode

	// MultiUser gives what a caller creates to that caller; the remote user must
	// be one who may do that.
	MultiUser bool

	// DirectIO keeps the kernel from caching what is read and from believing sizes: for
	// files of the server that have content and no size. They cannot be mapped shared.
	DirectIO bool

	// FollowSymlinks shows what a symbolic link leads to in its place, as the
	// server sees it.
	FollowSymlinks bool
	NoHardLinks    bool // link(2) fails

	// Contain says which symbolic links are shown; TransformSymlinks makes those
	// relative that are absolute and lead below the mounted folder on the server.
	Contain           Containment
	TransformSymlinks bool

	// Given is the mountpoint as the user wrote it. Links may use that name too.
	Given string

	points [][]string // names of the mountpoint

	UID, GID *uint32 // every file is shown as owned by these
	Umask    *uint32 // every file is shown with the mode 0777 without these bits
	IDMap    IDMap
	UIDs     map[uint32]uint32 // with IDMapFile: the server's numbers of users, and ours for them
	GIDs     map[uint32]uint32 // likewise of groups

	StrictIDs bool // with IDMapFile: files whose owner or group no table has are refused

	// Background is how many requests that nobody waits for the kernel may have under
	// way, such as those of its reading ahead; 64 when it is 0.
	Background int

	// MostNames is how many names the kernel may know before it is asked to let go of
	// some; 200,000 when it is 0.
	MostNames int

	// Orphaned, if not nil, is called when the mount shows nowhere here any more, and goes
	// on for those who are in it.
	Orphaned func()

	// Options are further options of mount(8), such as "noexec". A filesystem is
	// mounted nosuid and nodev unless "suid" or "dev" stand here.
	Options []string

	Log   *slog.Logger // nil discards
	Debug bool         // every request and answer goes to Log, at level debug
}

// IDMap says how owners on the server are shown here.
type IDMap uint8

const (
	// IDMapNone shows the server's numbers.
	IDMapNone IDMap = iota

	// IDMapUser shows what belongs to the remote user as belonging to the user
	// who mounts, and gives it back under the remote user's number.
	IDMapUser

	// IDMapFile shows and gives back numbers as UIDs and GIDs say; others are shown
	// as they are, unless StrictIDs.
	IDMapFile
)

func (c *Config) setDefaults() {
	if c.Subtype == "" {
		c.Subtype = "sshfs"
	}
	if c.Source == "" {
		c.Source = c.Subtype
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.AttrTimeout < 0 {
		c.AttrTimeout = 0
	}
}
