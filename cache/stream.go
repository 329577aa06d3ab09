package cache

import (
	"slices"
	"time"
)

// A stream is a reader that goes forward through a File; a File can have several.
// Guarded by opened.mu.
type stream struct {
	start, next int64 // what it has read
	head        int64 // what was asked for ahead of it ends here
	tail        int64 // what is behind it was dropped up to here
	run         int   // reads in order
	reach       int64 // reads so far behind may still come
	window      int64
	used        instant

	since instant // the rate is measured from here
	got   int64   // bytes read since
	rate  float64 // bytes a second, of late
}

const (
	maxStreams = 8
	nearby     = 512 << 10 // reads so far apart may come out of order
	behind     = 1 << 20   // what is kept behind a reader of small pieces
	leastAhead = 2 * packet
	mostAhead  = 64 << 20
)

// follow finds the stream that a read of [off, end) continues, or begins one. The
// kernel sends several reads at a time, and not always in order.
func (f *File) follow(off, end int64, now instant) *stream {
	for i := range f.streams {
		s := &f.streams[i]
		if s.continues(off, end) {
			if end > s.next {
				s.run++
			}
			if s.run == 1 && s.window == 0 {
				s.window = f.c.link.window(f.c.link.fastest()/4, packet)
			}
			s.start, s.tail = min(s.start, off), min(s.tail, off)
			s.reach = max(s.reach, 4*(end-off))
			s.advance(end, now)
			return s
		}
	}
	if len(f.streams) == maxStreams {
		oldest := 0
		for i := range f.streams {
			if f.streams[i].used < f.streams[oldest].used {
				oldest = i
			}
		}
		f.streams = slices.Delete(f.streams, oldest, oldest+1)
	}
	f.streams = append(f.streams, stream{start: off, next: end, head: end, tail: off, reach: behind, used: now, since: now})
	return &f.streams[len(f.streams)-1]
}

// continues reports whether a read belongs to the stream: it begins where the last
// one ended, or, as a reader in order has several under way, near there.
func (s *stream) continues(off, end int64) bool {
	switch {
	case off == s.next || end == s.start:
		return true
	case off > s.next:
		return s.run > 0 && off-s.next <= max(nearby, s.window/4)
	default:
		return off >= s.next-s.reach && off >= s.start
	}
}

func (s *stream) advance(end int64, now instant) {
	if end > s.next {
		s.got += end - s.next
		s.next = end
	}
	s.used = now
}

// measure takes the stream's rate when it was measured for long enough, and sets
// the window by it. That counts what was asked for, which may come in bursts, so the
// window grows step by step.
func (f *File) measure(s *stream, now instant) {
	k := &f.c.link
	past := now - s.since
	if past < max(instant(k.packet.positive()), instant(2*time.Millisecond)) {
		return
	}
	rate := float64(s.got) / past.seconds()
	s.rate = max(rate, s.rate*0.8) // a reader may pause for a moment
	s.since, s.got = now, 0
	k.rate.see(-int64(rate), now)
	s.window = min(k.window(s.rate, s.piece()), 2*s.window+pieceSize)
}

// piece is how much to ask for at once: little at first and on a slow link, so that
// a reader does not wait for what it does not need yet.
func (s *stream) piece() int64 {
	if s.window >= pieceSize && s.rate > 8<<20 {
		return pieceSize
	}
	return packet
}

// share is the most that one stream may have read ahead, so that all those reading
// have their part of the memory.
func (c *Cache) share(now instant) int64 {
	if now-c.counted > instant(100*time.Millisecond) {
		c.counted, c.readers = now, 0
		for _, obj := range c.files.paths {
			for f := range obj.files {
				c.readers += f.reads(now)
			}
		}
	}
	return min(mostAhead, c.mem.limit/4/int64(max(c.readers, 1)))
}

// reads is how many streams read in order, of late.
func (f *File) reads(now instant) (n int) {
	for i := range f.streams {
		if s := &f.streams[i]; s.run > 0 && now-s.used < instant(2*time.Second) {
			n++
		}
	}
	return n
}

// ahead asks for what the stream will read next. Only whole pieces are asked for,
// except at the end of the file and at what is held already.
func (f *File) ahead(s *stream, l *loan, now instant) {
	s.head = max(s.head, s.next)
	window := min(max(s.window, leastAhead), f.c.share(now))
	limit := min(s.next+window, f.attr.Size)
	for s.head < limit {
		i, held := f.shelf.data.find(s.head)
		if held {
			s.head = f.shelf.data[i].end()
			continue
		}
		piece := s.piece()
		_, to := f.shelf.data.around(i)
		to = min(to, s.head-s.head%piece+piece, f.attr.Size)
		if !f.c.mem.room(int(to - s.head)) {
			return
		}
		i, _ = f.shelf.data.find(s.head) // making room may have moved it
		l.start = append(l.start, f.shelf.newExtent(f, i, s.head, to, nil))
		s.head = to
	}
}

// leave drops what the stream has read, but for a little: the kernel has several
// reads under way, and they come out of order. Where others read too, they may come
// by, and what was not used for longest goes when room is needed.
func (f *File) leave(s *stream, now instant) {
	if s.next-s.tail < s.reach+pieceSize {
		return
	}
	if f.shelf.isReadBy(f, now) {
		x := f.shelf.data
		i, _ := x.find(s.tail)
		j := i
		for j < len(x) && x[j].end() <= s.next-s.reach {
			x[j].letGo()
			j++
		}
		f.shelf.data = slices.Delete(x, i, j)
	}
	s.tail = s.next - s.reach
}
