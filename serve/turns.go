package serve

import "sync"

// maxReads bounds the READs of a session that were taken and are not answered yet.
// What they have read is kept in memory until all before them are answered.
const maxReads = 64

// turns keep the requests of a session in their order: READs run beside each other,
// everything else runs alone, when all that came before it is answered. That is more
// than draft-ietf-secsh-filexfer-02 asks for in section 6.1, which is about requests
// for the same file. The request server by itself runs READs and WRITEs in eight
// workers and all others in a ninth.
type turns struct {
	mu    sync.Mutex
	cond  sync.Cond // waits for an answer, or for over
	out   int       // requests that are not answered; guarded by mu
	reads bool      // they are READs; guarded by mu
	over  bool      // no answer can be given any more; guarded by mu
}

func newTurns() *turns {
	t := &turns{}
	t.cond.L = &t.mu
	return t
}

// take waits until the next request may be handed to the request server. It is
// false when none may be any more.
func (t *turns) take(read bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.over && t.out > 0 && !(read && t.reads && t.out < maxReads) {
		t.cond.Wait()
	}
	t.out++
	t.reads = read
	return !t.over
}

// answered gives back the turn of a request.
func (t *turns) answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out--
	t.cond.Broadcast()
}

// end lets nobody wait for an answer that will not come.
func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.cond.Broadcast()
}
