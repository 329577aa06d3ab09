package fsnode

// That a file is open for writing says little about whether it is being written: programs
// keep logs open for days, and the kernel's RELEASE comes some time after close(2). What
// counts is whether something was changed through a handle that no flush has followed.

// change notes that something is about to be changed through h, until madeChange.
func (t *tree) change(h *handle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.changed = true
	h.changing++
}

func (t *tree) madeChange(h *handle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.changing--
}

// flushing reports whether a flush of h that is about to be sent is for all that was
// changed: not while something is being changed, which may come too late for it. Then
// flushed is told how it ended.
func (t *tree) flushing(h *handle) (all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !h.changed || h.changing > 0 {
		return false
	}
	h.changed = false
	h.changing++ // until it is answered
	return true
}

// flushed ends flushing. What was changed meanwhile is for the next one.
func (t *tree) flushed(h *handle, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.changing--
	h.changed = h.changed || err != nil
}

// unflushed reports whether the server may not have all that was changed through n's
// handles. The caller holds t.mu.
func (n *node) unflushed() bool {
	if n.file != nil {
		for _, h := range n.file.handles {
			if h.changed || h.changing > 0 {
				return true
			}
		}
	}
	return false
}
