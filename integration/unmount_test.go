package integration

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/integration/lab"
)

// unmountLimit is generous; what is pinned here took seconds, or had no end.
const unmountLimit = 10 * time.Second

// inBackground mounts as people do, and gives the mount's process.
func (s *site) inBackground(t testing.TB, flags ...string) (pid int) {
	t.Helper()
	return s.inBackgroundBy(t, s.sshd.Port, flags...)
}

// inBackgroundBy is inBackground over a link.
func (s *site) inBackgroundBy(t testing.TB, port int, flags ...string) (pid int) {
	t.Helper()
	args := append(append([]string{"mount"}, s.connect(t, port)...), flags...)
	_, stderr, code := s.run(t, binary, append(args, s.address(), s.point)...)
	if code != 0 {
		t.Fatalf("mount: exit code %d: %s", code, stderr)
	}
	t.Cleanup(func() {
		if mounts, err := lab.MountsBelow(s.point); err != nil || len(mounts) > 0 {
			_, stderr, _ := s.run(t, binary, "unmount", "--force", s.point)
			t.Errorf("it was still mounted: %v: %s", err, stderr)
		}
	})
	return s.status(t).PID
}

// unmounts is `remotemount unmount`, which must go well and soon.
func (s *site) unmounts(t testing.TB, flags ...string) (stderr string) {
	t.Helper()
	began := time.Now()
	_, stderr, code := s.run(t, binary, append(append([]string{"unmount"}, flags...), s.point)...)
	took := time.Since(began)
	if code != 0 || took > unmountLimit {
		t.Errorf("unmount: exit code %d after %v: %s", code, took, stderr)
	}
	if mounts, err := lab.MountsBelow(s.point); err != nil || len(mounts) > 0 {
		t.Errorf("still mounted: %v", err)
	}
	t.Logf("unmount took %v", took.Round(time.Millisecond))
	return stderr
}

// runs reports whether a process does more than to wait for its parent.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// TestUnmountUnreaped pins that unmount does not wait for somebody to reap the
// mount's process: in a container process 1 may never do that.
func TestUnmountUnreaped(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		// The process becomes a child of ours when its parent ends.
		must(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		defer func() { must(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)) }()
		s := newSite(t, u)
		pid := s.inBackground(t)
		s.unmounts(t)
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || !strings.Contains(string(stat), ") Z ") {
			t.Errorf("the process was to be ended and unreaped: %q, %v", stat, err)
		}
		_, _, code := s.run(t, binary, "unmount", s.point)
		if code != 7 {
			t.Errorf("a second unmount: exit code %d", code)
		}
		_, err := syscall.Wait4(pid, nil, 0, nil)
		must(t, err)
	})
}

// TestUnmountCopied pins that a copy of the mount in another mount namespace, as
// containers have it, holds up neither unmount nor the mount's end, and that the
// mountpoint can be used again.
func TestUnmountCopied(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		pid := s.inBackground(t)
		s.copied(t, `test -d "$M"`)
		s.unmounts(t)
		eventually(t, unmountLimit, "the mount's process ends", func() bool { return !runs(pid) })
		s.inBackground(t)
		s.unmounts(t)
	})
}

// TestUnmountUsedElsewhere is TestUnmountCopied with a file open in the copy. Its
// program keeps it, unmount says who that is, and with the file the mount ends.
func TestUnmountUsedElsewhere(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		for _, how := range []string{"closed", "forced"} {
			s := newSite(t, u)
			pid := s.inBackground(t)
			other := s.copied(t, `exec 3>"$M/file"; echo before >&3`)
			for range 2 {
				said := s.unmounts(t)
				if !strings.Contains(said, fmt.Sprintf("process %d (sleep)", other.cmd.Process.Pid)) {
					t.Errorf("it does not say who keeps the mount: %s", said)
				}
			}
			if !runs(pid) {
				t.Error("the mount's process has ended under an open file")
			}
			if how == "forced" {
				s.unmounts(t, "--force")
			} else {
				other.signal(t, syscall.SIGTERM)
			}
			eventually(t, unmountLimit, "the mount's process ends", func() bool { return !runs(pid) })
			s.sh(t, s.Dir, `test "$(cat "$R/file")" = before`)
			if s.run(t, binary, "unmount", s.point); runs(pid) {
				t.Error("it runs on")
			}
		}
	})
}

// TestOrphanHoldsNoConnection pins that a mount which goes on in another namespace for
// a file that is open there keeps no connection while nobody uses that, and that it is
// used as before.
func TestOrphanHoldsNoConnection(t *testing.T) {
	d := newDistant(t, ordinary(t))
	pid := d.inBackgroundBy(t, d.link.Port())
	other := d.copied(t, `exec 3<>"$M/file"; echo before >&3
		{ until test -e "$L/go"; do sleep 0.1; done; echo after >&3; cat "/proc/self/fd/3" >"$L/got"; touch "$L/done"; } &`)
	d.unmounts(t)
	for round := range 2 {
		eventually(t, 30*time.Second, "it has no connection", func() bool { return d.link.Stats().Open == 0 })
		if round == 0 {
			must(t, d.Mkdir("go", 0o755))
			eventually(t, 30*time.Second, "it is used", func() bool { _, err := os.Stat(d.Path("done")); return err == nil })
			d.sh(t, d.Dir, `test "$(cat got)" = "before
after"`)
		}
	}
	other.signal(t, syscall.SIGTERM)
	eventually(t, unmountLimit, "the mount's process ends", func() bool { return !runs(pid) })
	d.sh(t, d.Dir, `test "$(tail -n 1 "$R/file")" = after`)
}

// TestUnmountByOthers pins that a copy of the mount in another mount namespace does
// not keep its process, and with it its connections, when umount or fusermount3 takes
// the mount away: sandboxes and tests copy whatever is mounted when they begin.
func TestUnmountByOthers(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		for _, script := range []string{`test -d "$M"`, `exec 3>"$M/file"`, `cd "$M"`} {
			pid := s.inBackground(t)
			other := s.copied(t, script)
			s.sh(t, s.Dir, `fusermount3 -u "$M"`)
			if script != `test -d "$M"` {
				time.Sleep(time.Second) // far more than it takes to end
				if !runs(pid) {
					t.Errorf("%s: the mount's process has ended under its user", script)
				}
				other.signal(t, syscall.SIGTERM)
			}
			eventually(t, unmountLimit, script+": the mount's process ends", func() bool { return !runs(pid) })
		}
	})
}

// TestUnmountLazily pins that a mount which was detached while in use serves those
// who are in it for as long as they are, also when no file is open.
func TestUnmountLazily(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		pid := s.inBackground(t)
		inside := s.start(t, `cd "$M"; touch "$L/ready"; until test -e "$L/go"; do sleep 0.1; done; cp "$L/go" there`)
		eventually(t, 30*time.Second, "somebody in it", func() bool {
			_, err := os.Stat(s.Path("ready"))
			return err == nil
		})
		s.sh(t, s.Dir, `fusermount3 -uz "$M"`)
		time.Sleep(time.Second)
		s.sh(t, s.Dir, `echo text >new; mv new go`)
		inside.succeeds(t)
		eventually(t, unmountLimit, "the mount's process ends", func() bool { return !runs(pid) })
		s.sh(t, s.Dir, `test "$(cat "$R/there")" = text`)
	})
}

// TestUnmountMoved pins that a mount lives on at another place that it was given.
func TestUnmountMoved(t *testing.T) {
	if os.Getuid() != 0 {
		return // it binds
	}
	s := newSite(t, currentUser(t))
	pid := s.inBackground(t)
	must(t, s.Mkdir("elsewhere", 0o755))
	s.sh(t, s.Dir, `mount --bind "$M" elsewhere; umount "$M"; sleep 1; echo text >elsewhere/file; umount elsewhere
		test "$(cat "$R/file")" = text`)
	eventually(t, unmountLimit, "the mount's process ends", func() bool { return !runs(pid) })
}

// TestUnmountBelowAnother pins that what somebody mounted in our place is not
// taken away instead of us.
func TestUnmountBelowAnother(t *testing.T) {
	if os.Getuid() != 0 {
		return // it mounts a tmpfs
	}
	s := newSite(t, currentUser(t))
	pid := s.inBackground(t)
	must(t, unix.Mount("none", s.point, "tmpfs", 0, ""))
	_, stderr, code := s.run(t, binary, "unmount", s.point)
	if code != 7 || !strings.Contains(stderr, "in use") {
		t.Errorf("covered: exit code %d: %s", code, stderr)
	}
	must(t, unix.Unmount(s.point, 0))
	must(t, unix.Unmount(s.point, unix.MNT_DETACH))
	must(t, unix.Mount("none", s.point, "tmpfs", 0, ""))
	s.run(t, binary, "unmount", s.point) // the process may be on its way out
	err := unix.Unmount(s.point, 0)
	if err != nil {
		t.Errorf("another mount in our place was taken away: %v", err)
	}
	eventually(t, unmountLimit, "the mount's process ends", func() bool { return !runs(pid) })
}

// copied runs a script in a mount namespace of its own, which has a copy of the
// mount, and then holds that until it is ended. Who is not root needs a user namespace
// for that, which containers often forbid; root makes one without for anybody.
func (s *site) copied(t testing.TB, script string) *job {
	t.Helper()
	who, unshare := s.User, "unshare -rm"
	if os.Getuid() == 0 {
		unshare = fmt.Sprintf("unshare -m setpriv --reuid=%d --regid=%d --clear-groups", who.UID, who.GID)
		s.User = currentUser(t)
		defer func() { s.User = who }()
	}
	j := s.start(t, fmt.Sprintf(`export M L; exec %s sh -eu -c '%s
		touch "$L/ready-$$"; exec sleep 60'`, unshare, script))
	ready := fmt.Sprintf("ready-%d", j.cmd.Process.Pid)
	eventually(t, 30*time.Second, "the copy", func() bool {
		_, err := os.Stat(s.Path(ready))
		select {
		case <-j.ended:
			t.Fatalf("unshare: %s", j.out.String())
		default:
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return err == nil
	})
	return j
}
