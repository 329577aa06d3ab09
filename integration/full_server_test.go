package integration

import (
	"fmt"
	"os"
	"strings"
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
// one; the kernel's table of sockets can. That is not read in one moment either: what
// two readings have was there all the time between them.
func TestConnectionCapUnderCuts(t *testing.T) {
	const limit = 3
	d := newDistant(t, ordinary(t))
	d.mount(t, "--max-connections", fmt.Sprint(limit), "--attr-timeout", "0")
	d.fillFiles(t)
	d.link.SetDelay(5 * time.Millisecond)
	most := 0
	quit, counted := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(counted)
		for before := established(d.link.Port()); ; {
			select {
			case <-quit:
				return
			case <-time.After(2 * time.Millisecond):
			}
			now := established(d.link.Port())
			both := 0
			for socket := range now {
				if before[socket] {
					both++
				}
			}
			most, before = max(most, both), now
		}
	}()
	d.cutting(func() { d.sh(t, d.Dir, crowd(16)) })
	close(quit)
	<-counted
	if most > limit || most < 1 {
		t.Errorf("%d connections at once, at most %d were allowed", most, limit)
	}
}

// established are the clients' sockets that are connected to a port of loopback.
func established(port int) map[string]bool {
	sockets := map[string]bool{}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return sockets
	}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line) // proc(5): the address of the other end, the state, the inode
		if len(f) > 9 && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) && f[3] == "01" {
			sockets[f[9]] = true
		}
	}
	return sockets
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
