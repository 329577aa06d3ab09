package cache

import (
	"slices"
	"sync"
	"time"
)

// packet is how much OpenSSH gives in one answer (255 KiB). Reading ahead goes by
// multiples of it, so that no piece ends in a small remainder; it is a multiple of
// the page size too.
const packet = 261120

// pieceSize is what a fast sequential reader has fetched at once.
const pieceSize = 4 * packet

// sizes are the capacities of buffers, ascending.
var sizes = [...]int{
	4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, packet, 256 << 10,
	384 << 10, 512 << 10, 640 << 10, 768 << 10, 896 << 10, pieceSize,
}

// A buffer is memory for a piece of a file.
type buffer struct {
	b     []byte // its length is its capacity
	class int    // index in sizes
}

// memory is the budget for file data, with what can be dropped in the order in
// which it was last used. Buffers that were given back are used again, the last one
// first, as the processor's caches may still have it; a sync.Pool would lose them
// to the garbage collector, which x/crypto/ssh keeps busy. Guarded by mu, which is
// opened.mu.
type memory struct {
	mu      sync.Locker
	limit   int64
	besides func() int64 // of it, what others hold
	used    int64
	idle    extent // head of a ring: idle.next is the first to go

	spare    [len(sizes)]spare
	kept     int64 // bytes of spare
	trimming bool  // a timer will call trim
}

// spare are the buffers of a size that nobody uses.
type spare struct {
	all   []*buffer
	least int // the fewest there were since the last trim
}

// trimEvery is how often the buffers go that were not needed for so long.
const trimEvery = 2 * time.Second

func newMemory(limit int64, besides func() int64, mu sync.Locker) *memory {
	m := &memory{limit: limit, besides: besides, mu: mu}
	m.idle.next, m.idle.prev = &m.idle, &m.idle
	return m
}

// take gives a buffer of at least n bytes, at most pieceSize. What it holds is
// arbitrary.
func (m *memory) take(n int) *buffer {
	class := 0
	for sizes[class] < n {
		class++
	}
	m.used += int64(sizes[class])
	s := &m.spare[class]
	if last := len(s.all) - 1; last >= 0 {
		b := s.all[last]
		s.all[last], s.all = nil, s.all[:last]
		s.least = min(s.least, last)
		m.kept -= int64(sizes[class])
		return b
	}
	return &buffer{b: make([]byte, sizes[class]), class: class}
}

// give takes a buffer back; reuse says that nobody writes to it any more.
func (m *memory) give(b *buffer, reuse bool) {
	m.used -= int64(len(b.b))
	if !reuse || !m.fits(int64(len(b.b))) {
		return
	}
	s := &m.spare[b.class]
	s.all = append(s.all, b)
	m.kept += int64(len(b.b))
	m.trimLater()
}

func (m *memory) trimLater() {
	if !m.trimming {
		m.trimming = true
		time.AfterFunc(trimEvery, m.trim)
	}
}

// trim lets the garbage collector have the buffers that were not needed lately.
func (m *memory) trim() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for class := range m.spare {
		s := &m.spare[class]
		m.kept -= int64(s.least) * int64(sizes[class])
		s.all = slices.Delete(s.all, 0, s.least)
		s.least = len(s.all)
	}
	m.trimming = false
	if m.kept > 0 {
		m.trimLater()
	}
}

// fits reports whether n more bytes do.
func (m *memory) fits(n int64) bool { return m.used+m.kept+m.besides()+n <= m.limit }

// shed lets the garbage collector have all buffers that nobody uses.
func (m *memory) shed() {
	m.spare, m.kept = [len(sizes)]spare{}, 0
}

// room drops what is of no use, or was not used for longest, until n more bytes fit,
// and reports whether they do.
func (m *memory) room(n int) bool {
	for !m.fits(int64(n)) {
		if m.kept > 0 {
			m.shed()
			continue
		}
		oldest := m.idle.next
		if oldest == &m.idle {
			return false
		}
		oldest.discard()
	}
	return true
}

// rest puts e at the end of those that can be dropped.
func (m *memory) rest(e *extent) {
	e.next, e.prev = &m.idle, m.idle.prev
	e.prev.next, e.next.prev = e, e
}

// wake takes e away from those that can be dropped.
func (m *memory) wake(e *extent) {
	if e.next == nil {
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	e.next, e.prev = nil, nil
}
