package pool

import (
	"testing"
	"time"
)

type closedConn struct{ Conn }

func (closedConn) Close() error { return nil }

// The connection that is left is the one that interactive calls use.
func TestRetireRanks(t *testing.T) {
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	first := &conn{pool: p, conn: closedConn{}, release: func() {}, born: time.Now()}
	second := &conn{pool: p}
	p.conns = []*conn{first, second}
	p.retire(first)
	if !second.interactive.Load() {
		t.Error("no connection is interactive")
	}
	p.conns = nil
	p.Abort()
}
