package history

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// What is written can be recognised where it comes out: eight bytes are a number
// that holds the seed of the write and the place in it, mixed so that no two look
// alike.
const (
	mixA        = 0x9E3779B97F4A7C15
	mixB        = 0xD6E8FEB86659FD93
	mixAInverse = 0xF1DE83E19937733D
	mixBInverse = 0xCFEE444D8B59A89B
)

func mix(x uint64) uint64 {
	x *= mixA
	x ^= x >> 32
	x *= mixB
	return x ^ x>>32
}

func unmix(x uint64) uint64 {
	x ^= x >> 32
	x *= mixBInverse
	x ^= x >> 32
	return x * mixAInverse
}

// fill makes the bytes of a write.
func fill(b []byte, seed uint64) {
	for i := uint64(0); len(b) > 0; i++ {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], mix(seed<<32|i))
		b = b[copy(b, word[:]):]
	}
}

// origin tells which write bytes come from, as far as it can be seen.
func origin(b []byte) string {
	if len(b) > 0 && len(bytes.Trim(b, "\x00")) == 0 {
		return "zeros"
	}
	for skip := 0; skip < 8 && skip+16 <= len(b); skip++ {
		first := unmix(binary.LittleEndian.Uint64(b[skip:]))
		if unmix(binary.LittleEndian.Uint64(b[skip+8:])) == first+1 && first>>32 < 1<<24 {
			return fmt.Sprintf("what seed %d wrote, from its byte %d on", first>>32, int64(uint32(first))*8-int64(skip))
		}
	}
	return fmt.Sprintf("%x", b[:min(len(b), 16)])
}

// difference tells where two contents differ, and how; "" when they do not.
func difference(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	both := min(len(got), len(want))
	first, last, count := -1, 0, 0
	for i := range both {
		if got[i] != want[i] {
			if first < 0 {
				first = i
			}
			last = i
			count++
		}
	}
	text := ""
	if len(got) != len(want) {
		text = fmt.Sprintf("%d bytes instead of %d", len(got), len(want))
	}
	if first < 0 {
		return text
	}
	if text != "" {
		text += "; "
	}
	return text + fmt.Sprintf("%d bytes differ, between %d and %d: %s instead of %s", count, first, last,
		origin(got[first:last+1]), origin(want[first:last+1]))
}
