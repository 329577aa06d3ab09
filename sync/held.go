package sync

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// What a server lists is held until it was compared, and it may list without an end: in
// one folder, in each of many, or folders in folders. So all that is held at a time has
// one bound. A folder that would go beyond it is reported, and the others go on.

const (
	// mostHeld is the memory that names may take, of all folders that are listed or
	// wait to be: about two million names.
	mostHeld = 1 << 30
	// nameCost is what a name takes beside its letters until all that is to be done
	// about it was handed on, and folderCost a folder that waits.
	nameCost   = 512
	folderCost = 1024
)

var errTooMuch = fmt.Errorf("too many names to be held at once: %w", syscall.EFBIG)

// A budget is memory that is held, and its bound. Both count in bytes.
type budget struct {
	most int64
	held atomic.Int64
}

func (b *budget) take(n int64) error {
	if b.held.Add(n) > b.most {
		b.held.Add(-n)
		return errTooMuch
	}
	return nil
}

func (b *budget) giveBack(n int64) { b.held.Add(-n) }
