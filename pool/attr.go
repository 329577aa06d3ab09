package pool

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// attr is what a server told of a file. Servers need not send all of it: a mode
// without a type is taken for a regular file's.
func (s *session) attr(w sftp3.Attrs) remote.Attr {
	a := remote.Attr{
		Mode: w.Permissions, UID: w.UID, GID: w.GID,
		Size: int64(min(w.Size, 1<<63-1)), Atime: s.time(w.Atime), Mtime: s.time(w.Mtime),
	}
	if a.Type() == 0 {
		a.Mode |= syscall.S_IFREG
	}
	return a
}

// time reads a time. A server keeps 1969 as a number with a sign and tells it as one
// without, which would be 2106: what lies beyond 2038, and more than a day ahead by
// the server's clock, is taken to be 1970, the first that SFTP can tell.
func (s *session) time(t uint32) int64 {
	if t >= 1<<31 && int64(t) > s.conn.pool.clock.now()+24*60*60 {
		return 0
	}
	return int64(t)
}

// typeLetter is the type of a file that the line of ls -l begins with, 0 when it is
// none.
func typeLetter(line string) uint32 {
	mode, _, _ := strings.Cut(line, " ")
	if len(mode) < 10 || strings.Trim(mode[1:10], "rwxsStT-") != "" {
		return 0
	}
	return map[byte]uint32{
		'-': syscall.S_IFREG, 'd': syscall.S_IFDIR, 'l': syscall.S_IFLNK, 'p': syscall.S_IFIFO,
		's': syscall.S_IFSOCK, 'b': syscall.S_IFBLK, 'c': syscall.S_IFCHR,
	}[mode[0]]
}

// linkCount reads the number of links from the long name of a listing, which
// has the form of `ls -l`: mode, links, owner, ... It is the one place where
// version 3 tells it.
func linkCount(longname string) uint32 {
	fields := strings.Fields(longname)
	if len(fields) < 8 || len(fields[0]) < 10 {
		return 0
	}
	n, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// toWire encodes a change. Owner and times go in pairs: have gives the half
// that is not meant.
func toWire(c remote.Change, have remote.Attr) sftp3.Attrs {
	var w sftp3.Attrs
	if c.Fields&remote.SetSize != 0 {
		w.Flags |= sftp3.AttrSize
		w.Size = uint64(c.Size)
	}
	if c.Fields&remote.SetMode != 0 {
		w.Flags |= sftp3.AttrPermissions
		w.Permissions = c.Mode & 0o7777
	}
	if c.Fields&(remote.SetUID|remote.SetGID) != 0 {
		w.Flags |= sftp3.AttrUIDGID
		w.UID, w.GID = have.UID, have.GID
		if c.Fields&remote.SetUID != 0 {
			w.UID = c.UID
		}
		if c.Fields&remote.SetGID != 0 {
			w.GID = c.GID
		}
	}
	if c.Fields&(remote.SetAtime|remote.SetMtime) != 0 {
		w.Flags |= sftp3.AttrACModTime
		w.Atime, w.Mtime = clampTime(have.Atime), clampTime(have.Mtime)
		if c.Fields&remote.SetAtime != 0 {
			w.Atime = clampTime(c.Atime)
		}
		if c.Fields&remote.SetMtime != 0 {
			w.Mtime = clampTime(c.Mtime)
		}
	}
	return w
}

// clampTime fits a time into the protocol's unsigned 32 bits (until 2106).
func clampTime(t int64) uint32 { return uint32(min(max(t, 0), 1<<32-1)) }

// needsPair reports whether the half that is not meant has to be known.
func needsPair(c remote.Change) bool {
	owner, times := c.Fields&(remote.SetUID|remote.SetGID), c.Fields&(remote.SetAtime|remote.SetMtime)
	return owner != 0 && owner != remote.SetUID|remote.SetGID || times != 0 && times != remote.SetAtime|remote.SetMtime
}

// isMtime reports whether mtime is the one half of a pair that is meant. A file
// that we write has told us its atime not long ago, and that is good enough: it
// saves a program that restores an mtime a round trip.
func isMtime(c remote.Change) bool {
	return c.Fields&(remote.SetUID|remote.SetGID|remote.SetAtime|remote.SetMtime) == remote.SetMtime
}
