package integration

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Of the crowd that reads at once.
const (
	readers = 64
	files   = 200
)

// crowd is a script in which so many processes read all files between them, each
// file several times, and compare what they read.
func crowd(readers int) string {
	return fmt.Sprintf(`
	pids=
	for i in $(seq %d); do
		(k=$((i %% 10)); cat "$M"/files/large "$M"/files/*$k | cmp - "$L/want-$k") &
		pids="$pids $!"
	done
	for pid in $pids; do wait $pid; done`, readers)
}

func (s *site) fillFiles(t testing.TB) {
	t.Helper()
	must(t, s.Mkdir("remote/files", 0o755))
	for i := range files {
		s.noise(t, fmt.Sprintf("remote/files/%d", i), 64<<10+i)
	}
	s.noise(t, "remote/files/large", 16<<20) // which asks for connections of its own
	s.sh(t, s.Dir, `for k in 0 1 2 3 4 5 6 7 8 9; do cat "$R"/files/large "$R"/files/*$k >want-$k; done`)
}

// TestConnectionCap reads with many processes at once and counts the connections
// in front of the server.
func TestConnectionCap(t *testing.T) {
	const limit = 4
	d := newDistant(t, ordinary(t))
	d.mount(t, "--max-connections", fmt.Sprint(limit))
	d.fillFiles(t)
	d.link.SetDelay(2 * time.Millisecond)
	d.sh(t, d.Dir, crowd(readers))
	st := d.link.Stats()
	t.Logf("%d processes, %d files, at most %d connections of %d", readers, files, st.MaxOpen, limit)
	if st.MaxOpen > limit {
		t.Errorf("%d connections at once, at most %d were allowed", st.MaxOpen, limit)
	}
	if st.MaxOpen < 2 {
		t.Error("one connection was enough: the test shows nothing")
	}
}

// TestConnectionCapUnderCuts counts while connections are lost and made. The link
// cannot count then, as it sees a new connection before it has let go of the old
// one; the kernel's table of sockets can.
func TestConnectionCapUnderCuts(t *testing.T) {
	const limit = 3
	d := newDistant(t, ordinary(t))
	d.mount(t, "--max-connections", fmt.Sprint(limit), "--attr-timeout", "0")
	d.fillFiles(t)
	d.link.SetDelay(5 * time.Millisecond)
	var most atomic.Int64
	quit, counted := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(counted)
		for {
			select {
			case <-quit:
				return
			case <-time.After(2 * time.Millisecond):
				most.Store(max(most.Load(), int64(established(d.link.Port()))))
			}
		}
	}()
	d.cutting(func() { d.sh(t, d.Dir, crowd(16)) })
	close(quit)
	<-counted
	if n := most.Load(); n > limit || n < 1 {
		t.Errorf("%d connections at once, at most %d were allowed", n, limit)
	}
}

// established counts the clients' ends of connections to a port of loopback.
func established(port int) int {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0
	}
	n := 0
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 3 && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) && f[3] == "01" {
			n++
		}
	}
	return n
}

// TestFrugalServer pins that a server which allows little is only slower.
func TestFrugalServer(t *testing.T) {
	for _, options := range [][]string{{"MaxSessions 1"}, {"MaxStartups 2"}, {"MaxSessions 1", "MaxStartups 1"}} {
		t.Run(strings.Join(options, ","), func(t *testing.T) {
			d := newDistant(t, ordinary(t), options...)
			m := d.mount(t)
			d.fillFiles(t)
			d.noise(t, "source", 8<<20)
			d.link.SetDelay(2 * time.Millisecond)
			writer := d.start(t, `cp source "$M/in"; cmp source "$M/in"`)
			d.sh(t, d.Dir, crowd(16))
			d.link.Cut()
			d.sh(t, d.point, `mkdir dir; echo text >dir/file; rm -r dir`)
			writer.succeeds(t)
			unmount(t, m)
			d.sh(t, d.Dir, `cmp source "$R/in"`)
		})
	}
}
