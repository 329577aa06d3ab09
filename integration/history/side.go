package history

import (
	"fmt"
	"path/filepath"
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

func newSide(dir string) *side {
	s := &side{dir: dir}
	for i := range places {
		s.fds[i], s.maps[i].fd = -1, -1
	}
	return s
}

// An outcome is what a step gave: a count, bytes, a text, an error. sigbus is a mapping
// that had nothing behind it.
type outcome struct {
	n      int64
	text   string
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
	case got.text != want.text:
		return fmt.Sprintf("%q instead of %q", got.text, want.text)
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
	if mapping := step.Op == "mmap" || step.Op == "load" || step.Op == "store" || step.Op == "msync" || step.Op == "munmap"; mapping {
		return s.doMapped(step)
	}
	return s.doNames(step)
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
