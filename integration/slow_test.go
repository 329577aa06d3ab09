package integration

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// slowCuts is for how long TestSlowLinkUnderCuts cuts; REMOTEMOUNT_CUTS says otherwise.
const slowCuts = 12 * time.Second

// TestSlowLinkUnderCuts writes and reads, with small changes beside it, over a link of
// 100 kB/s that is cut each second, where what a login costs is most of what it carries.
// Nothing is lost, and nothing fails.
func TestSlowLinkUnderCuts(t *testing.T) {
	long := slowCuts
	if d, err := time.ParseDuration(os.Getenv("REMOTEMOUNT_CUTS")); err == nil {
		long = d
	}
	d := newDistant(t, ordinary(t))
	m := d.mount(t)
	d.noise(t, "source", int(long.Seconds())*10_000)
	d.noise(t, "remote/there", 300_000)
	d.link.SetRate(100_000)
	before := d.link.Stats().Connections
	writer := d.start(t, `cp source "$M/large"; sync "$M/large"`)
	small := d.start(t, fmt.Sprintf(`end=$(($(date +%%s) + %d)); i=0
		while [ $(date +%%s) -lt $end ]; do
			i=$((i + 1)); mkdir "$M/d$i"; echo $i >"$M/d$i/new"; mv "$M/d$i/new" "$M/d$i/file"; test "$(cat "$M/d$i/file")" = $i
		done 2>errors; echo $i >rounds`, int(long.Seconds())))
	reader := d.start(t, `exec cmp "$R/there" "$M/there"`)
	for end := time.Now().Add(long); time.Now().Before(end); {
		time.Sleep(time.Second)
		d.link.Cut()
	}
	logins := d.link.Stats().Connections - before
	left := d.status(t).Unacknowledged
	began := time.Now()
	writer.succeeds(t)
	small.succeeds(t)
	reader.succeeds(t)
	took := time.Since(began)
	d.link.SetRate(0)
	unmount(t, m)
	out := d.sh(t, d.Dir, `cmp source "$R/large"; i=$(cat rounds); for k in $(seq $i); do test "$(cat "$R/d$k/file")" = $k; done; echo $i`)
	t.Logf("%d cuts of %v: %d logins, %s rounds; %d KiB of %d were left at the last, and out %v later",
		int(long.Seconds()), time.Second, logins, strings.TrimSpace(out), left>>10, int(long.Seconds())*10_000>>10, took.Round(time.Second))
	if most := 25 + 2*int(long.Seconds()); logins > most {
		t.Errorf("%d logins", logins)
	}
}

// TestSlowLinkIsShared fills a slow link by reading four large files. Who looks at
// something beside that waits for a share of the link, and nothing is taken for dead.
func TestSlowLinkIsShared(t *testing.T) {
	d := newDistant(t, ordinary(t))
	d.mount(t, away("--attr-timeout", "0")...)
	for i := range 4 {
		d.noise(t, fmt.Sprintf("remote/large%d", i), 2<<20)
	}
	d.sh(t, d.point, `for i in 0 1 2 3; do head -c 1 large$i >/dev/null; done`) // all is connected
	logins := d.link.Stats().Connections
	d.sharesSlowLink(t, `cmp "$R/large%d" "$M/large%[1]d"`, 4, `exec stat "$M/deep/dir/new%d"`, 3*awayTimeout)
	if now := d.link.Stats().Connections; now > logins+4 {
		t.Errorf("%d logins more", now-logins)
	}
}

// TestSlowLinkIsSharedByWriters fills it by writing four files. Who looks and saves
// beside them waits for some packets, not for all of the data.
func TestSlowLinkIsSharedByWriters(t *testing.T) {
	d := newDistant(t, ordinary(t))
	d.mount(t, away("--attr-timeout", "0")...)
	for i := range 4 {
		d.noise(t, fmt.Sprintf("source%d", i), 2<<20)
	}
	d.sh(t, d.point, `for i in 0 1 2 3; do head -c 100000 "$L/source$i" >large$i; cat large$i >/dev/null; done`) // all is connected
	d.sharesSlowLink(t, `cp "$L/source%d" "$M/large%[1]d"; cmp "$L/source%[1]d" "$R/large%[1]d"`,
		3, `stat "$M/deep/dir/new%d"; echo small >"$M/deep/small%[1]d"`, 5*awayTimeout)
}

// sharesSlowLink makes the link slow, has four scripts fill it, and others beside them,
// one after the other, each of which may take so long: it is several round trips. The
// scripts get their number; that of deep/dir/new is of a folder that nothing was told of.
func (d *distant) sharesSlowLink(t *testing.T, fills string, rounds int, beside string, most time.Duration) {
	t.Helper()
	must(t, d.Mkdir("remote/deep", 0o755))
	must(t, d.Mkdir("remote/deep/dir", 0o755))
	d.link.SetRate(400 << 10)
	var filling []*job
	for i := range 4 {
		filling = append(filling, d.start(t, fmt.Sprintf(fills, i)))
	}
	for i := range rounds {
		time.Sleep(time.Second)
		must(t, d.Mkdir(fmt.Sprintf("remote/deep/dir/new%d", i), 0o755))
		began := time.Now()
		d.start(t, fmt.Sprintf(beside, i)).succeeds(t)
		took := time.Since(began)
		t.Logf("beside it: %v", took.Round(time.Millisecond))
		if took > most {
			t.Errorf("what was done beside it took %v", took)
		}
	}
	for _, j := range filling {
		j.succeeds(t)
	}
	if st := d.status(t); st.State != "connected" || st.Reconnects != 0 {
		t.Errorf("it is %s after %d reconnects", st.State, st.Reconnects)
	}
}

// TestHalfPackets has a server stop in the middle of an answer, and give another a byte
// a second: what waits for the one is asked elsewhere, what goes on beside the other
// goes on.
func TestHalfPackets(t *testing.T) {
	x := newLiar(t)
	s, _ := x.mount(t, "--attr-timeout", "0")
	s.sh(t, s.point, `stat bad good >/dev/null; cat good/file >/dev/null`)
	for _, c := range []struct {
		name, kind string
		fate       remotetest.Fate
		script     string
	}{
		{"half an answer to a look", "LSTAT", remotetest.Half, `exec stat "$M/bad/file"`},
		{"half an answer to a read", "READ", remotetest.Half, `exec cmp "$M/bad/file" "$R/bad/file"`},
		{"half an answer to a write", "WRITE", remotetest.Half, `echo text >"$M/bad/half"; exec cmp "$M/bad/half" "$R/bad/half"`},
		{"an answer byte by byte", "LSTAT", remotetest.Trickle, `exec stat "$M/bad/file"`},
		{"a listing byte by byte", "READDIR", remotetest.Trickle, `exec ls "$M/bad"`},
	} {
		x.server.Next(c.kind, "", c.fate)
		began := time.Now()
		first := s.start(t, c.script)
		time.Sleep(1500 * time.Millisecond)
		beside := time.Now()
		s.start(t, `test "$(cat "$M/good/file")" = good`).succeeds(t)
		if took := time.Since(beside); took > awayTimeout {
			t.Errorf("%s: what was asked beside it took %v", c.name, took)
		}
		code := first.code(t, 30*time.Second)
		t.Logf("%s: %v", c.name, time.Since(began).Round(time.Millisecond))
		if code != 0 {
			t.Errorf("%s: exit code %d: %s", c.name, code, first.out.String())
		}
	}
	if st := s.status(t); st.State != "connected" {
		t.Errorf("it is %s", st.State)
	}
}

// TestKilledWhile kills programs that wait for a server which does not answer: each is
// gone at once, whatever it waits for.
func TestKilledWhile(t *testing.T) {
	x := newLiar(t)
	s, _ := x.mount(t, "--attr-timeout", "0")
	for _, c := range []struct{ kind, script string }{
		{"LSTAT", `exec stat "$M/bad/file"`},
		{"READ", `exec cat "$M/bad/file"`},
		{"READDIR", `exec ls "$M/bad"`},
		{"MKDIR", `exec mkdir "$M/bad/made"`},
		{"WRITE", `exec dd if=/dev/zero of="$M/bad/new" bs=1k count=1 conv=fsync status=none`},
	} {
		x.server.Script(func(r remotetest.Request) remotetest.Fate {
			if r.Type == c.kind {
				return remotetest.Swallow
			}
			return remotetest.Answer
		})
		j := s.start(t, c.script)
		time.Sleep(time.Second)
		select {
		case <-j.ended:
			t.Errorf("%s: it does not wait: %s", c.kind, j.out.String())
		default:
		}
		began := time.Now()
		j.signal(t, syscall.SIGKILL)
		j.code(t, 5*time.Second)
		t.Logf("%s: gone %v after SIGKILL", c.kind, time.Since(began).Round(time.Millisecond))
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: gone %v after SIGKILL", c.kind, took)
		}
		x.server.Script(nil)
		x.hangUp() // so that nothing waits for what was swallowed
		s.sh(t, s.point, `stat good >/dev/null`)
	}
}
