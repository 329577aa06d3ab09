package history

import "golang.org/x/sys/unix"

const page = 4096

// length is how much is read or written: mostly a few bytes, with sizes of pages
// and packets among them.
func (m *maker) length() int64 {
	var n int64
	switch k := m.IntN(10); {
	case k < 5:
		n = 1 + m.Int64N(64)
	case k < 7:
		n = 1 + m.Int64N(m.shape.largest)
	case k < 9:
		n = [...]int64{page, 2 * page, 32 << 10, 128 << 10, 261120, 1 << 20}[m.IntN(6)] + m.Int64N(3) - 1
	default:
		n = 1 << m.IntN(21)
	}
	return min(n, m.shape.largest)
}

// offset is where something of n bytes is done: across, inside or next to
// something done before, at the end of the file or beyond, or anywhere.
func (m *maker) offset(f *file, n int64) int64 {
	at := m.Int64N(m.shape.spread)
	if len(m.recent) > 0 {
		s := m.recent[m.IntN(len(m.recent))]
		switch m.IntN(8) {
		case 0, 1:
			at = s.from + m.Int64N(s.to-s.from+1) // begins in it
		case 2:
			at = s.from - m.Int64N(n+1) // ends in it
		case 3:
			at = s.to
		case 4:
			at = s.from - n
		case 5:
			at = f.size
		case 6:
			at = f.size + m.Int64N(2*page)
		}
	}
	if m.IntN(6) == 0 {
		at &^= page - 1
	}
	return min(max(at, 0), maxSize-n)
}

// writeStretch writes a large file in pieces, and after each patches some bytes
// some way back, as programs do that write archives, films and databases.
func (m *maker) writeStretch() {
	d, s := m.on("pwrite", (*descriptor).writes)
	if d == nil {
		return
	}
	steps := Stretch(m.Int64N, s, 2+m.Int64N(10), m.seed())
	m.steps = append(m.steps, steps...)
	m.shape.steps += len(steps)
	d.file.size = max(d.file.size, steps[len(steps)-1].Off)
}

// Stretch is so many MiB of that, done as the given step. random is a number below
// its argument.
func Stretch(random func(int64) int64, as Step, mebibytes int64, seed uint64) []Step {
	const piece, patch = 256 << 10, 9000
	var steps []Step
	for at := int64(0); at < mebibytes<<20; at += piece {
		as.Off, as.Len, as.Seed = at, piece, seed
		steps = append(steps, as)
		if at >= piece {
			as.Off, as.Len, as.Seed = at-random(min(at, 2<<20)), patch, seed+1
			steps = append(steps, as)
		}
		seed += 2
	}
	return steps
}

func (m *maker) mmap() {
	d, s := m.on("mmap", (*descriptor).reads)
	if d == nil {
		return
	}
	if s.Map = m.free(d.process); s.Map < 0 || d.file.size == 0 && m.IntN(10) > 0 {
		return
	}
	s.Off = m.Int64N(d.file.size+1) / 2 &^ (page - 1)
	s.Len = max(d.file.size-s.Off, 1)
	if m.IntN(4) == 0 {
		s.Len += m.Int64N(4 * page) // beyond the end: it may grow
	}
	if d.writes() && m.IntN(3) > 0 {
		s.Flags = unix.O_RDWR
	}
	m.add(s)
	if d.reads() {
		m.maps = append(m.maps, &mapped{d.process, s.Map, s.Len, s.Flags == unix.O_RDWR})
	}
}

// free is a place for a mapping, or -1.
func (m *maker) free(process int) int {
	taken := [places]bool{}
	for _, o := range m.maps {
		taken[o.place] = taken[o.place] || o.process == process
	}
	for place, t := range taken {
		if !t {
			return place
		}
	}
	return -1
}

// in begins a step in a mapping that would do.
func (m *maker) in(op string, writes bool) (*mapped, Step) {
	if len(m.maps) == 0 {
		return nil, Step{}
	}
	o := m.maps[m.IntN(len(m.maps))]
	if writes && !o.writes {
		return nil, Step{}
	}
	return o, Step{Process: o.process, Op: op, Map: o.place}
}

func (m *maker) load() {
	if o, s := m.in("load", false); o != nil {
		s.Len = o.len
		if m.IntN(2) == 0 {
			s.Len = min(m.length(), o.len)
			s.Off = m.Int64N(o.len - s.Len + 1)
		}
		m.add(s)
	}
}

func (m *maker) store() {
	if o, s := m.in("store", true); o != nil {
		s.Len, s.Seed = min(m.length(), o.len), m.seed()
		s.Off = m.Int64N(o.len - s.Len + 1)
		m.add(s)
	}
}

func (m *maker) msync() {
	if o, s := m.in("msync", false); o != nil {
		m.add(s)
	}
}

func (m *maker) munmap() {
	if len(m.maps) == 0 {
		return
	}
	i := m.IntN(len(m.maps))
	o := m.maps[i]
	m.maps = append(m.maps[:i:i], m.maps[i+1:]...)
	m.add(Step{Process: o.process, Op: "munmap", Map: o.place})
}

// copy copies within a process, also within one file.
func (m *maker) copy() {
	from, s := m.on("copy", (*descriptor).reads)
	if from == nil {
		return
	}
	to := m.open[m.IntN(len(m.open))]
	if to.process != from.process {
		return
	}
	s.To, s.Len = to.fd, m.length()
	s.Off, s.At = m.offset(from.file, s.Len), m.offset(to.file, s.Len)
	m.add(s)
	if n := min(s.Len, from.file.size-s.Off); to.flags&unix.O_APPEND == 0 {
		m.wrote(to, s.At, n)
	}
}
