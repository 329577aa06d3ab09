package sync

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is given by Run while another run of the same pair goes on; the
// error's text says who holds the lock.
var ErrLocked = errors.New("this pair of folders is being synced already")

// lockPair takes the lock of a pair: an flock, which ends with its holder.
func lockPair(c Config) (unlock func(), err error) {
	if c.LockDir == "" || c.DryRun {
		return func() {}, nil
	}
	at := filepath.Join(c.LockDir, "sync-"+string(newPairID(c.Pair))+".lock")
	f, err := os.OpenFile(at, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		holder, _ := os.ReadFile(at) // it only names the holder
		cerr := f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w by %s", ErrLocked, strings.TrimSpace(string(holder)))
		}
		return nil, errors.Join(err, cerr)
	}
	holder := fmt.Sprintf("process %d since %s", os.Getpid(), time.Now().Format(time.DateTime))
	if err := errors.Join(f.Truncate(0), writeAt(f, holder)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // closing is unlocking
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}
