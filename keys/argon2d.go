package keys

import (
	"encoding/binary"

	"golang.org/x/crypto/blake2b"
)

// argon2d is Argon2d, version 1.3, of RFC 9106: the variant that x/crypto's
// argon2 leaves out because it depends on the passphrase in its memory access.
// PuTTY can write files with it, so it is needed to read them and for nothing
// else; it is written plainly, and its cost is bounded by the caller.
func argon2d(password, salt []byte, passes, memory, lanes, size uint32) []byte {
	h0 := argonSeed(password, salt, passes, memory, lanes, size)
	memory = max(memory/(4*lanes)*(4*lanes), 8*lanes)
	a := &argonMemory{
		blocks: make([]argonBlock, memory), lanes: lanes,
		lane: memory / lanes, segment: memory / lanes / 4,
	}
	a.first(h0)
	for pass := range passes {
		for slice := range uint32(4) {
			for lane := range lanes {
				a.fill(pass, slice, lane)
			}
		}
	}
	return a.final(size)
}

type argonBlock [128]uint64

type argonMemory struct {
	blocks               []argonBlock
	lanes, lane, segment uint32 // lane and segment are lengths in blocks
}

// argonSeed is H0; memory counts in it as it was asked for, before rounding.
func argonSeed(password, salt []byte, passes, memory, lanes, size uint32) []byte {
	var in []byte
	for _, n := range []uint32{lanes, size, memory, passes, 0x13, 0} {
		in = binary.LittleEndian.AppendUint32(in, n)
	}
	for _, b := range [][]byte{password, salt, nil, nil} {
		in = binary.LittleEndian.AppendUint32(in, uint32(len(b)))
		in = append(in, b...)
	}
	sum := blake2b.Sum512(in)
	return sum[:]
}

// argonHash is H', a BLAKE2b of any length.
func argonHash(in []byte, size uint32) []byte {
	in = append(binary.LittleEndian.AppendUint32(nil, size), in...)
	if size <= 64 {
		h, _ := blake2b.New(int(size), nil) // no key, and a size in range: no error
		h.Write(in)
		return h.Sum(nil)
	}
	sum := blake2b.Sum512(in)
	out := append([]byte(nil), sum[:32]...)
	for left := size - 32; left > 64; left -= 32 {
		sum = blake2b.Sum512(sum[:])
		out = append(out, sum[:32]...)
	}
	h, _ := blake2b.New(int(size)-len(out), nil)
	h.Write(sum[:])
	return h.Sum(out)
}

func (a *argonMemory) first(h0 []byte) {
	for lane := range a.lanes {
		for i := range uint32(2) {
			in := binary.LittleEndian.AppendUint32(append([]byte(nil), h0...), i)
			in = binary.LittleEndian.AppendUint32(in, lane)
			raw := argonHash(in, 1024)
			b := &a.blocks[lane*a.lane+i]
			for j := range b {
				b[j] = binary.LittleEndian.Uint64(raw[8*j:])
			}
		}
	}
}

func (a *argonMemory) fill(pass, slice, lane uint32) {
	start := uint32(0)
	if pass == 0 && slice == 0 {
		start = 2
	}
	base := lane * a.lane
	for i := start; i < a.segment; i++ {
		column := slice*a.segment + i
		previous := base + (column+a.lane-1)%a.lane
		from := a.reference(a.blocks[previous][0], pass, slice, lane, i)
		mixed := argonCompress(&a.blocks[previous], &a.blocks[from])
		to := &a.blocks[base+column]
		for j := range to {
			if pass == 0 {
				to[j] = mixed[j]
			} else {
				to[j] ^= mixed[j]
			}
		}
	}
}

// reference is the index of the block to mix in (RFC 9106, section 3.4).
func (a *argonMemory) reference(random uint64, pass, slice, lane, i uint32) uint32 {
	refLane := uint32(random>>32) % a.lanes
	if pass == 0 && slice == 0 {
		refLane = lane
	}
	area, start := 3*a.segment, (slice+1)%4*a.segment
	if pass == 0 {
		area, start = slice*a.segment, 0
	}
	switch {
	case refLane == lane:
		area += i - 1
	case i == 0:
		area--
	}
	x := random & 0xffffffff
	x = x * x >> 32
	x = uint64(area) - 1 - uint64(area)*x>>32
	return refLane*a.lane + uint32((uint64(start)+x)%uint64(a.lane))
}

func (a *argonMemory) final(size uint32) []byte {
	var sum argonBlock
	for lane := range a.lanes {
		for j, v := range a.blocks[lane*a.lane+a.lane-1] {
			sum[j] ^= v
		}
	}
	var raw []byte
	for _, v := range sum {
		raw = binary.LittleEndian.AppendUint64(raw, v)
	}
	return argonHash(raw, size)
}

// argonCompress is G: rows, then columns of 16-byte words, by BLAKE2b's round
// with multiplications.
func argonCompress(x, y *argonBlock) argonBlock {
	var r argonBlock
	for i := range r {
		r[i] = x[i] ^ y[i]
	}
	z := r
	var at [16]int
	for row := range 8 {
		for i := range at {
			at[i] = 16*row + i
		}
		argonRound(&z, &at)
	}
	for column := range 8 {
		for i := range at {
			at[i] = 16*(i/2) + 2*column + i%2
		}
		argonRound(&z, &at)
	}
	for i := range z {
		z[i] ^= r[i]
	}
	return z
}

func argonRound(b *argonBlock, at *[16]int) {
	for i := range 4 {
		argonMix(b, at[i], at[4+i], at[8+i], at[12+i])
	}
	for i := range 4 {
		argonMix(b, at[i], at[4+(i+1)%4], at[8+(i+2)%4], at[12+(i+3)%4])
	}
}

func argonMix(v *argonBlock, a, b, c, d int) {
	v[a] += v[b] + 2*uint64(uint32(v[a]))*uint64(uint32(v[b]))
	v[d] = rotate(v[d]^v[a], 32)
	v[c] += v[d] + 2*uint64(uint32(v[c]))*uint64(uint32(v[d]))
	v[b] = rotate(v[b]^v[c], 24)
	v[a] += v[b] + 2*uint64(uint32(v[a]))*uint64(uint32(v[b]))
	v[d] = rotate(v[d]^v[a], 16)
	v[c] += v[d] + 2*uint64(uint32(v[c]))*uint64(uint32(v[d]))
	v[b] = rotate(v[b]^v[c], 63)
}

func rotate(v uint64, right uint) uint64 { return v>>right | v<<(64-right) }
