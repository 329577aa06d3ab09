package serve

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A file that another process has a lease on is waited for while that gives it back.
func TestOpenWaitsForALease(t *testing.T) {
	s := start(t, nil)
	c := s.client(t)
	path := filepath.Join(s.dir, "f")
	must(t, os.WriteFile(path, []byte("text"), 0o644))
	held, err := os.Open(path)
	must(t, err)
	defer func() { _ = held.Close() }()
	lease := func(kind int) error {
		_, err := unix.FcntlInt(held.Fd(), unix.F_SETLEASE, kind)
		return err
	}
	if err := lease(unix.F_RDLCK); isOneOf(err, unix.EINVAL, unix.ENOLCK, unix.EAGAIN) {
		t.Skipf("no leases here: %v", err)
	}
	must(t, lease(unix.F_UNLCK))
	for what, do := range map[string]func() error{
		"open": func() error {
			f, err := c.OpenFile("/f", os.O_WRONLY)
			if err == nil {
				err = f.Close()
			}
			return err
		},
		"truncate": func() error { return c.Truncate("/f", 1) },
	} {
		must(t, lease(unix.F_RDLCK))
		given := make(chan error)
		time.AfterFunc(10*leaseTry, func() { given <- lease(unix.F_UNLCK) })
		if err := do(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		must(t, <-given)
	}
}

// A lease that stays is waited for once.
func TestLeaseThatStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, nil, 0o644))
	held, err := os.Open(path)
	must(t, err)
	defer func() { _ = held.Close() }()
	if _, err := unix.FcntlInt(held.Fd(), unix.F_SETLEASE, unix.F_RDLCK); isOneOf(err, unix.EINVAL, unix.ENOLCK, unix.EAGAIN) {
		t.Skipf("no leases here: %v", err)
	} else {
		must(t, err)
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	must(t, err)
	defer func() { _ = root.Close() }()
	h := newHandler(root, false, logTo(&lines{}))
	for i := range 2 {
		begin := time.Now()
		_, err := h.openRegular("f", os.O_WRONLY, 0)
		if took := time.Since(begin); !errors.Is(err, unix.EWOULDBLOCK) || (took >= leaseWait) != (i == 0) {
			t.Errorf("try %d: %v after %v", i, err, took)
		}
	}
}
