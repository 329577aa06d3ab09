package serve

import (
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
