package pool

import "sync"

// Buffers of written data come in three sizes, so that a small write does not
// hold a whole packet's memory.
const (
	smallBuffer   = 4 << 10
	mediumBuffer  = 32 << 10
	largestBuffer = 256 << 10
)

var bufferPools = [...]struct {
	size int
	pool *sync.Pool
}{
	{smallBuffer, newBufferPool(smallBuffer)},
	{mediumBuffer, newBufferPool(mediumBuffer)},
	{largestBuffer, newBufferPool(largestBuffer)},
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

// growBuffer makes a buffer n bytes long and keeps what it holds.
func growBuffer(b []byte, n int) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	bigger := append(takeBuffer(n), b...)[:n]
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
