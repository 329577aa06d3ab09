package remotetest

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A handle is an open file or folder of a session.
type handle struct {
	path  string // as it was opened
	fd    int
	names []string // of a folder, those not told yet
	end   int64    // of a file at its opening
}

// maxHandles is OpenSSH's under the usual limit of descriptors.
const maxHandles = 1019

// namesPerAnswer is how many names OpenSSH puts into one answer.
const namesPerAnswer = 100

// errnoIn is the errno that an error of os is about.
func errnoIn(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func (s *session) add(m message, h *handle) (*reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.handles) >= maxHandles {
		_ = unix.Close(h.fd)
		return nil, syscall.EMFILE
	}
	s.opened++
	name := string(binary.BigEndian.AppendUint32(nil, s.opened))
	s.handles[name] = h
	r := m.answer(typeHandle)
	r.string(name)
	return r, nil
}

// find is the open file or folder of a handle.
func (s *session) find(name string) (*handle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.handles[name]; h != nil {
		return h, nil
	}
	return nil, syscall.EBADF
}

// open is OPEN with the flags of section 6.3.
func (s *session) open(m message) (*reply, error) {
	how := unix.O_CLOEXEC | unix.O_NONBLOCK
	switch m.flags & 3 {
	case 1:
		how |= unix.O_RDONLY
	case 2:
		how |= unix.O_WRONLY
	case 3:
		how |= unix.O_RDWR
	}
	for _, bit := range []struct {
		flag uint32
		how  int
	}{{4, unix.O_APPEND}, {8, unix.O_CREAT}, {0x10, unix.O_TRUNC}, {0x20, unix.O_EXCL}} {
		if m.flags&bit.flag != 0 {
			how |= bit.how
		}
	}
	at := s.conn.server.absolute(m.path)
	if s.conn.server.refuses(at, how) {
		return nil, syscall.EACCES
	}
	fd, err := unix.Open(at, how, m.attrs.mode(0o666))
	if err != nil {
		return nil, err
	}
	if how&(unix.O_EXCL|unix.O_TRUNC) != 0 {
		s.conn.server.stamp(openFile(fd))
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return s.add(m, &handle{path: m.path, fd: fd, end: st.Size})
}

func (s *session) openDir(m message) (*reply, error) {
	at := s.conn.server.absolute(m.path)
	fd, err := unix.Open(at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	list, err := os.ReadDir(at)
	if err != nil {
		_ = unix.Close(fd)
		return nil, errnoIn(err)
	}
	names := []string{".", ".."}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return s.add(m, &handle{path: m.path, fd: fd, names: names})
}

func (s *session) close(m message) error {
	h, err := s.find(m.handle)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.handles, m.handle)
	s.mu.Unlock()
	return unix.Close(h.fd)
}

func (s *session) read(m message) (*reply, error) {
	h, err := s.find(m.handle)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, min(m.n, maxMessage-1024))
	n, err := unix.Pread(h.fd, buf, int64(m.off))
	if err != nil {
		return nil, err
	}
	if s.conn.server.Quirks.EndsAtOpening {
		n = min(n, max(int(h.end-int64(m.off)), 0))
	}
	if n == 0 {
		return nil, errEOF
	}
	r := m.answer(typeData)
	r.string(string(buf[:n]))
	return r, nil
}

func (s *session) write(m message) error {
	h, err := s.find(m.handle)
	if err != nil {
		return err
	}
	n, err := unix.Pwrite(h.fd, m.data, int64(m.off))
	if err == nil && n < len(m.data) {
		return syscall.EIO
	}
	s.conn.server.stamp(openFile(h.fd))
	return err
}

// openFile is a path that leads to what is open.
func openFile(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// stamp makes a file as old as it is, by the clock of the bubble.
func (s *Server) stamp(path string) {
	if s.Bubble {
		now := unix.NsecToTimespec(time.Now().UnixNano())
		_ = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{now, now}, 0) // it may be gone by now
	}
}

func (s *session) readDir(m message) (*reply, error) {
	h, err := s.find(m.handle)
	if err != nil {
		return nil, err
	}
	batch := h.names[:min(len(h.names), namesPerAnswer)]
	h.names = h.names[len(batch):]
	entries := &reply{}
	count := uint32(0)
	for _, name := range batch {
		var st unix.Stat_t
		if unix.Fstatat(h.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // it has gone
		}
		count++
		told, long := s.conn.server.Quirks.listed(name, &st)
		entries.string(told)
		entries.string(long)
		entries.attrs(&st, s.conn.server.Clock)
	}
	if count == 0 {
		return nil, errEOF
	}
	r := m.answer(typeNames)
	r.uint32(count)
	r.b = append(r.b, entries.b...)
	return r, nil
}

// byHandle is FSTAT and FSETSTAT.
func (s *session) byHandle(m message) (*reply, error) {
	h, err := s.find(m.handle)
	if err != nil {
		return nil, err
	}
	if s.conn.server.Quirks.ByPath {
		m.path, m.kind = h.path, map[byte]byte{typeFstat: typeStat, typeFsetstat: typeSetstat}[m.kind]
		return s.byPath(m)
	}
	if m.kind == typeFsetstat {
		return nil, m.attrs.apply(target{
			truncate: func(size int64) error {
				defer s.conn.server.stamp(openFile(h.fd))
				return unix.Ftruncate(h.fd, size)
			},
			chmod: func(mode uint32) error { return unix.Fchmod(h.fd, mode) },
			utimens: func(times []unix.Timespec) error {
				return unix.UtimesNanoAt(unix.AT_FDCWD, openFile(h.fd), times, 0)
			},
			chown: func(uid, gid int) error { return unix.Fchown(h.fd, uid, gid) },
		}, s.conn.server.Clock)
	}
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil {
		return nil, err
	}
	r := m.answer(typeAttrs)
	r.attrs(&st, s.conn.server.Clock)
	return r, nil
}

func (s *session) extendedByHandle(m message) (*reply, error) {
	h, err := s.find(m.handle)
	if err != nil {
		return nil, err
	}
	switch m.ext {
	case "fsync@openssh.com":
		return nil, unix.Fsync(h.fd)
	case "fstatvfs@openssh.com":
		var st unix.Statfs_t
		return m.statVFS(&st, unix.Fstatfs(h.fd, &st))
	case "copy-data":
		return nil, s.copyData(m, h)
	}
	return nil, syscall.ENOSYS
}

// copyData refuses to copy within a file, as OpenSSH does, and takes no more
// than the source has as success.
func (s *session) copyData(m message, from *handle) error {
	to, err := s.find(m.second)
	if err != nil {
		return err
	}
	if m.handle == m.second || from.path == to.path {
		return syscall.EIO
	}
	buf := make([]byte, 1<<20)
	for done := uint64(0); m.n == 0 || done < m.n; {
		part := buf
		if m.n > 0 {
			part = buf[:min(uint64(len(buf)), m.n-done)]
		}
		n, err := unix.Pread(from.fd, part, int64(m.off+done))
		if err != nil || n == 0 {
			return err
		}
		if _, err := unix.Pwrite(to.fd, part[:n], int64(m.to+done)); err != nil {
			return err
		}
		done += uint64(n)
	}
	return nil
}
