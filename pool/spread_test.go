package pool

import (
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// What is acknowledged while a file is being opened on another session is not in
// the answer to that.
func TestSameWhileWriting(t *testing.T) {
	f := (&Pool{}).newObject("f", remote.Attr{Mode: syscall.S_IFREG | 0o644, Mtime: 5})
	f.out.least, f.out.most = 100, 200
	for _, tt := range []struct {
		what         string
		size, before int64
		want         bool
	}{
		{"as long as when it was asked for", 80, 80, true},
		{"as long as it is now", 100, 80, true},
		{"with all that is under way", 200, 80, true},
		{"longer than we can have made it", 201, 80, false},
		{"shorter than it was when it was asked for", 79, 80, false},
		{"shorter than it is, and nothing came between", 99, 100, false},
	} {
		if got := f.isSame(remote.Attr{Mode: syscall.S_IFREG, Size: tt.size, Mtime: 5}, tt.before); got != tt.want {
			t.Errorf("%s: same %v, want %v", tt.what, got, tt.want)
		}
	}
	if f.isSame(remote.Attr{Mode: syscall.S_IFREG, Size: 100, Mtime: 6}, 80) {
		t.Error("another mtime, and still the same")
	}
}

// A file with one session that is full, and megabytes that wait for it, wants more,
// however little may be under way.
func TestSpreadCountsWhatWaits(t *testing.T) {
	s := &session{conn: &conn{}, client: &sftp3.Client{}, ordered: true}
	f := &file{object: (&Pool{}).newObject("f", remote.Attr{}), flag: remote.FlagWrite, handles: []*handle{{s: s, writing: writeFlight}}, flying: writeFlight}
	f.held = writeFlight
	if more := f.moreHandles(writeFlight); more != 0 {
		t.Errorf("%d more sessions for nothing that waits", more)
	}
	f.held = writeWindow
	if more := f.moreHandles(writeFlight); more != maxStripes-2 {
		t.Errorf("%d more sessions, want %d", more, maxStripes-2)
	}
}

// A server that had enough connections for a moment is asked again later, on a long link
// and on a short one.
func TestCapIsLearnedAnew(t *testing.T) {
	for rtt, had := range map[time.Duration]int{time.Millisecond: 3, 2 * time.Millisecond: 1, 50 * time.Millisecond: 3, 60 * time.Millisecond: 1} {
		synctest.Test(t, func(t *testing.T) { learnsCapAnew(t, rtt, had) })
	}
}

func learnsCapAnew(t *testing.T, rtt time.Duration, had int) {
	p, err := New(Config{Transport: func(ctx context.Context) (Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.state, p.cap, p.capAt = StateConnected, had, time.Now().Add(-time.Minute)
	var all []*session
	for range had {
		c := &conn{pool: p}
		c.rtt.Store(int64(rtt))
		for range p.perConn {
			s := &session{conn: c}
			s.pending.Store(fullSession)
			c.sessions = append(c.sessions, s)
			all = append(all, s)
		}
		p.conns = append(p.conns, c)
	}
	p.starts.since, p.starts.last = time.Now().Add(-time.Minute), time.Now()
	p.mu.Unlock()
	p.bulkSession(all, 3, false)
	p.mu.Lock()
	if p.cap != p.cfg.MaxConnections || p.dialing != 1 {
		t.Errorf("%v: cap %d of %d, %d dials", rtt, p.cap, p.cfg.MaxConnections, p.dialing)
	}
	p.conns = nil
	p.mu.Unlock()
	p.Abort()
}
