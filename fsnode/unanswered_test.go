package fsnode_test

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestMadeUnanswered pins that what was made is seen at once though nobody heard that it
// was: the kernel does not go on with the absence it remembers.
func TestMadeUnanswered(t *testing.T) {
	m := mount(t, setup{AttrTimeout: 60 * cached})
	write(t, m.path("there"), "data")
	for op, c := range map[string]struct {
		make func(path string) error
		late func(path string) error
	}{
		"mkdir":   {func(path string) error { return os.Mkdir(path, 0o755) }, func(path string) error { return os.Mkdir(path, 0o755) }},
		"symlink": {func(path string) error { return os.Symlink("there", path) }, func(path string) error { return os.Symlink("there", path) }},
		"link":    {func(path string) error { return os.Link(m.path("there"), path) }, func(path string) error { return os.Link(m.disk("there"), path) }},
		"open": {func(path string) error {
			_, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
			return err
		}, func(path string) error { return os.WriteFile(path, nil, 0o644) }},
	} {
		name := "made-by-" + op
		absent(t, m.path(name))
		m.must(command{Op: "fail", Path: op, Errno: int(syscall.ETIMEDOUT)})
		wants(t, op, c.make(m.path(name)), syscall.ETIMEDOUT)
		m.must(command{Op: "fail", Path: op})
		check(t, c.late(m.disk(name)))
		eventually(t, name+" to be seen", func() bool { _, err := os.Lstat(m.path(name)); return err == nil })
	}
}

// The same where the caller was killed.
func TestMadeByTheKilled(t *testing.T) {
	m := mount(t, setup{AttrTimeout: 60 * cached})
	absent(t, m.path("f"))
	m.must(command{Op: "hold", Path: "open"})
	cmd := programOn(m, "write")
	check(t, cmd.Start())
	eventually(t, "the call", func() bool { return m.must(command{Op: "calls"}).Calls["open"] > 0 })
	time.Sleep(20 * time.Millisecond)
	check(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	m.must(command{Op: "let", Path: "open"})
	write(t, m.disk("f"), "data")
	eventually(t, "f to be seen", func() bool { _, err := os.Lstat(m.path("f")); return err == nil })
}

// TestMknodTellsOfClose pins that mknod fails where the server refuses to close what was
// made.
func TestMknodTellsOfClose(t *testing.T) {
	m := mount(t, setup{AttrTimeout: 60 * cached})
	m.must(command{Op: "fail", Path: "close", Errno: int(syscall.EDQUOT)})
	wants(t, "mknod", syscall.Mknod(m.path("f"), syscall.S_IFREG|0o644, 0), syscall.EDQUOT)
	m.must(command{Op: "fail", Path: "close"})
	eventually(t, "f to be seen", func() bool { _, err := os.Lstat(m.path("f")); return err == nil })
}
