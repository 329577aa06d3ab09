package pool

import "syscall"

// explain starts the goroutine that finds out why the server refused data; mu is
// held.
func (o *object) explain() {
	if o.out.explains {
		return
	}
	o.out.explains = true
	o.p.spawn(o.explainLoop, func() { o.refused(syscall.EIO) })
}

// explainLoop finds the errno of a refused write and drops what was refused.
func (o *object) explainLoop() {
	o.mu.Lock()
	path := o.path
	var failed error
	for c := o.out.first; c != nil && failed == nil; c = c.next {
		failed = c.failed
	}
	o.mu.Unlock()
	err := why{o.p, o.p.life}.change(failed, path, largestBuffer)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused(err)
}

// refused drops what the server has refused, and tells why; mu is held.
func (o *object) refused(err error) {
	o.out.explains = false
	for c := o.out.first; c != nil; {
		next := c.next
		if c.failed != nil {
			o.out.remove(c)
			o.free(c)
		}
		c = next
	}
	o.fail(err)
	o.pump()
	o.out.wake()
}
