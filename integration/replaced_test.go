package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// TestReplacedOnServer pins that a log which the server moves away and makes anew has
// another inode number than the one a program here holds open, so that tail -F goes
// on with the new one.
func TestReplacedOnServer(t *testing.T) {
	t.Parallel() // it takes long
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		log := filepath.Join(s.remote, "log")
		must(t, os.WriteFile(log, []byte("first\n"), 0o666))
		m := s.mount(t, "--attr-timeout", "500ms")
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(2 * time.Second)
			must(t, os.Rename(log, log+".1"))
			must(t, os.WriteFile(log, []byte("second, longer\n"), 0o666))
			for range 30 {
				time.Sleep(200 * time.Millisecond)
				f, err := os.OpenFile(log+".1", os.O_APPEND|os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteString("late\n") // whoever held it open writes on
				must(t, err)
				must(t, f.Close())
			}
		}()
		s.sh(t, s.point, `
			timeout 12 tail -F -s 0.3 -n +1 log >"$HOME/out" 2>/dev/null &
			exec 3<log
			held=$(stat -Lc %i /dev/fd/3)
			for i in $(seq 100); do
				now=$(stat -c %i log)
				[ "$now" = "$held" ] || break
				sleep 0.1
			done
			[ "$now" != "$held" ]
			[ "$(stat -Lc %i /dev/fd/3)" = "$held" ]
			[ "$(head -n 1 <&3)" = first ]
			[ "$(cat log)" = "second, longer" ]
			wait || true`)
		<-done
		unmount(t, m)
		out, err := os.ReadFile(s.Path("home/out"))
		if err != nil || !strings.HasPrefix(string(out), "first\n") || !strings.Contains(string(out), "second, longer\n") {
			t.Errorf("tail -F has seen %q, %v", out, err)
		}
	})
}

// saving replaces a file, as editors save, that is open for reading and for writing.
// A part of it was read, and written, before.
const saving = `
	cp source "$M/file"
	exec 3<"$M/file" 4<>"$M/file"
	dd bs=4096 count=1 status=none <&3 >"$L/got"
	printf begun >&4
	printf 'new' >"$M/.file.tmp"; mv "$M/.file.tmp" "$M/file"
	test "$(cat "$M/file")" = new
	test "$(ls -A "$M")" = file
	test "$(stat -Lc %h /dev/fd/3)" = 0
	: >"$L/replaced"
	while ! test -e "$L/on"; do sleep 0.05; done
`

// TestReplacedGoesOnAfterACut pins that a file which was replaced while it was open is
// still read and written after the connection broke, and then leaves nothing behind.
func TestReplacedGoesOnAfterACut(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		d := newDistant(t, u)
		m := d.mount(t)
		d.noise(t, "source", 32<<20)
		j := d.start(t, saving+`
			cat <&3 >>got
			cmp source got
			printf after >&4
			(printf begunafter; tail -c +11 source) >expected
			cmp expected /dev/fd/4
			sync /dev/fd/4
			cmp expected "$R"/.remotemount-hidden-*
			test "$(stat -Lc %h /dev/fd/4)" = 0
			exec 3<&- 4<&-`)
		d.await(t, "replaced")
		d.link.Cut()
		must(t, d.Mkdir("on", 0o755))
		j.succeeds(t)
		eventually(t, 10*time.Second, "the hidden name is gone", func() bool { return len(names(t, d.remote)) == 1 })
		unmount(t, m)
		wantContent(t, filepath.Join(d.remote, "file"), "new")
	})
}

// TestReplacedAtTheUnmount pins that a mount which ends while a replaced file is open,
// and has data that is not on the server, leaves no name of that.
func TestReplacedAtTheUnmount(t *testing.T) {
	d := newDistant(t, ordinary(t))
	m := d.mountToEnd(t)
	d.noise(t, "source", 1<<20)
	d.start(t, saving)
	d.await(t, "replaced")
	if got := names(t, d.remote); len(got) != 2 {
		t.Errorf("on the server: %v", got)
	}
	must(t, m.Signal(syscall.SIGTERM))
	ends(t, m, 30*time.Second)
	if got := names(t, d.remote); len(got) != 1 {
		t.Errorf("on the server: %v", got)
	}
	wantContent(t, filepath.Join(d.remote, "file"), "new")
}
