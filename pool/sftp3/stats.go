package sftp3

// Stats counts what a session has done.
type Stats struct {
	Requests uint64      // packets sent, without INIT
	Answers  uint64      // packets received, without VERSION
	ByType   [256]uint64 // requests sent, by packet type: ByType[TypeRead]
}

// sent counts a request as it leaves. Called with Client.mu held.
func (s *Stats) sent(r *request) {
	s.Requests++
	s.ByType[r.kind]++
}

// Stats gives the counters as they are now.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}
