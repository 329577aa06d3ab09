package cache

// luck learns whether blocks that are larger than what a random reader asked for
// are of use to it. Guarded by opened.mu.
type luck struct {
	fetched, reused int   // blocks, of late; of a file that fits into memory, ever
	bytes           int64 // in those fetched
	pause           int   // misses for which no blocks are fetched
	patience        int   // the next pause
}

const (
	trial      = 64   // blocks after which is judged
	persistent = 32   // blocks after which a program will come to most of a file
	firstPause = 256  // misses
	mostPause  = 4096 // misses
)

// hit notes that a read was answered by an extent.
func (k *luck) hit(e *extent) {
	if e.by != nil && e.size > 32<<10 {
		k.reused++
	}
}

// nearly reports whether half of the file, or more, fits into memory.
func nearly(size, memory int64) bool { return size <= 2*memory }

// whole is the number of blocks for which it has been plain that the program will
// come to most of the file, 0 when it is not. Then the file is worth being here as a
// whole, or as much of it as fits.
func (k *luck) whole(size, memory int64) int {
	if !nearly(size, memory) {
		return 0
	}
	return max(k.fetched-persistent, 0)
}

// blocks reports whether to fetch a block. A file that fits into memory is worth it
// in any case: it will be here when a fraction of it was asked for. Of one that
// nearly does, half of the memory is filled before it is judged.
func (k *luck) blocks(size, memory int64) bool {
	if size <= memory {
		k.fetched++
		return true
	}
	if k.pause > 0 {
		k.pause--
		return false
	}
	k.fetched++
	if k.fetched < trial || nearly(size, memory) && k.bytes < memory/2 {
		return true
	}
	useful := k.reused >= k.fetched/16
	k.fetched, k.reused, k.bytes = 0, 0, 0
	if useful {
		k.patience = 0
		if nearly(size, memory) {
			k.fetched = trial
		}
		return true
	}
	k.patience = min(max(2*k.patience, firstPause), mostPause)
	k.pause = k.patience
	return false
}
