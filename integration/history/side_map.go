package history

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

type mapping struct {
	mem []byte
	off int64
	fd  int // a duplicate on the local side, to ask for the size; else -1
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
	return outcome{err: unix.ENOSYS}
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
