package history

import (
	"fmt"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A side is one of the two places in which a process does its steps: its folder,
// and what the process holds of it. System calls are made as they are, without
// the retries of package os: an EINTR is a difference.
type side struct {
	dir  string
	fds  [places]int // -1 where nothing is open
	maps [places]mapping
	buf  []byte
}

type mapping struct {
	mem []byte
	off int64
	fd  int // a duplicate on the local side, to ask for the size; else -1
}

func newSide(dir string) *side {
	s := &side{dir: dir}
	for i := range places {
		s.fds[i], s.maps[i].fd = -1, -1
	}
	return s
}

// An outcome is what a step gave: a count, bytes, an error. sigbus is a mapping
// that had nothing behind it.
type outcome struct {
	n      int64
	data   []byte
	err    error
	sigbus bool
}

// compare tells how what the mount gave differs from what the local folder gave.
func (got outcome) compare(want outcome) string {
	switch {
	case got.sigbus != want.sigbus:
		return fmt.Sprintf("SIGBUS: %v instead of %v", got.sigbus, want.sigbus)
	case got.err != want.err:
		return fmt.Sprintf("error %q instead of %q", said(got.err), said(want.err))
	case got.n != want.n && got.data == nil && want.data == nil:
		return fmt.Sprintf("%d instead of %d", got.n, want.n)
	}
	return difference(got.data, want.data)
}

func said(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}

// room is the side's buffer, of n bytes.
func (s *side) room(n int64) []byte {
	if int64(len(s.buf)) < n {
		s.buf = make([]byte, n)
	}
	return s.buf[:n]
}

func (s *side) content(step Step) []byte {
	b := s.room(step.Len)
	fill(b, step.Seed)
	return b
}

func count(n int, err error) outcome { return outcome{n: int64(n), err: err} }

func read(b []byte, n int, err error) outcome {
	return outcome{n: int64(n), data: b[:max(n, 0)], err: err}
}

// do does a step. Pauses and what is done on the server are the player's.
func (s *side) do(step Step) outcome {
	fd := s.fds[step.FD]
	switch step.Op {
	case "open":
		return s.open(step)
	case "close":
		s.fds[step.FD] = -1
		return outcome{err: unix.Close(fd)}
	case "flush":
		twin, err := unix.Dup(fd)
		if err != nil {
			return outcome{err: err}
		}
		return outcome{err: unix.Close(twin)}
	case "fsync":
		return outcome{err: unix.Fsync(fd)}
	case "read":
		b := s.room(step.Len)
		n, err := unix.Read(fd, b)
		return read(b, n, err)
	case "write":
		return count(unix.Write(fd, s.content(step)))
	case "pread":
		b := s.room(step.Len)
		n, err := unix.Pread(fd, b, step.Off)
		return read(b, n, err)
	case "pwrite":
		return count(unix.Pwrite(fd, s.content(step), step.Off))
	case "copy":
		return s.copy(step)
	case "seek":
		n, err := unix.Seek(fd, step.Off, seekFrom(step.Flags))
		return outcome{n: n, err: err}
	case "fstat":
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		return outcome{n: st.Size, err: err}
	case "stat":
		var st unix.Stat_t
		err := unix.Stat(s.path(step.Name), &st)
		return outcome{n: st.Size, err: err}
	case "truncate":
		return outcome{err: unix.Truncate(s.path(step.Name), step.Len)}
	case "resize":
		return outcome{err: unix.Ftruncate(fd, step.Len)}
	}
	return s.doMapped(step)
}

func (s *side) path(name string) string { return filepath.Join(s.dir, name) }

func (s *side) open(step Step) outcome {
	if s.fds[step.FD] >= 0 {
		return outcome{err: unix.EBUSY}
	}
	fd, err := unix.Open(s.path(step.Name), step.Flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return outcome{err: err}
	}
	s.fds[step.FD] = fd
	return outcome{}
}

// copy goes on after short counts, which may be as short as a kernel likes.
func (s *side) copy(step Step) outcome {
	var done int64
	for done < step.Len {
		from, to := step.Off+done, step.At+done
		n, err := unix.CopyFileRange(s.fds[step.FD], &from, s.fds[step.To], &to, int(step.Len-done), 0)
		if err != nil || n == 0 {
			return outcome{n: done, err: err}
		}
		done += int64(n)
	}
	return outcome{n: done}
}

// seekFrom makes two of open's flags to places to seek from.
func seekFrom(flags int) int {
	if flags&unix.O_APPEND != 0 {
		return unix.SEEK_END
	}
	return unix.SEEK_SET
}

func (s *side) doMapped(step Step) outcome {
	m := &s.maps[step.Map]
	if step.Op == "mmap" {
		return s.mmap(m, step)
	}
	if m.mem == nil {
		return outcome{err: unix.EINVAL}
	}
	switch step.Op {
	case "load":
		from := m.mem[clamp(step.Off, len(m.mem)):clamp(step.Off+step.Len, len(m.mem))]
		b := s.room(int64(len(from)))
		if sigbus(func() { copy(b, from) }) {
			return outcome{sigbus: true}
		}
		return outcome{data: b}
	case "store":
		if step.Len == 0 {
			return outcome{}
		}
		to, b := m.mem[clamp(step.Off, len(m.mem)):], s.content(step)
		return outcome{sigbus: sigbus(func() { copy(to, b) })}
	case "msync":
		return outcome{err: unix.Msync(m.mem, unix.MS_SYNC)}
	case "munmap":
		return outcome{err: m.unmap()}
	}
	return outcome{err: syscall.ENOSYS}
}

func (s *side) mmap(m *mapping, step Step) outcome {
	if m.mem != nil {
		return outcome{err: unix.EBUSY}
	}
	protection := unix.PROT_READ
	if step.Flags&unix.O_ACCMODE == unix.O_RDWR {
		protection |= unix.PROT_WRITE
	}
	mem, err := unix.Mmap(s.fds[step.FD], step.Off, int(step.Len), protection, unix.MAP_SHARED)
	if err != nil {
		return outcome{err: err}
	}
	m.mem, m.off = mem, step.Off
	return outcome{}
}

func (m *mapping) unmap() error {
	err := unix.Munmap(m.mem)
	m.mem = nil
	if m.fd >= 0 {
		_ = unix.Close(m.fd) // of a local file, and only ever asked for its size
		m.fd = -1
	}
	return err
}

// end is how many bytes of a mapping the file behind it has.
func (m *mapping) end() int64 {
	var st unix.Stat_t
	if unix.Fstat(m.fd, &st) != nil {
		return 0
	}
	return min(max(st.Size-m.off, 0), int64(len(m.mem)))
}

func clamp(off int64, size int) int64 { return min(max(off, 0), int64(size)) }

// sigbus reports whether touching a mapping failed.
func sigbus(touch func()) (failed bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if _, fault := r.(interface{ Addr() uintptr }); !fault {
				panic(r)
			}
			failed = true
		}
	}()
	touch()
	return false
}

// close gives back what is still held, the mappings first.
func (s *side) close() error {
	var first error
	for i := range places {
		var err error
		if s.maps[i].mem != nil {
			err = s.maps[i].unmap()
		}
		if first == nil {
			first = err
		}
	}
	for i, fd := range s.fds {
		if fd < 0 {
			continue
		}
		s.fds[i] = -1
		if err := unix.Close(fd); first == nil {
			first = err
		}
	}
	return first
}

// pause lets time pass: timers, and lives of what is cached.
func pause(step Step) { time.Sleep(time.Duration(step.Len) * time.Millisecond) }
