package fsnode_test

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestCloseOfDuplicateWaits pins that a close does not return before the data is on
// the server because the flush of a duplicate is under way.
func TestCloseOfDuplicateWaits(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached, WriteBehind: true})
	f, err := os.Create(m.path("f"))
	check(t, err)
	fd, err := syscall.Dup(int(f.Fd()))
	check(t, err)
	_, err = f.WriteString("data")
	check(t, err)
	m.must(command{Op: "hold", Path: "send"})
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- syscall.Close(fd) }()
	eventually(t, "the first flush", func() bool { return m.ask(command{Op: "calls"}).Calls["send"] > 0 })
	go func() { second <- f.Close() }()
	select {
	case err := <-second:
		t.Error("the second close returned before the data was sent")
		second <- err
	case <-time.After(200 * time.Millisecond):
	}
	m.must(command{Op: "let", Path: "send"})
	check(t, <-first)
	if err := <-second; err != nil {
		t.Error(err)
	}
	content(t, m.disk("f"), "data")
}
