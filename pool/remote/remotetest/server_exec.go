package remotetest

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Status codes, section 7.
const (
	statusOK               = 0
	statusEOF              = 1
	statusNoSuchFile       = 2
	statusPermissionDenied = 3
	statusFailure          = 4
	statusBadMessage       = 5
	statusOpUnsupported    = 8
)

// statusOf is what sftp-server makes of an errno (errno_to_portable): most of
// them become FAILURE.
func statusOf(err error) uint32 {
	if code, ok := err.(statusError); ok {
		return uint32(code)
	}
	switch err {
	case nil:
		return statusOK
	case errEOF:
		return statusEOF
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EBADF, syscall.ELOOP:
		return statusNoSuchFile
	case syscall.EPERM, syscall.EACCES, syscall.EFAULT:
		return statusPermissionDenied
	case syscall.ENAMETOOLONG, syscall.EINVAL:
		return statusBadMessage
	case syscall.ENOSYS:
		return statusOpUnsupported
	}
	return statusFailure
}

// errEOF is the end of a file or listing.
var errEOF = fmt.Errorf("end of file")

// status is the answer that tells of success or an error.
func (m message) status(err error) *reply {
	r := m.answer(typeStatus)
	code := statusOf(err)
	r.uint32(code)
	text := [...]string{
		"Success", "End of file", "No such file", "Permission denied", "Failure",
		"Bad message", "No connection", "Connection lost", "Operation unsupported",
	}
	r.string(text[min(int(code), len(text)-1)])
	r.string("")
	return r
}

// do executes a request; ok is false when it failed.
func (s *session) do(m message, r Request) (answer *reply, ok bool) {
	if s.conn.server.Bubble {
		s.conn.server.alone.Lock()
		defer s.conn.server.alone.Unlock()
	}
	err := s.conn.server.Quirks.refusal(r)
	if err != nil {
		return m.status(err), false
	}
	m.attrs = s.conn.server.Quirks.setting(m.attrs)
	if q := s.conn.server.Quirks; q.Mode != 0 && (m.kind == typeOpen || m.kind == typeMkdir) {
		m.attrs.flags, m.attrs.permissions = m.attrs.flags|attrPermissions, q.Mode
	}
	switch m.kind {
	case typeOpen:
		answer, err = s.open(m)
	case typeOpenDir:
		answer, err = s.openDir(m)
	case typeClose:
		err = s.close(m)
	case typeRead:
		answer, err = s.read(m)
	case typeWrite:
		err = s.write(m)
	case typeReadDir:
		answer, err = s.readDir(m)
	case typeFstat, typeFsetstat:
		answer, err = s.byHandle(m)
	case typeExtended:
		answer, err = s.extended(m)
	default:
		answer, err = s.byPath(m)
	}
	if err != nil || answer == nil {
		return m.status(err), err == nil
	}
	return answer, true
}

// byPath executes the draft's requests that name a path.
func (s *session) byPath(m message) (*reply, error) {
	at := s.conn.server.absolute(m.path)
	switch m.kind {
	case typeLstat:
		return s.describe(m, at, s.conn.server.Quirks.lookFlags(at))
	case typeStat:
		return s.describe(m, at, 0)
	case typeSetstat:
		to := pathTarget(at)
		to.truncate = func(size int64) error {
			defer s.conn.server.stamp(at)
			return unix.Truncate(at, size)
		}
		return nil, m.attrs.apply(to, s.conn.server.Clock)
	case typeRemove:
		return nil, unix.Unlink(at)
	case typeMkdir:
		return nil, unix.Mkdir(at, m.attrs.mode(0o777))
	case typeRmdir:
		return nil, unix.Rmdir(at)
	case typeRealPath:
		return m.realPath(at)
	case typeRename:
		q := s.conn.server.Quirks
		from, to := q.meant(at), q.meant(s.conn.server.absolute(m.target))
		if q.Replaces {
			return nil, unix.Rename(from, to)
		}
		return nil, rename(from, to)
	case typeReadLink:
		return m.readLink(at, s.conn.server.Quirks.AbsoluteLinks)
	case typeSymlink:
		if s.conn.server.Quirks.DraftSymlink {
			return nil, unix.Symlink(m.path, s.conn.server.absolute(m.target))
		}
		return nil, unix.Symlink(m.target, at)
	}
	return nil, syscall.ENOSYS
}

func (s *session) describe(m message, at string, flags int) (*reply, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(unix.AT_FDCWD, at, &st, flags); err != nil {
		return nil, err
	}
	r := m.answer(typeAttrs)
	r.attrs(&st, s.conn.server.Clock)
	return r, nil
}

// name is an answer with one name in it.
func (m message) name(name string) *reply {
	r := m.answer(typeNames)
	r.uint32(1)
	r.string(name)
	r.string(name)
	r.uint32(0)
	return r
}

// realPath allows the last element to be missing, as sftp_realpath does.
func (m message) realPath(at string) (*reply, error) {
	real, err := filepath.EvalSymlinks(at)
	if err == nil {
		return m.name(real), nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(at))
	if err != nil {
		return nil, errnoIn(err)
	}
	return m.name(filepath.Join(dir, filepath.Base(at))), nil
}

func (m message) readLink(at string, absolute bool) (*reply, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(at, buf)
	if err != nil {
		return nil, err
	}
	to := string(buf[:n])
	if absolute && !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(at), to)
	}
	return m.name(to), nil
}

// rename is RENAME as OpenSSH does it: by link and unlink for files, so that
// nothing is replaced, and with a look ahead for folders.
func rename(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		if err := unix.Link(from, to); err != nil {
			return err
		}
		return unix.Unlink(from)
	}
	if err := unix.Stat(to, &st); err == nil {
		return syscall.EEXIST
	}
	return unix.Rename(from, to)
}

// mode is the permission a request gives, or the usual.
func (a attrs) mode(usual uint32) uint32 {
	if a.flags&attrPermissions == 0 {
		return usual
	}
	return a.permissions & 0o7777
}

func pathTarget(at string) target {
	return target{
		chmod:   func(mode uint32) error { return unix.Chmod(at, mode) },
		utimens: func(times []unix.Timespec) error { return unix.UtimesNanoAt(unix.AT_FDCWD, at, times, 0) },
		chown:   func(uid, gid int) error { return unix.Chown(at, uid, gid) },
	}
}

// linkTarget is lsetstat's: the path itself.
func linkTarget(at string) target {
	return target{
		truncate: func(int64) error { return syscall.EINVAL },
		chmod:    func(mode uint32) error { return unix.Fchmodat(unix.AT_FDCWD, at, mode, unix.AT_SYMLINK_NOFOLLOW) },
		utimens: func(times []unix.Timespec) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, at, times, unix.AT_SYMLINK_NOFOLLOW)
		},
		chown: func(uid, gid int) error { return unix.Lchown(at, uid, gid) },
	}
}

// apply sets attributes in OpenSSH's order, and stops at nothing: the last error
// is the answer.
func (a attrs) apply(to target, ahead time.Duration) error {
	var last error
	note := func(err error) {
		if err != nil {
			last = err
		}
	}
	if a.flags&attrSize != 0 {
		note(to.truncate(int64(a.size)))
	}
	if a.flags&attrPermissions != 0 {
		note(to.chmod(a.permissions & 0o7777))
	}
	if a.flags&attrACModTime != 0 {
		off := int64(ahead / time.Second)
		note(to.utimens([]unix.Timespec{{Sec: int64(a.atime) - off}, {Sec: int64(a.mtime) - off}}))
	}
	if a.flags&attrUIDGID != 0 {
		note(to.chown(int(a.uid), int(a.gid)))
	}
	return last
}

// extended executes the extensions that the server announces.
func (s *session) extended(m message) (*reply, error) {
	server := s.conn.server
	if _, ok := server.Extensions[m.ext]; !ok {
		return nil, syscall.ENOSYS
	}
	at, to := server.absolute(m.path), server.absolute(m.target)
	switch m.ext {
	case "posix-rename@openssh.com":
		return nil, unix.Rename(s.conn.server.Quirks.meant(at), s.conn.server.Quirks.meant(to))
	case "hardlink@openssh.com":
		return nil, unix.Link(at, to)
	case "lsetstat@openssh.com":
		return nil, m.attrs.apply(linkTarget(at), s.conn.server.Clock)
	case "statvfs@openssh.com":
		var st unix.Statfs_t
		return m.statVFS(&st, unix.Statfs(at, &st))
	case "limits@openssh.com":
		r := m.answer(typeExtendedReply)
		for _, v := range []uint64{maxMessage, maxMessage - 1024, maxMessage - 1024, 1019} {
			r.uint64(v)
		}
		return r, nil
	case "expand-path@openssh.com", "home-directory":
		return m.realPath(server.absolute(strings.TrimPrefix(strings.TrimPrefix(m.path, "~"), "/")))
	case "users-groups-by-id@openssh.com":
		return m.usersGroups(server.Users), nil
	}
	return s.extendedByHandle(m)
}

// usersGroups knows the names of users that it is given, and of no groups.
func (m message) usersGroups(users map[uint32]string) *reply {
	r := m.answer(typeExtendedReply)
	for i, ids := range []string{m.path, m.target} {
		var names reply
		for d := (decoder{b: []byte(ids)}); len(d.b) >= 4; {
			id := d.uint32()
			names.string(map[bool]string{true: users[id]}[i == 0])
		}
		r.string(string(names.b))
	}
	return r
}

func (m message) statVFS(st *unix.Statfs_t, err error) (*reply, error) {
	if err != nil {
		return nil, err
	}
	r := m.answer(typeExtendedReply)
	for _, v := range []uint64{
		uint64(st.Bsize), uint64(st.Frsize), st.Blocks, st.Bfree, st.Bavail, st.Files, st.Ffree, st.Ffree,
		fsid(st), uint64(st.Flags) & 3, uint64(st.Namelen),
	} {
		r.uint64(v)
	}
	return r, nil
}

// longNameOf is a line of ls -l, where the count of links stands.
func longNameOf(name string, st *unix.Stat_t) string {
	kind := map[uint32]string{unix.S_IFDIR: "d", unix.S_IFLNK: "l", unix.S_IFREG: "-"}[st.Mode&unix.S_IFMT]
	if kind == "" {
		kind = "?"
	}
	return fmt.Sprintf("%srwxr-xr-x %4d %-8d %-8d %8d %s %s", kind, st.Nlink, st.Uid, st.Gid, st.Size,
		time.Unix(st.Mtim.Sec, 0).UTC().Format("Jan _2 15:04"), name)
}
