package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

const awayTimeout = 3 * time.Second // of the mounts here

// away are the flags of a mount that notices soon when the remote is away.
func away(flags ...string) []string {
	return append([]string{"--timeout", awayTimeout.String()}, flags...)
}

// TestStalledLink stops all data without a word. What has to be asked ends around
// the timeout, what is known stays readable, a program can be interrupted, and
// when the link is back so is the mount.
func TestStalledLink(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		d := newDistant(t, u)
		d.mount(t, away("--attr-timeout", "5m")...)
		for _, dir := range []string{"seen", "unseen", "unseen2", "unseen3"} {
			must(t, d.Mkdir("remote/"+dir, 0o755))
			must(t, d.WriteFile("remote/"+dir+"/file", []byte("text\n"), 0o644))
		}
		seen := d.sh(t, d.point, `ls -l; ls -l seen`)
		d.link.Stall()

		began := time.Now()
		listing := d.start(t, `exec ls "$M/unseen"`)
		interrupted := d.start(t, `exec ls "$M/unseen2"`)
		time.Sleep(500 * time.Millisecond)
		pressed := time.Now()
		interrupted.signal(t, syscall.SIGINT)
		interrupted.code(t, atOnce)
		t.Logf("after Ctrl-C: %v", time.Since(pressed).Round(time.Millisecond))
		if again := d.sh(t, d.point, `ls -l; ls -l seen`); again != seen {
			t.Errorf("what is known reads differently during the stall:\n%s\nnot\n%s", again, seen)
		}
		if code := listing.code(t, 4*awayTimeout); code == 0 || !listing.says(syscall.ETIMEDOUT) {
			t.Errorf("ls of something unseen: exit code %d: %s", code, listing.out.String())
		}
		took := time.Since(began)
		t.Logf("ls of something unseen: %v at a timeout of %v", took.Round(time.Millisecond), awayTimeout)
		if took < awayTimeout/2 || took > 2*awayTimeout {
			t.Errorf("ls took %v at a timeout of %v", took, awayTimeout)
		}

		eventually(t, 4*awayTimeout, "the remote counts as away", func() bool { return d.status(t).State == "away" })
		began = time.Now()
		d.start(t, `! ls "$M/unseen3"`).succeeds(t)
		if took := time.Since(began); took > awayTimeout {
			t.Errorf("ls took %v when the remote was known to be away", took)
		}

		d.link.Resume()
		began = time.Now()
		eventually(t, 30*time.Second, "the remote is back", func() bool { return d.status(t).State == "connected" })
		t.Logf("back %v after the link", time.Since(began).Round(time.Millisecond))
		d.sh(t, d.point, `test "$(cat unseen/file unseen2/file)" = "$(printf 'text\ntext')"; echo new >new; rm new`)
	})
}

// TestServerGone is TestStalledLink with a server whose port refuses.
func TestServerGone(t *testing.T) {
	d := newDistant(t, ordinary(t))
	d.mount(t, away()...)
	must(t, d.link.Refuse())
	d.link.Cut()
	began := time.Now()
	d.start(t, `! ls "$M/unseen"`).succeeds(t)
	if took := time.Since(began); took > 2*awayTimeout {
		t.Errorf("ls took %v at a timeout of %v", took, awayTimeout)
	}
	must(t, d.link.Accept())
	eventually(t, 30*time.Second, "the remote is back", func() bool { return d.status(t).State == "connected" })
	d.sh(t, d.point, `echo new >new; rm new`)
}

// TestWriterWaits pins that written data outlives an absence much longer than the
// timeout, with the writer none the wiser.
func TestWriterWaits(t *testing.T) {
	d := newDistant(t, ordinary(t))
	m := d.mount(t, away()...)
	d.noise(t, "source", 24<<20)
	d.link.SetRate(8 << 20)
	writer := d.start(t, `dd if=source of="$M/file" bs=1M conv=fsync status=none`)
	time.Sleep(time.Second)
	must(t, d.link.Refuse())
	d.link.Cut()
	eventually(t, 30*time.Second, "the remote counts as away", func() bool { return d.status(t).State == "away" })
	time.Sleep(awayTimeout)
	must(t, d.link.Accept())
	writer.succeeds(t)
	unmount(t, m)
	d.sh(t, d.Dir, `cmp source "$R/file"`)
}

// TestDataLost pins how data ends that could not be brought out in the retry
// time: the program, status and the log all tell.
func TestDataLost(t *testing.T) {
	d := newDistant(t, ordinary(t))
	m := d.mountToEnd(t, away("--retry", "4s")...)
	writer := d.start(t, `
		exec 3>"$M/precious"
		echo before >&3
		touch ready
		while [ ! -e gone ]; do sleep 0.05; done
		exec dd if=/dev/zero bs=1k count=1 conv=fsync status=none >&3`)
	d.await(t, "ready")
	must(t, d.link.Refuse())
	d.link.Cut()
	must(t, d.WriteFile("gone", nil, 0o644))
	if code := writer.code(t, 30*time.Second); code == 0 || !writer.says(syscall.EIO) {
		t.Errorf("the writer: exit code %d: %s", code, writer.out.String())
	}
	if lost := d.status(t).Lost; len(lost) != 1 || lost[0].Path != "precious" {
		t.Errorf("status tells of lost data: %v", lost)
	}
	if !strings.Contains(m.Output(), "precious") {
		t.Errorf("the log does not tell of lost data:\n%s", m.Output())
	}
	must(t, d.link.Accept())
	must(t, m.Signal(syscall.SIGTERM))
	ends(t, m, 20*time.Second)
}

// TestChangedDuringOutage has somebody else change files that are open here while
// the link is down: neither may be taken for what it was, and nothing of ours may
// be written over what is theirs.
func TestChangedDuringOutage(t *testing.T) {
	d := newDistant(t, currentUser(t))
	m := d.mountToEnd(t) // with an exit code: data was lost
	theirs := bytes.Repeat([]byte("theirs "), 1000)
	for _, c := range []struct {
		name   string
		change func(path string) error
		want   []byte
	}{
		{"longer", func(path string) error { return os.WriteFile(path, theirs, 0o644) }, theirs},
		{"shorter", func(path string) error { return os.WriteFile(path, []byte("their"), 0o644) }, []byte("their")},
		{"replaced", func(path string) error {
			return errors.Join(os.WriteFile(path+"~", theirs, 0o644), os.Rename(path+"~", path))
		}, theirs},
		{"removed", os.Remove, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := d.onServer(c.name)
			f, err := os.Create(filepath.Join(d.point, c.name))
			must(t, err)
			_, err = f.WriteString("our text, before")
			must(t, err)
			must(t, f.Sync())
			must(t, d.link.Refuse())
			d.link.Cut()
			time.Sleep(1100 * time.Millisecond) // another second: SFTP's times are whole
			must(t, c.change(server))
			_, writeErr := f.WriteString(" and after")
			synced := make(chan error, 1)
			go func() { synced <- f.Sync() }()
			time.Sleep(100 * time.Millisecond)
			must(t, d.link.Accept())
			err = errors.Join(writeErr, <-synced)
			if !errors.Is(err, syscall.ESTALE) {
				t.Errorf("write and fsync: %v, want ESTALE", err)
			}
			_ = f.Close() // may tell it again
			got, err := os.ReadFile(server)
			if c.want == nil {
				if !errors.Is(err, os.ErrNotExist) {
					t.Errorf("on the server: %q, %v", got, err)
				}
			} else if !bytes.Equal(got, c.want) {
				t.Errorf("the server has %q", tail(string(got)))
			}
		})
	}
	must(t, m.Signal(syscall.SIGTERM))
	ends(t, m, 20*time.Second)
}

// TestReadOfChangedFile is the same for a reader: what it reads is of one file.
func TestReadOfChangedFile(t *testing.T) {
	d := newDistant(t, currentUser(t))
	d.mount(t)
	const size = 64 << 20
	must(t, d.WriteFile("remote/file", bytes.Repeat([]byte("a"), size), 0o644))
	f, err := os.Open(filepath.Join(d.point, "file"))
	must(t, err)
	defer func() { _ = f.Close() }() // read only
	_, err = f.ReadAt(make([]byte, 100), 0)
	must(t, err)
	must(t, d.link.Refuse())
	d.link.Cut()
	must(t, d.WriteFile("remote/file", bytes.Repeat([]byte("b"), size+1), 0o644))
	must(t, d.link.Accept())
	b := make([]byte, 100)
	n, err := f.ReadAt(b, size-1000)
	if !errors.Is(err, syscall.ESTALE) {
		t.Errorf("read %q, %v, want ESTALE", b[:n], err)
	}
	again, err := os.ReadFile(filepath.Join(d.point, "file"))
	must(t, err)
	if want := fmt.Sprint(size + 1); fmt.Sprint(bytes.Count(again, []byte("b"))) != want {
		t.Errorf("opened again it has %d bytes of the new text, want %s", bytes.Count(again, []byte("b")), want)
	}
}

// TestHiddenNamesAfterAnOutage pins that a removed file which was closed while the
// server was away does not stay on it under its hidden name.
func TestHiddenNamesAfterAnOutage(t *testing.T) {
	d := newDistant(t, ordinary(t))
	d.mount(t, "--timeout", "2s")
	j := d.start(t, `
		exec 3>"$M/file"; rm "$M/file"; mkdir "$L/removed"
		while ! test -e "$L/away"; do sleep 0.1; done
		exec 3>&-`)
	d.await(t, "removed")
	if len(names(t, d.remote)) != 1 {
		t.Fatalf("on the server: %v", names(t, d.remote))
	}
	must(t, d.link.Refuse())
	d.link.Cut()
	must(t, d.Mkdir("away", 0o755))
	j.succeeds(t)
	time.Sleep(3 * time.Second) // the first try is over
	if len(names(t, d.remote)) != 1 {
		t.Error("it was removed before: the test shows nothing")
	}
	must(t, d.link.Accept())
	eventually(t, 40*time.Second, "the hidden name is gone", func() bool { return len(names(t, d.remote)) == 0 })
}

// TestDataWaitsForALogin pins that a login that is refused while data waits costs none of
// it: the mount is brought back by a person, when the login works again.
func TestDataWaitsForALogin(t *testing.T) {
	d := newDistant(t, ordinary(t))
	m := d.mount(t, away()...)
	holder := d.hold(t, 1<<20)
	keys := filepath.Join(filepath.Dir(d.sshd.Identity), "authorized_keys")
	allowed, err := os.ReadFile(keys)
	must(t, err)
	must(t, os.WriteFile(keys, nil, 0o644))
	d.link.Cut()
	d.write(t)
	eventually(t, 30*time.Second, "the remote is disabled", func() bool { return d.status(t).State == "disabled" })
	if text, _, _ := d.run(t, binary, "status", d.point); !strings.Contains(text, "remotemount reconnect") {
		t.Errorf("status does not say what to do:\n%s", text)
	}
	if _, said, code := d.run(t, binary, "reconnect", d.point); code != 3 {
		t.Errorf("reconnect while logins are refused: exit code %d: %s", code, said)
	}
	must(t, os.WriteFile(keys, allowed, 0o644))
	if _, said, code := d.run(t, binary, "reconnect", d.point); code != 0 {
		t.Errorf("reconnect: exit code %d: %s", code, said)
	}
	must(t, d.Mkdir("close", 0o755))
	holder.succeeds(t)
	unmount(t, m)
	d.sh(t, d.Dir, `cmp source "$R/file"`)
}
