package sync

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// What a server lists is held until it was compared, and it may list without an end: in
// one folder, in each of many, or folders in folders. So what is held at a time is
// bounded. A folder that would go beyond it is reported, and the others go on.

const (
	// mostHeld is the memory that names may take, of all folders that are being listed:
	// about two million names; and the folders that wait to be: a million.
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

// take takes n more for somebody who has some already. Who has little gets it in any
// case: another's listing without an end must not keep an honest one from its names.
func (b *budget) take(n, has int64) error {
	if b.held.Add(n) > b.most && has > b.most/64 {
		b.held.Add(-n)
		return errTooMuch
	}
	return nil
}

func (b *budget) giveBack(n int64) { b.held.Add(-n) }
