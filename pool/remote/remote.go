// Package remote is the seam between a server and all that uses one: a Remote, its
// open Files, and the values that cross. It has no code of either side; remotetest
// below it holds the contract as a suite.
package remote

import (
	"context"
	"io/fs"
	"strings"
	"syscall"
	"time"
)

// A Remote is one folder of a server. Everything above the pool sees the
// server through it: the cache wraps a Remote and is one, tests put a fake or a
// local directory behind it.
//
// # Paths
//
// A path is relative to the mounted folder, slash-separated, clean, without a
// leading slash; "." is the folder itself. Names are bytes: any but '/' and NUL
// may occur in them. Symbolic links in the last element are never followed,
// except by Stat and by Open.
//
// # Errors
//
// An error is a *fs.PathError (rename, link and copy name the path they are
// about) whose Err is a syscall.Errno, so errors.Is works with the errnos and
// with fs.ErrNotExist, fs.ErrExist and fs.ErrPermission. Besides what the
// server says, any call may give
//
//   - ETIMEDOUT: the remote is away and did not come back within the timeout,
//     or, while it is known to be away, at once;
//   - EACCES: the remote is disabled because its host key changed;
//   - EIO: the server answered with a failure that could not be explained;
//   - EOPNOTSUPP: this server cannot do it;
//   - ENODEV: the Remote was closed;
//   - ctx.Err(), wrapped in the PathError: the caller gave up. The request may
//     still be executed.
//
// A change of names (Mkdir, Symlink, Link, Remove, Rmdir, Rename, Replace) that was sent
// and not answered has an Unsettled in the chain of its error, which tells later what
// became of it. Until then other changes of these names, and opening them, wait as a look
// does.
//
// # Contexts and lost connections
//
// A call returns as soon as its context ends. A connection that breaks is
// dialled again by the pool, and each method says what becomes of a call that
// was unanswered at that moment:
//
//   - "asked again": the call looks only, and is repeated;
//   - "looks": the request may have been executed. The pool looks at what is
//     there now and repeats the request only if it was not, so that a caller
//     sees neither a false error nor a second execution.
//
// Where the connection lives and no answer comes, a call that looks is asked again
// after the timeout, on another session, and gives ETIMEDOUT after another. A change
// that has waited twice as long gives ETIMEDOUT, and may have been made. Data and
// reads are waited for as long as their caller lives. A request under which eight
// sessions in a row have ended while the connection went on is EIO.
//
// While no connection can be made, a call waits up to the timeout; calls that
// come while it is known that the remote is away fail at once.
//
// Requests on behalf of work nobody waits for carry a context of Background;
// they never go ahead of others.
type Remote interface {
	// Lstat describes the file itself, also when it is a symbolic link. Data
	// written through an open File of this Remote and not yet acknowledged
	// counts in the size. Asked again.
	Lstat(ctx context.Context, path string) (Attr, error)

	// Stat is Lstat of what symbolic links lead to. Asked again.
	Stat(ctx context.Context, path string) (Attr, error)

	// ReadDir lists a folder, without "." and "..", in the server's order, and
	// hands over the entries in batches as they arrive. An error of emit ends
	// the listing and is returned as it is. Names that no file can have ("",
	// with '/' or NUL) are left out; WithRefused tells them. Asked again: after a
	// cut it starts anew and emits only names it has not emitted yet; EIO where
	// those are more than a million.
	ReadDir(ctx context.Context, path string, emit func([]Entry) error) error

	// ReadLink gives the target of a symbolic link, unchanged. Asked again.
	ReadLink(ctx context.Context, path string) (string, error)

	// StatFS gives sizes of the filesystem that holds path (statvfs@openssh.com);
	// EOPNOTSUPP where the server does not say. Asked again.
	StatFS(ctx context.Context, path string) (StatFS, error)

	// Open opens a file, following symbolic links, and gives its attributes as
	// they are after that. Exactly the permission bits of perm are set on a file
	// that it creates, whatever the umask of the server.
	//
	// Unanswered at a cut: opening is asked again. Creating with FlagExclusive
	// looks: a file that is there, empty, ours and not older than the request
	// was made by it; any other is EEXIST. A truncating open is repeated, but
	// never once data has been written through the File.
	//
	// A File is opened again after a cut, and a large one on further sessions while it
	// is read, each time by its path: should another file of the same size and mtime
	// have come there, some of the data is its. With FlagSteady, which goes with
	// FlagRead alone, all handles are opened before Open returns, which may take half a
	// second longer, and none later as long as one of them lives. With FlagOnce besides,
	// every further call is ESTALE when all are lost.
	Open(ctx context.Context, path string, flag OpenFlag, perm uint32) (File, Attr, error)

	// Mkdir makes a folder with exactly the permission bits of perm, and gives
	// its attributes. Looks.
	Mkdir(ctx context.Context, path string, perm uint32) (Attr, error)

	// Symlink makes path a symbolic link to target and gives its attributes.
	// Looks.
	Symlink(ctx context.Context, target, path string) (Attr, error)

	// Link makes newPath another name of the file at oldPath
	// (hardlink@openssh.com, else EOPNOTSUPP), and gives its attributes. Looks.
	Link(ctx context.Context, oldPath, newPath string) (Attr, error)

	// Remove removes a file or symbolic link; a folder is EISDIR. Asked again;
	// not there after an uncertain try means done.
	Remove(ctx context.Context, path string) error

	// Rmdir removes an empty folder: ENOTEMPTY, ENOTDIR. Asked again; not there
	// after an uncertain try means done.
	Rmdir(ctx context.Context, path string) error

	// Rename moves a file or folder with the meaning of rename(2): a target that
	// is there is replaced in one step. With noReplace it is EEXIST instead. A
	// server that cannot replace in one step gives EOPNOTSUPP when there is a
	// target: the pool never removes the target first. Moving to another
	// filesystem is EXDEV. Files open under the old path go on under the new
	// one. Looks: the source gone, or another in its place, and at the target what the
	// source was, which was not there before, means done. InOneStep asks for more.
	Rename(ctx context.Context, oldPath, newPath string, noReplace bool) error

	// Replace is Rename over a file that is open and goes on being used: keep, which is
	// free, becomes another name of it first (hardlink@openssh.com), in the same flight
	// where the server keeps order. Files open on it are opened again by that after a
	// cut. kept reports that keep is there, or may be, after an error too: whoever asked
	// for it removes it when nobody needs it any more. Where there can be no such name
	// it is Rename. Looks.
	Replace(ctx context.Context, oldPath, newPath, keep string) (kept bool, err error)

	// SetAttr changes what c.Fields says and gives the attributes afterwards.
	// Symbolic links are not followed: their times and owner are set where the
	// server can (lsetstat@openssh.com), else EOPNOTSUPP. A new size is a barrier
	// for the data of every File open on that path: what was written before is
	// on the server first. Asked again.
	SetAttr(ctx context.Context, path string, c Change) (Attr, error)

	// Copy copies up to n bytes between two Files of this Remote on the server
	// (copy-data) and returns the count done, which is short at the end of src.
	// Data written to either before counts. EOPNOTSUPP where the server cannot,
	// EXDEV where it cannot for these two (both are one file, or one was replaced
	// since it was opened): whoever asks then copies otherwise. The piece under way
	// at a cut is copied again.
	Copy(ctx context.Context, dst File, dstOff int64, src File, srcOff int64, n int64) (int64, error)

	// Info tells what is known of the server.
	Info() Info
}

// A File is an open file of a Remote. Its methods may be called at the same
// time from several goroutines.
//
// A File outlives its connection: it is opened again by path and checked. A
// file opened for reading must have the size and mtime last seen; one opened
// for writing a size between what was acknowledged and what was sent, and
// nothing newer that is not ours. Otherwise every further call gives ESTALE,
// and nothing is written.
type File interface {
	// ReadAt reads len(p) bytes at off, and fewer only at the end of the file,
	// then with io.EOF, or together with an error. It sees everything written
	// before through any File of this Remote, acknowledged or not, and the zeros in
	// front of that. Large reads may be spread over several sessions. Asked again, on
	// the reopened handle.
	//
	// A ReadAt that returns because ctx ended leaves p to the File: late data
	// may still arrive in it, so p must not be used again.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)

	// StartReadAt begins a ReadAt: when it returns, the read is under way, behind those
	// begun before. told is called once with its outcome, from any goroutine, and must
	// not block. Without wait it reports false where beginning would have to wait, and
	// told is not called.
	StartReadAt(ctx context.Context, p []byte, off int64, wait bool, told func(n int, err error)) bool

	// Borrow is ReadAt of n bytes without a copy: slices of what is held, and fewer
	// bytes only at the end of the file, which is not an error here. They must not be
	// written to, and are valid until release, which has to be called, once, when err
	// is nil.
	Borrow(ctx context.Context, off int64, n int) (data [][]byte, release func(), err error)

	// WriteAt takes the data into memory and returns; p may be used again. It
	// waits while the bound on unacknowledged data is reached, up to the retry
	// time. Contiguous writes are gathered into full packets while earlier ones are
	// unanswered. The data is kept until the server has acknowledged it, and sent
	// again after a cut. Whichever File of a path it was written through, the order
	// of overlapping writes is that of the calls. An error of an earlier write is
	// returned here or by Flush, once to each File that was open then.
	WriteAt(ctx context.Context, p []byte, off int64) (int, error)

	// End is where the file ends with all that was written: where an append goes. The
	// server is asked, unless data of ours is under way behind an end that it told, or
	// it told so no longer ago than a question takes and nothing was flushed since: two
	// that append within one round trip of each other can write over each other. Asked
	// again; while the remote is away it waits as data does.
	End(ctx context.Context) (int64, error)

	// Flush returns when all data written so far is acknowledged and the times
	// set by SetAttr are set, with the attributes after that. It leaves in one
	// flight. While the remote is away it waits up to the retry time; then EIO,
	// and the data is lost. The first one behind data waits for the answer to CLOSE
	// as well, where the handle can be done without: see Close.
	Flush(ctx context.Context) (Attr, error)

	// Sync is Flush, and then the server's own fsync (fsync@openssh.com) where
	// there is one.
	Sync(ctx context.Context) (Attr, error)

	// Stat describes the open file, with the data not yet acknowledged counted
	// in size and mtime. It works also when the path is gone.
	Stat(ctx context.Context) (Attr, error)

	// IsAt reports whether the path that led to the File, and followed its renames,
	// still does. It is false only on proof, for somebody on the server may have put
	// another file there: the open file and what is at the path, asked between two
	// looks at the open file, differ while nothing of ours is under way, and did so a
	// second before as well. Where a server tells of open files by their paths it is
	// always true. A look.
	IsAt(ctx context.Context) (bool, error)

	// SetAttr is Remote.SetAttr on the open file. Times set on a File with data
	// under way are remembered, join the next Flush, and are already in the
	// attributes returned.
	SetAttr(ctx context.Context, c Change) (Attr, error)

	// Close flushes, and gives the handle back. When something was changed through
	// the File it waits for the answer to that, since some servers store data only
	// then: a refusal is an error. A lost answer is looked after. A File is unusable
	// afterwards, also after an error.
	Close(ctx context.Context) error
}

// OpenFlag says how a file is opened.
type OpenFlag uint8

// The flags of Open. There is no append: the caller knows the offset.
const (
	FlagRead OpenFlag = 1 << iota
	FlagWrite
	FlagCreate    // make it when it is not there
	FlagExclusive // with FlagCreate: EEXIST when it is there
	FlagTruncate  // cut it to nothing
	FlagSteady    // for reading: no handle is opened after the first byte, see Open
	FlagOnce      // for reading: nor after a cut, see Open
	FlagInOrder   // for writing: nothing is sent 16 MiB or more behind what is not acknowledged
)

// Attr is what SFTP tells of a file. Times are whole seconds since 1970.
type Attr struct {
	Mode  uint32 // type and permission bits as in st_mode
	UID   uint32
	GID   uint32
	Nlink uint32 // 0 when not known: only listings tell it
	Size  int64
	Atime int64
	Mtime int64
}

// Type is the S_IFMT part of the mode.
func (a Attr) Type() uint32 { return a.Mode & syscall.S_IFMT }

// Perm is the permission part of the mode, with set-id and sticky bits.
func (a Attr) Perm() uint32 { return a.Mode & 0o7777 }

// IsDir reports whether it is a folder.
func (a Attr) IsDir() bool { return a.Type() == syscall.S_IFDIR }

// IsRegular reports whether it is a regular file.
func (a Attr) IsRegular() bool { return a.Type() == syscall.S_IFREG }

// IsSymlink reports whether it is a symbolic link.
func (a Attr) IsSymlink() bool { return a.Type() == syscall.S_IFLNK }

// A Stamp is what tells one content of a file from another.
type Stamp struct{ Size, Mtime int64 }

// Stamp is that of the file.
func (a Attr) Stamp() Stamp { return Stamp{a.Size, a.Mtime} }

// ModTime is Mtime as a time.
func (a Attr) ModTime() time.Time { return time.Unix(a.Mtime, 0) }

// An Entry is a name in a folder.
type Entry struct {
	Name string
	Attr Attr
}

// Fields says which parts of a Change are meant.
type Fields uint8

// The parts of a Change.
const (
	SetMode Fields = 1 << iota // permission bits
	SetUID
	SetGID
	SetSize
	SetAtime
	SetMtime
)

// A Change is what SetAttr is to change. The protocol sets owner and group, and
// the two times, only in pairs: the pool fills in the half that is not meant.
type Change struct {
	Fields Fields
	Mode   uint32
	UID    uint32
	GID    uint32
	Size   int64
	Atime  int64
	Mtime  int64
}

// Apply is what a change makes of attributes.
func (c Change) Apply(a Attr) Attr {
	if c.Fields&SetMode != 0 {
		a.Mode = a.Type() | c.Mode&0o7777
	}
	if c.Fields&SetUID != 0 {
		a.UID = c.UID
	}
	if c.Fields&SetGID != 0 {
		a.GID = c.GID
	}
	if c.Fields&SetSize != 0 {
		a.Size = c.Size
	}
	if c.Fields&SetAtime != 0 {
		a.Atime = c.Atime
	}
	if c.Fields&SetMtime != 0 {
		a.Mtime = c.Mtime
	}
	return a
}

// Merge is c with what next says on top.
func (c Change) Merge(next Change) Change {
	a := next.Apply(c.Apply(Attr{}))
	return Change{
		Fields: c.Fields | next.Fields,
		Mode:   a.Perm(), UID: a.UID, GID: a.GID, Size: a.Size, Atime: a.Atime, Mtime: a.Mtime,
	}
}

// StatFS is the answer of statvfs@openssh.com, with statvfs(3)'s names.
type StatFS struct {
	Bsize   uint64
	Frsize  uint64
	Blocks  uint64 // in units of Frsize, like Bfree and Bavail
	Bfree   uint64
	Bavail  uint64
	Files   uint64
	Ffree   uint64
	Favail  uint64
	Fsid    uint64
	Flag    uint64
	NameMax uint64
}

// Info is what the pool has learned of the server.
type Info struct {
	Server     string            // the SSH identification, "SSH-2.0-OpenSSH_9.2p1"
	Ordered    bool              // an OpenSSH server: one session's requests are executed in order
	Root       string            // absolute path of the mounted folder on the server
	UID, GID   uint32            // owner of files made by us, when KnownOwner
	KnownOwner bool              // false until something told it
	Extensions map[string]string // SFTP extensions and their versions
	MaxOpen    int               // files that a session may have open at once; 0 when not known
	Away       time.Time         // since when no connection can be had; zero while there is one, or may be at once
}

// Rights is the access (R_OK, W_OK, X_OK) that the remote user has to a file, as far as
// its mode tells: at least and at most, for which groups the user is in is not known.
func Rights(a Attr, user Info) (least, most uint32) {
	owner, group, other := a.Mode>>6&7, a.Mode>>3&7, a.Mode&7
	switch {
	case !user.KnownOwner:
		return owner & group & other, owner | group | other
	case user.UID == 0 && a.IsDir():
		return 7, 7
	case user.UID == 0:
		owner = 6 | (owner|group|other)&1
	case user.UID != a.UID:
		return group & other, group | other
	}
	return owner, owner
}

// PathError is how every error crosses the seam.
func PathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// Join is the path of name in the folder dir.
func Join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// Split is the folder of a path, which is clean, and the name in it.
func Split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ".", path
	}
	return path[:i], path[i+1:]
}
