package sftp3

import (
	"context"
	"fmt"
	"sync/atomic"
)

// A Call is a request under way, of any kind but READ and WRITE. Exactly one of
// its Wait methods is to be called, or Forget.
//
// A Wait method returns the answer; or the *StatusError that the server answered
// with; or ErrLost; or, as soon as ctx ends, ctx.Err(): then the request goes on,
// its answer is dropped, and a handle that comes late is closed.
type Call struct {
	request
	c      *Client
	want   want
	ready  chan struct{} // closed after the answer is in result and err
	result any           // what want.parse gave
	err    error

	taken  atomic.Bool // somebody waits, has waited, or forgot
	done   bool        // guarded by Client.mu, as is forgot
	forgot bool        // nobody waits any more
}

// want is the answer that a call expects: the type of its packet, and what reads its
// body. Any request may be answered with STATUS instead.
type want struct {
	packet uint8
	parse  func(c *cursor) any // leaves c bad when the body is malformed
}

var (
	wantStatus = want{packet: TypeStatus}
	wantHandle = want{TypeHandle, func(c *cursor) any {
		h := c.bytes()
		c.bad = c.bad || len(h) > maxHandle
		return Handle(h)
	}}
	wantAttrs = want{TypeAttrs, func(c *cursor) any { return c.attrs() }}
	wantNames = want{TypeName, func(c *cursor) any { return c.names() }}
	wantName  = want{TypeName, func(c *cursor) any { // exactly one
		names := c.names()
		c.bad = c.bad || len(names) != 1
		return names
	}}
	wantStatVFS = want{TypeExtendedReply, func(c *cursor) any { return c.statVFS() }}
	wantLimits  = want{TypeExtendedReply, func(c *cursor) any {
		return advertisedLimits{c.uint64(), c.uint64(), c.uint64(), c.uint64()}
	}}
	wantUsersGroups = want{TypeExtendedReply, func(c *cursor) any {
		return usersGroups{c.stringList(), c.stringList()}
	}}
)

// usersGroups is the answer to users-groups-by-id.
type usersGroups struct{ users, groups []string }

// complete is called once, with the result in place when err is nil.
func (k *Call) complete(err error) {
	k.c.mu.Lock()
	k.err, k.done = err, true
	forgot := k.forgot
	if forgot {
		k.c.forgotten--
	}
	k.c.mu.Unlock()
	close(k.ready)
	if forgot {
		k.closeHandle()
	}
}

// closeHandle gives back a handle that nobody asks for any more.
func (k *Call) closeHandle() {
	if h, ok := k.result.(Handle); ok && k.err == nil {
		k.c.StartClose(h).Forget()
	}
}

// Forget says that nobody waits for the answer. A handle in it is closed. After a
// Wait method it does nothing, so it may be deferred.
func (k *Call) Forget() {
	if !k.taken.Swap(true) && !k.abandon() {
		k.closeHandle()
	}
}

// abandon marks that nobody waits any more, unless the answer is there.
func (k *Call) abandon() bool {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if !k.done && !k.forgot {
		k.forgot = true
		k.c.forgotten++
	}
	return k.forgot
}

func (k *Call) wait(ctx context.Context) error {
	k.taken.Store(true)
	select {
	case <-k.ready:
		return k.err
	default:
	}
	select {
	case <-k.ready:
	case <-ctx.Done():
		if k.abandon() {
			return ctx.Err()
		}
	}
	return k.err
}

// waitFor waits for an answer of a given kind.
func waitFor[T any](ctx context.Context, k *Call) (T, error) {
	var none T
	if err := k.wait(ctx); err != nil {
		return none, err
	}
	result, ok := k.result.(T)
	if !ok {
		return none, fmt.Errorf("a request of type %d has no answer of type %T", k.kind, none)
	}
	return result, nil
}

// WaitStatus waits for an answer of which only success matters.
func (k *Call) WaitStatus(ctx context.Context) error { return k.wait(ctx) }

// WaitHandle waits for the answer to StartOpen or StartOpenDir.
func (k *Call) WaitHandle(ctx context.Context) (Handle, error) {
	return waitFor[Handle](ctx, k)
}

// WaitAttrs waits for the answer to StartStat, StartLstat or StartFstat.
func (k *Call) WaitAttrs(ctx context.Context) (Attrs, error) {
	return waitFor[Attrs](ctx, k)
}

// WaitNames waits for the answer to StartReadDir, or for the single name that
// StartRealPath, StartReadLink and StartExpandPath give: then the slice has one
// element.
func (k *Call) WaitNames(ctx context.Context) ([]Name, error) {
	return waitFor[[]Name](ctx, k)
}

// WaitStatVFS waits for the answer to StartStatVFS.
func (k *Call) WaitStatVFS(ctx context.Context) (StatVFS, error) {
	return waitFor[StatVFS](ctx, k)
}

// WaitUsersGroups waits for the answer to StartUsersGroups: a name for each
// number asked for, in the same order, "" where there is none.
func (k *Call) WaitUsersGroups(ctx context.Context) (users, groups []string, err error) {
	answer, err := waitFor[usersGroups](ctx, k)
	return answer.users, answer.groups, err
}
