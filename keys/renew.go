package keys

import "context"

// What ssh_config says can depend on the hour and the place: Match exec asks a
// command, CanonicalizeHostname a name server. A mount lives through many of
// both, so the configuration is settled anew when a connection is made and there
// is none any more: after an absence, and not for each connection of a transfer.

// now is the client in whose place this one's callers want to be.
func (c *Client) now() *Client {
	if latest := c.latest.Load(); latest != nil {
		return latest
	}
	return c
}

// renewed is now, after the configuration was settled anew where that is due.
func (c *Client) renewed(ctx context.Context) (*Client, error) {
	at := c.now()
	if at.dialled.CompareAndSwap(false, true) || !at.ssh.Volatile || !c.cfg.Commands || c.pending.any() {
		return at, nil
	}
	select {
	case c.renewing <- struct{}{}:
		defer func() { <-c.renewing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if again := c.now(); again != at { // somebody else has just done it
		return again, nil
	}
	fresh, err := newClient(ctx, c.flags, c)
	if err != nil {
		return nil, err
	}
	fresh.dialled.Store(true)
	if key := at.lastSigned.Load(); key != nil {
		fresh.lastSigned.Store(key)
	}
	c.latest.Store(fresh)
	return fresh, nil
}

// any reports whether a connection is open.
func (o *openConns) any() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.conns) > 0
}
