package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// The tests' own bounds are generous, for a busy machine; what is promised is
// written beside them.
const (
	atOnce     = 3 * time.Second // promised: no waiting for the remote
	forceLimit = 4 * time.Second // promised: 2 s
)

// goroutines kills a mount with SIGQUIT, which has the Go runtime write down all
// goroutines, and counts them.
func goroutines(t testing.TB, m *lab.Mount) int {
	t.Helper()
	must(t, m.Signal(syscall.SIGQUIT))
	<-m.Exited()
	n := strings.Count(m.Output(), "\ngoroutine ")
	if n == 0 {
		t.Fatalf("no goroutines in %q", tail(m.Output()))
	}
	return n
}

// ends waits for the end of a mount's process.
func ends(t testing.TB, m *lab.Mount, limit time.Duration) {
	t.Helper()
	select {
	case <-m.Exited():
	case <-time.After(limit):
		t.Fatalf("the mount runs on after %v: %s", limit, m.Stacks())
	}
}

// TestMountKilled kills the mount's process: programs in the mount get ENOTCONN,
// and mounting on the same point clears what is left.
func TestMountKilled(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		d := newDistant(t, u)
		m := d.mountToEnd(t)
		must(t, d.WriteFile("remote/file", []byte("text\n"), 0o644))
		reader := d.start(t, `
			exec 3<"$M/file"
			cd "$M"
			echo ready >"$L/ready"
			while [ ! -e "$L/killed" ]; do sleep 0.05; done
			if cat <&3; then exit 1; fi
			if ls .; then exit 1; fi
			if touch "$M/another"; then exit 1; fi`)
		d.await(t, "ready")
		must(t, m.Signal(syscall.SIGKILL))
		<-m.Exited()
		must(t, d.WriteFile("killed", nil, 0o644))
		reader.succeeds(t)
		if !reader.says(syscall.ENOTCONN) {
			t.Errorf("no ENOTCONN in %q", reader.out.String())
		}
		again := d.mount(t)
		// The dead mount was in the mount table as well: the table does not tell
		// when the new one works.
		eventually(t, 30*time.Second, "the new mount works", func() bool {
			_, _, code := d.run(t, "cat", d.point+"/file")
			return code == 0
		})
		d.sh(t, d.Dir, `test "$(cat "$M/file")" = text`)
		unmount(t, again)
	})
}

// TestTermFlushes ends a mount by SIGTERM while a file is open and most of what
// was written to it is still here. Everything must be on the server when the
// process has ended, with 0.
func TestTermFlushes(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			eachUser(t, func(t *testing.T, u lab.User) {
				d := newDistant(t, u)
				m := d.mountToEnd(t)
				writer := d.hold(t, 8<<20)
				d.link.SetRate(4 << 20)
				d.write(t)
				if st := d.status(t); st.Unacknowledged == 0 {
					t.Error("everything was on the server before the signal: the test shows nothing")
				}
				must(t, m.Signal(sig))
				ends(t, m, 30*time.Second)
				writer.signal(t, syscall.SIGKILL)
				must(t, m.Unmount()) // has nothing to do but to see that it ended with 0
				d.sh(t, d.Dir, `cmp source "$R/file"`)
			})
		})
	}
}

// TestSecondTerm pins that a mount which cannot bring out its data waits for the
// remote after one signal, and not after two; what is lost is told.
func TestSecondTerm(t *testing.T) {
	d := newDistant(t, ordinary(t))
	m := d.mountToEnd(t)
	d.hold(t, 1<<20)
	d.link.Stall()
	d.write(t)
	must(t, m.Signal(syscall.SIGTERM))
	select {
	case <-m.Exited():
		t.Fatalf("ended at the first signal:\n%s", tail(m.Output()))
	case <-time.After(time.Second):
	}
	began := time.Now()
	must(t, m.Signal(syscall.SIGTERM))
	ends(t, m, forceLimit)
	t.Logf("ended %v after the second signal", time.Since(began).Round(time.Millisecond))
	if err := m.Unmount(); err == nil || !strings.Contains(m.Output(), "lost") {
		t.Errorf("nothing tells that data was lost: %v:\n%s", err, tail(m.Output()))
	}
}

// TestForcedUnmount takes a mount away while a program hangs in it on a stalled
// link, and data waits. It must be quick, and free the program.
func TestForcedUnmount(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		d := newDistant(t, u)
		m := d.mountToEnd(t)
		must(t, d.Mkdir("remote/unseen", 0o755))
		d.link.Stall()
		stuck := []*job{
			d.start(t, `exec ls "$M/unseen"`),
			d.start(t, `exec dd if=/dev/zero of="$M/new" bs=1M count=100`),
		}
		time.Sleep(500 * time.Millisecond)
		began := time.Now()
		_, stderr, code := d.run(t, binary, "unmount", "--force", d.point)
		took := time.Since(began)
		if code != 0 {
			t.Errorf("unmount --force: exit code %d: %s", code, stderr)
		}
		if took > forceLimit {
			t.Errorf("unmount --force took %v", took)
		}
		t.Logf("unmount --force took %v", took.Round(time.Millisecond))
		if mounted, err := m.Mounted(); err != nil || mounted {
			t.Errorf("still mounted: %v", err)
		}
		for _, j := range stuck {
			if j.code(t, atOnce) == 0 {
				t.Errorf("%v succeeded", j.cmd.Args[3:])
			}
		}
		ends(t, m, atOnce)
	})
}

// TestForcedUnmountOfStopped pins that --force needs no answer of the mount's
// process.
func TestForcedUnmountOfStopped(t *testing.T) {
	d := newDistant(t, ordinary(t))
	m := d.mountToEnd(t)
	eventually(t, 30*time.Second, "the mount answers", func() bool { // it is mounted a little earlier
		_, _, code := d.run(t, binary, "status", d.point)
		return code == 0
	})
	must(t, m.Signal(syscall.SIGSTOP))
	began := time.Now()
	_, stderr, code := d.run(t, binary, "unmount", "--force", d.point)
	if took := time.Since(began); code != 0 || took > forceLimit {
		t.Errorf("unmount --force: exit code %d after %v: %s", code, took, stderr)
	}
	if mounted, err := m.Mounted(); err != nil || mounted {
		t.Errorf("still mounted: %v", err)
	}
	must(t, m.Signal(syscall.SIGCONT))
}

// TestKilledWriterLosesNothing pins what a program had written before it was
// killed: its close belongs to the kernel then, and the data still goes out.
func TestKilledWriterLosesNothing(t *testing.T) {
	d := newDistant(t, ordinary(t))
	m := d.mount(t)
	writer := d.hold(t, 2<<20)
	d.link.SetRate(1 << 20)
	d.write(t)
	writer.signal(t, syscall.SIGKILL)
	writer.code(t, atOnce)
	unmount(t, m)
	want, err := os.ReadFile(d.Path("source"))
	must(t, err)
	got, err := os.ReadFile(filepath.Join(d.remote, "file"))
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("the server has %d bytes of %d, or others", len(got), len(want))
	}
}
