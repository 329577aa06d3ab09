package pool

import "sync"

// Buffers of written data come in sizes that double, so that what is sent takes no
// more than twice its length in memory, beyond the smallest.
const (
	smallBuffer   = 4 << 10
	mediumBuffer  = 32 << 10
	largestBuffer = 256 << 10
)

type bufferPool struct {
	size int
	pool *sync.Pool
}

var bufferPools = newBufferPools()

func newBufferPools() (pools []bufferPool) {
	for size := smallBuffer; size <= largestBuffer; size *= 2 {
		pools = append(pools, bufferPool{size, newBufferPool(size)})
	}
	return pools
}

func newBufferPool(size int) *sync.Pool {
	return &sync.Pool{New: func() any {
		b := make([]byte, 0, size)
		return &b
	}}
}

// takeBuffer gives an empty buffer with room for n bytes, at most a largest one.
func takeBuffer(n int) []byte {
	for _, class := range bufferPools {
		if n <= class.size {
			return (*class.pool.Get().(*[]byte))[:0]
		}
	}
	return make([]byte, 0, n)
}

// growBuffer makes a buffer n bytes long, of most that it will ever be, and keeps what it
// holds. One that must grow gets four times the room: what is written in order goes on
// for a packet mostly.
func growBuffer(b []byte, n, most int) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	bigger := append(takeBuffer(max(n, min(4*cap(b), most))), b...)[:n]
	giveBuffer(b)
	return bigger
}

func giveBuffer(b []byte) {
	for _, class := range bufferPools {
		if cap(b) == class.size {
			class.pool.Put(&b)
		}
	}
}
