package fsnode

import (
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// An op is a kind of request.
type op uint8

const (
	opLookup op = iota
	opGetattr
	opSetattr
	opAccess
	opReadlink
	opMknod
	opMkdir
	opSymlink
	opLink
	opUnlink
	opRmdir
	opRename
	opCreate
	opOpen
	opRead
	opWrite
	opFlush
	opFsync
	opRelease
	opAllocate
	opCopy
	opOpendir
	opReaddir
	opStatfs
	opCount
)

var opNames = [opCount]string{
	"lookup", "getattr", "setattr", "access", "readlink", "mknod", "mkdir",
	"symlink", "link", "unlink", "rmdir", "rename", "create", "open", "read",
	"write", "flush", "fsync", "release", "allocate", "copy", "opendir",
	"readdir", "statfs",
}

// OpStats tells of the requests of one kind.
type OpStats struct {
	Count  int64
	Errors int64         // those answered with an errno; ENOENT of a lookup is none
	Time   time.Duration // spent in all of them together
}

// Stats tells what a mount has done so far.
type Stats struct {
	Ops          map[string]OpStats // by lower-case name, without those never asked
	BytesRead    int64
	BytesWritten int64
	InFlight     int64 // requests being answered now
	Nodes        int   // files and folders the kernel knows
	OpenFiles    int
	RefusedLinks int // symbolic links that lead out of the mount; no more than 10,000 are counted
}

type counters struct {
	ops           [opCount]struct{ count, errors, nanos atomic.Int64 }
	read, written atomic.Int64
	inFlight      atomic.Int64
}

func (c *counters) count(o op, status fuse.Status, took time.Duration) {
	n := &c.ops[o]
	n.count.Add(1)
	n.nanos.Add(int64(took))
	if status != fuse.OK && !(o == opLookup && status == fuse.ENOENT) {
		n.errors.Add(1)
	}
}

func (c *counters) stats() Stats {
	s := Stats{
		Ops:          map[string]OpStats{},
		BytesRead:    c.read.Load(),
		BytesWritten: c.written.Load(),
		InFlight:     c.inFlight.Load(),
	}
	for i := range c.ops {
		n := &c.ops[i]
		if count := n.count.Load(); count > 0 {
			s.Ops[opNames[i]] = OpStats{count, n.errors.Load(), time.Duration(n.nanos.Load())}
		}
	}
	return s
}
