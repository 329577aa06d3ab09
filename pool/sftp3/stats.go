package sftp3

import "maps"

// Stats counts what a session has done.
type Stats struct {
	Requests     uint64            // packets sent, without INIT
	Answers      uint64            // packets received, without VERSION
	BytesRead    uint64            // data in answers to READ
	BytesWritten uint64            // data in WRITEs sent
	ByType       [256]uint64       // requests sent, by packet type: ByType[TypeRead]
	ByExtension  map[string]uint64 // those of TypeExtended, by name
}

// sent counts a request as it leaves. Called with Client.mu held.
func (s *Stats) sent(r *request) {
	s.Requests++
	s.ByType[r.kind]++
	s.BytesWritten += uint64(len(r.payload))
	if r.ext == "" {
		return
	}
	if s.ByExtension == nil {
		s.ByExtension = make(map[string]uint64)
	}
	s.ByExtension[r.ext]++
}

// Stats gives the counters as they are now.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.ByExtension = maps.Clone(s.ByExtension)
	return s
}
