package sync

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is given by Run while another run goes on that this one would meet;
// the error's text says who holds the lock.
var ErrLocked = errors.New("being synced already")

// Two locks keep runs apart. Both are flocks, which end with their holder.
//
// The one on the local folder holds for all users and environments: shared where
// the folder is only read, so that it may be pushed to several places at once,
// exclusive where it may be written. The other is the pair's, a file in the state
// folder. It also says whose the pair's temporary files are: who holds it may
// take up what an earlier run has left.

// lockFolder locks the local folder itself. A filesystem that has no locks goes
// without.
func (r *Runner) lockFolder(root *os.Root) (unlock func(), err error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if r.config.Mode == Push && !r.config.Delete {
		how = unix.LOCK_SH
	}
	err = retry(func() error { return unix.Flock(int(d.Fd()), how|unix.LOCK_NB) })
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fmt.Errorf("%s is %w%s", r.config.Local, ErrLocked, lockHolder(d))
		return nil, errors.Join(err, d.Close())
	case err != nil:
		r.config.Log.Debug("the local folder cannot be locked", "path", r.config.Local, "error", err)
	}
	return func() { unlockFile(d) }, nil
}

// unlockFile gives a lock up by name: closing alone leaves it with a child that is just
// being started and still has all descriptors.
func unlockFile(f *os.File) {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN) // closing does it, too
	_ = f.Close()                             // nothing was written
}

// lockHolder names the process that has a file locked, as far as /proc tells.
func lockHolder(f *os.File) string {
	var st unix.Stat_t
	locks, err := os.ReadFile("/proc/locks")
	if err != nil || unix.Fstat(int(f.Fd()), &st) != nil {
		return ""
	}
	id := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:01:12345 0 EOF
		words := strings.Fields(line)
		if len(words) > 5 && words[1] == "FLOCK" && words[5] == id {
			return " by process " + words[4]
		}
	}
	return ""
}

// lockPair takes the lock of the pair and tells its owner's name. Without a state
// folder nothing is locked, and the name is that of the pair alone.
func lockPair(c Config) (owner string, unlock func(), err error) {
	if c.StateDir == "" {
		return ownerOf(c.Pair), func() {}, nil
	}
	at := filepath.Join(c.StateDir, "sync-"+ownerOf(c.Pair)+".lock")
	f, err := os.OpenFile(at, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", nil, err
	}
	owner, err = takeLock(f, c.Pair)
	if err != nil {
		return "", nil, errors.Join(err, f.Close())
	}
	return owner, func() { unlockFile(f) }, nil
}

// tokenLength is the length of what makes an owner's name another for every user
// and machine, whatever they are called: random, and made once.
const tokenLength = 32

func takeLock(f *os.File, pair string) (owner string, err error) {
	err = retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	text := make([]byte, 256)
	n, _ := f.ReadAt(text, 0) // short, or empty when it is new
	token, holder, _ := strings.Cut(string(text[:n]), "\n")
	if errors.Is(err, unix.EWOULDBLOCK) {
		return "", fmt.Errorf("this pair of folders is %w by %s", ErrLocked, strings.TrimSpace(holder))
	}
	if err != nil {
		return "", err
	}
	if len(token) != tokenLength {
		var random [tokenLength / 2]byte
		_, _ = rand.Read(random[:]) // never fails
		token = hex.EncodeToString(random[:])
	}
	now := fmt.Sprintf("%s\nprocess %d since %s\n", token, os.Getpid(), time.Now().Format(time.DateTime))
	if _, err := f.WriteAt([]byte(now), 0); err != nil {
		return "", err
	}
	return ownerOf(token + pair), f.Truncate(int64(len(now)))
}
