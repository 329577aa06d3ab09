package fsnode

// The number of the root, which the protocol fixes, and the one go-fuse keeps
// for itself.
const (
	rootID     = 1
	reservedID = ^uint64(0)
)

// InodeNumber is a number for a path: FNV-1a of 64 bits, its bits mixed once more
// because programs use the low ones in hash tables. The top bit stays free for
// programs that take the number for a signed one. It is part of what users see:
// git hashes every file again when it changes.
func InodeNumber(path string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := 0; i < len(path); i++ {
		h = (h ^ uint64(path[i])) * prime
	}
	return mix(h)
}

// mix is the finalizer of splitmix64.
func mix(h uint64) uint64 {
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	h ^= h >> 31
	return h >> 1
}

// freeID is the number a new node at path gets: its hash, or the first of a
// chain of further hashes that no living node has. The caller holds t.mu.
func (t *tree) freeID(path string) uint64 {
	id := InodeNumber(path)
	for id <= rootID || id == reservedID || t.nodes[id] != nil {
		id = mix(id + 0x9e3779b97f4a7c15)
	}
	return id
}
