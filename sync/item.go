package sync

import (
	"github.com/remotemount/remotemount/pool/remote"
)

// Side is one of the two folders.
type Side uint8

// The sides.
const (
	Local Side = iota
	Remote
)

func (s Side) String() string { return name([]string{"local", "remote"}, int(s)) }

// Other is the opposite side.
func (s Side) Other() Side { return 1 - s }

// Kind is what a name stands for on one side.
type Kind uint8

// The kinds.
const (
	Absent Kind = iota
	File
	Folder
	Symlink
	Special // a device, socket or pipe, which is never copied
)

func (k Kind) String() string {
	return name([]string{"nothing", "file", "folder", "symbolic link", "special file"}, int(k))
}

// An Item is what one side has under a name. A hundred thousand are held at a time: the
// order of the fields is the one that takes least.
type Item struct {
	Kind      Kind
	elsewhere bool // on another filesystem than the root, where that was asked
	Perm      uint32
	UID, GID  uint32
	Size      int64
	Mtime     int64  // seconds since 1970, all that SFTP can tell
	version   uint64 // of a local file, exactly: see stamp; 0 where it is not known
	Link      string // where a symbolic link leads
}

// A Named item stands in a listing.
type Named struct {
	Name string
	Item
}

// Set-id bits count only together with owners: a server must not be able to
// plant a program that runs with the rights of whoever pulls.
const (
	permBits  = 0o777
	setIDBits = 0o7000
)

func itemOf(a remote.Attr) Item {
	i := Item{Size: a.Size, Mtime: clampTime(a.Mtime), Perm: a.Perm(), UID: a.UID, GID: a.GID}
	switch {
	case a.IsRegular():
		i.Kind = File
	case a.IsDir():
		i.Kind = Folder
	case a.IsSymlink():
		i.Kind = Symlink
	default:
		i.Kind = Special
	}
	return i
}

// clampTime keeps a time within what SFTP version 3 carries, 32 bits without a
// sign, so that a local file from before 1970 is not copied anew on every run.
func clampTime(t int64) int64 {
	return max(0, min(t, 1<<32-1))
}

// A day ahead of its side's clock no time is believed.
const day = 24 * 3600

// readTime is a time as it is compared. A server keeps 1969 as a 32-bit number with
// a sign and tells it as one without, which reads as 2106: so what is beyond 2038
// and more than a day ahead is taken to be from before 1970.
func readTime(t, now int64) int64 {
	if t >= 1<<31 && t > now+day {
		return 0
	}
	return t
}
