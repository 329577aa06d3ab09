package history

import (
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// maxSize is how large a file may become.
const maxSize = 24 << 20

// A shape is what kind of history it is. Most are small, so that many steps fall
// on the same few bytes and thousands of histories are played in a minute.
type shape struct {
	steps   int
	largest int64 // a write
	spread  int64 // up to where offsets go, unless near an earlier place
	stretch bool  // begins with a large file written in pieces and patched
}

func randomShape(r *rand.Rand) shape {
	switch n := r.IntN(100); {
	case n < 50:
		return shape{steps: 10 + r.IntN(60), largest: 64, spread: 256}
	case n < 80:
		return shape{steps: 20 + r.IntN(150), largest: 40 << 10, spread: 128 << 10}
	case n < 96:
		return shape{steps: 20 + r.IntN(100), largest: 1 << 20, spread: 4 << 20}
	case n < 98:
		return shape{steps: 20 + r.IntN(40), largest: 20 << 20, spread: 20 << 20}
	}
	return shape{steps: 20 + r.IntN(40), largest: 1 << 20, spread: 8 << 20, stretch: true}
}

// Random makes the history of a seed, of one to four descriptors in two processes
// on one or two files.
func Random(seed uint64) []Step {
	r := rand.New(rand.NewPCG(seed, 0))
	m := &maker{Rand: r, shape: randomShape(r), kinds: dataKinds(), files: map[string]*file{}}
	m.start()
	for len(m.steps) < m.shape.steps {
		m.next()
	}
	m.finish()
	return m.steps
}

// A maker makes one history. What it knows of files and descriptors serves to
// make steps that have an effect; a step that has none is allowed.
type maker struct {
	*rand.Rand
	shape   shape
	kinds   []kind
	steps   []Step
	names   []string
	folders []string
	files   map[string]*file // by the names they have; nil where there is none
	open    []*descriptor
	maps    []*mapped
	recent  []span
	most    int // descriptors open at a time
}

// A file has the size that it should have.
type file struct{ size int64 }

type descriptor struct {
	process, fd int
	file        *file
	flags       int
}

func (d *descriptor) reads() bool  { return d.flags&unix.O_ACCMODE != unix.O_WRONLY }
func (d *descriptor) writes() bool { return d.flags&unix.O_ACCMODE != unix.O_RDONLY }

type mapped struct {
	process, place int
	len            int64
	writes         bool
}

type span struct{ from, to int64 }

func (m *maker) start() {
	m.names, m.most = []string{"a", "b"}[:1+m.IntN(2)], 1+m.IntN(4)
	m.begin()
	if m.shape.stretch {
		m.writeStretch()
	}
}

// begin lets some files be there, and opens one.
func (m *maker) begin() {
	for _, name := range m.names {
		if m.IntN(3) == 0 {
			f := &file{m.length()}
			m.files[name] = f
			m.add(Step{Op: "there-make", Name: name, Len: f.size, Seed: m.seed()})
		}
	}
	m.openOne()
}

func (m *maker) add(s Step) { m.steps = append(m.steps, s) }

// seed is another one for each step.
func (m *maker) seed() uint64 { return uint64(len(m.steps)) + 1 }

// A kind of step, and how often it is tried.
type kind struct {
	weight int
	make   func(*maker)
}

// dataKinds are the kinds of steps of histories about data.
func dataKinds() []kind {
	return []kind{
		{9, (*maker).openOne}, {5, (*maker).closeOne},
		{24, (*maker).pwrite}, {10, (*maker).write}, {16, (*maker).pread}, {6, (*maker).read},
		{4, (*maker).seek}, {5, (*maker).resize}, {2, (*maker).truncate},
		{3, (*maker).fsync}, {3, (*maker).flush}, {7, (*maker).fstat}, {2, (*maker).stat},
		{4, (*maker).mmap}, {8, (*maker).load}, {5, (*maker).store}, {2, (*maker).msync}, {1, (*maker).munmap},
		{2, (*maker).copy},
		{2, (*maker).pause},
	}
}

func (m *maker) next() {
	total := 0
	for _, k := range m.kinds {
		total += k.weight
	}
	n := m.IntN(total)
	for _, k := range m.kinds {
		if n -= k.weight; n < 0 {
			k.make(m)
			return
		}
	}
}

// finish closes everything in any order, and now and then looks once more.
func (m *maker) finish() {
	for len(m.maps)+len(m.open) > 0 {
		switch m.IntN(6) {
		case 0:
			m.stat()
		case 1, 2:
			m.munmap()
		default:
			m.closeOne()
		}
	}
}

func (m *maker) openOne() {
	if len(m.open) >= m.most {
		return
	}
	d, name := &descriptor{process: m.IntN(2)}, m.there()
	for d.fd = range places {
		if m.at(d.process, d.fd) == nil {
			break
		}
	}
	d.flags = [...]int{unix.O_RDWR, unix.O_RDWR, unix.O_RDWR, unix.O_WRONLY, unix.O_RDONLY}[m.IntN(5)]
	d.file = m.files[name]
	there := d.file != nil
	if !there || m.IntN(4) == 0 {
		d.flags |= unix.O_CREAT
	}
	if m.IntN(5) == 0 {
		d.flags |= unix.O_APPEND
	}
	if m.IntN(10) == 0 {
		d.flags |= unix.O_TRUNC
	}
	if d.flags&unix.O_CREAT != 0 && m.IntN(20) == 0 {
		d.flags |= unix.O_EXCL
	}
	m.add(Step{Process: d.process, Op: "open", FD: d.fd, Name: name, Flags: d.flags})
	switch {
	case there && d.flags&unix.O_EXCL != 0:
		return // refused
	case !there:
		d.file = &file{}
		m.files[name] = d.file
	case d.flags&unix.O_TRUNC != 0:
		d.file.size = 0
	}
	m.open = append(m.open, d)
}

func (m *maker) at(process, fd int) *descriptor {
	for _, d := range m.open {
		if d.process == process && d.fd == fd {
			return d
		}
	}
	return nil
}

func (m *maker) closeOne() {
	if len(m.open) == 0 {
		return
	}
	i := m.IntN(len(m.open))
	d := m.open[i]
	m.open = append(m.open[:i:i], m.open[i+1:]...)
	m.add(Step{Process: d.process, Op: "close", FD: d.fd})
}

// on picks an open descriptor that would do, or now and then one that would not,
// and begins a step on it.
func (m *maker) on(op string, does func(*descriptor) bool) (*descriptor, Step) {
	var fit []*descriptor
	for _, d := range m.open {
		if does == nil || does(d) || m.IntN(50) == 0 {
			fit = append(fit, d)
		}
	}
	if len(fit) == 0 {
		return nil, Step{}
	}
	d := fit[m.IntN(len(fit))]
	return d, Step{Process: d.process, Op: op, FD: d.fd}
}

func (m *maker) pwrite() {
	d, s := m.on("pwrite", (*descriptor).writes)
	if d == nil {
		return
	}
	s.Len, s.Seed = m.length(), m.seed()
	s.Off = m.offset(d.file, s.Len)
	m.add(s)
	if d.flags&unix.O_APPEND != 0 {
		s.Off = d.file.size // Linux appends, whatever offset is told
	}
	m.wrote(d, s.Off, s.Len)
}

func (m *maker) wrote(d *descriptor, off, n int64) {
	if d.writes() && n > 0 {
		d.file.size = max(d.file.size, off+n)
		m.note(off, n)
	}
}

func (m *maker) note(off, n int64) {
	m.recent = append(m.recent, span{off, off + n})
	if len(m.recent) > 8 {
		m.recent = m.recent[1:]
	}
}

func (m *maker) write() {
	d, s := m.on("write", (*descriptor).writes)
	if d == nil || d.file.size+m.shape.largest > maxSize {
		return
	}
	s.Len, s.Seed = m.length(), m.seed()
	m.add(s)
	if d.flags&unix.O_APPEND != 0 {
		m.wrote(d, d.file.size, s.Len)
	}
}

func (m *maker) pread() {
	d, s := m.on("pread", (*descriptor).reads)
	if d == nil {
		return
	}
	if m.IntN(3) == 0 { // all of it
		s.Len = d.file.size + 10
	} else {
		s.Len = m.length()
		s.Off = m.offset(d.file, s.Len)
	}
	m.add(s)
}

func (m *maker) read() {
	if d, s := m.on("read", (*descriptor).reads); d != nil {
		s.Len = m.length()
		m.add(s)
	}
}

func (m *maker) seek() {
	d, s := m.on("seek", nil)
	if d == nil {
		return
	}
	if m.IntN(3) == 0 {
		s.Flags = unix.O_APPEND
	} else {
		s.Off = m.offset(d.file, 0)
	}
	m.add(s)
}

func (m *maker) resize() {
	d, s := m.on("resize", (*descriptor).writes)
	if d == nil {
		return
	}
	s.Len = m.offset(d.file, 0)
	m.add(s)
	if d.writes() {
		d.file.size = s.Len
	}
}

func (m *maker) truncate() {
	name := m.there()
	f := m.files[name]
	if f == nil {
		f = &file{} // refused
	}
	f.size = m.offset(f, 0)
	m.add(Step{Process: m.IntN(2), Op: "truncate", Name: name, Len: f.size})
}

func (m *maker) fsync() { m.plain("fsync") }
func (m *maker) flush() { m.plain("flush") }
func (m *maker) fstat() { m.plain("fstat") }

func (m *maker) plain(op string) {
	if d, s := m.on(op, nil); d != nil {
		m.add(s)
	}
}

func (m *maker) stat() {
	m.add(Step{Process: m.IntN(2), Op: "stat", Name: m.there()})
}

// pause lets timers go off: most of the time short ones.
func (m *maker) pause() {
	ms := int64(1 + m.IntN(8))
	if m.IntN(60) == 0 {
		ms = 700
	}
	m.add(Step{Process: m.IntN(2), Op: "pause", Len: ms})
}
