package keys

import (
	"encoding/binary"
	"math/big"
)

// A wireReader reads the SSH data types (RFC 4251, section 5). After the first
// error everything it gives is empty; the caller asks ok once at the end.
type wireReader struct {
	data   []byte
	failed bool
}

func (r *wireReader) take(n int) []byte {
	if r.failed || n < 0 || n > len(r.data) {
		r.failed = true
		return nil
	}
	out := r.data[:n:n]
	r.data = r.data[n:]
	return out
}

func (r *wireReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *wireReader) bytes() []byte {
	n := r.uint32()
	if uint64(n) > uint64(len(r.data)) {
		r.failed = true
		return nil
	}
	return r.take(int(n))
}

func (r *wireReader) string() string { return string(r.bytes()) }

// mpint reads a number that is not negative.
func (r *wireReader) mpint() *big.Int {
	b := r.bytes()
	if len(b) > 0 && b[0]&0x80 != 0 {
		r.failed = true
	}
	return new(big.Int).SetBytes(b)
}

// A wireWriter writes them.
type wireWriter struct{ data []byte }

func (w *wireWriter) uint32(n uint32) { w.data = binary.BigEndian.AppendUint32(w.data, n) }

func (w *wireWriter) bytes(b []byte) {
	w.uint32(uint32(len(b)))
	w.data = append(w.data, b...)
}

func (w *wireWriter) string(s string) { w.bytes([]byte(s)) }

func (w *wireWriter) mpint(n *big.Int) {
	b := n.Bytes()
	if len(b) > 0 && b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	w.bytes(b)
}

func (w *wireWriter) mpints(numbers ...*big.Int) {
	for _, n := range numbers {
		w.mpint(n)
	}
}
