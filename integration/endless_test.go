package integration

import (
	"context"
	bytesof "encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// manyNames is how many a large folder has here; REMOTEMOUNT_NAMES says otherwise.
const manyNames = 300_000

// crowd has the folder "bad" list so many names, or names without an end when that is 0.
func (x *liar) crowd(names int) {
	var mu sync.Mutex
	told := make(map[string]int) // by connection and session, each of which lists once at a time
	x.server.Corrupt(func(r remotetest.Request, answer []byte) ([]byte, bool) {
		if r.Path != "bad" || r.Type != "READDIR" && r.Type != "OPENDIR" {
			return answer, false
		}
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprint(r.Conn, " ", r.Session)
		if r.Type == "OPENDIR" {
			told[key] = 0
			return answer, false
		}
		if names > 0 && told[key] >= names {
			return packet(101, answer, bytesof.BigEndian.AppendUint32(nil, 1), make([]byte, 8)), false // the end
		}
		const batch = 100
		body := [][]byte{bytesof.BigEndian.AppendUint32(nil, batch)}
		for range batch {
			name := fmt.Sprintf("a-name-of-usual-length-%d", told[key])
			told[key]++
			body = append(body, text(name), text(name), bytesof.BigEndian.AppendUint32(nil, 4), bytesof.BigEndian.AppendUint32(nil, 0o100644))
		}
		return packet(104, answer, body...), false
	})
}

// packet is one of SFTP's, in place of another to the same request.
func packet(kind byte, answer []byte, body ...[]byte) []byte {
	b := append([]byte{0, 0, 0, 0, kind}, answer[5:9]...)
	for _, part := range body {
		b = append(b, part...)
	}
	bytesof.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func text(s string) []byte { return append(bytesof.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }

// peak is the most memory that a process has had, in MiB.
func peak(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	return kib >> 10
}

// takesMore is how much more a process takes under the race detector.
func takesMore(mib int) int {
	if raceEnabled {
		return 8 * mib
	}
	return mib
}

// mount mounts what the liar serves.
func (x *liar) mount(t testing.TB, flags ...string) (*site, *lab.Mount) {
	t.Helper()
	args := append(append([]string{"mount", "--foreground"}, x.args...), flags...)
	m, err := x.StartMount(x.Command(context.Background(), binary, append(args, x.remote, x.point)...), x.point)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endMount(t, m) })
	return &site{Lab: x.Lab, point: x.point, remote: x.Path("root")}, m
}

// TestEndlessFolder lists a folder without an end, by several programs at once, one of
// which stops: what the mount takes is bounded, and the rest of it works.
func TestEndlessFolder(t *testing.T) {
	x := newLiar(t)
	s, m := x.mount(t)
	x.crowd(0)
	began := time.Now()
	// $M/bad is walked with attributes and without, and one program stops half-way.
	s.run(t, "sh", "-c", fmt.Sprintf(`cd %s
		timeout 8 ls -U bad | tail -n 1 & timeout 8 find bad | tail -n 1 & timeout 8 sh -c 'ls -U bad | { head -n 5; sleep 8; }' & wait; true`, x.point))
	if out, stderr, code := s.run(t, "timeout", "-s", "KILL", "30", "cat", x.point+"/good/file"); code != 0 || out != "good" {
		t.Errorf("the rest of the mount: %q %s", out, stderr)
	}
	t.Logf("the mount: %d MiB at the peak after %v", peak(t, m.PID()), time.Since(began).Round(time.Second))
	if p := peak(t, m.PID()); p > takesMore(200) {
		t.Errorf("the mount took %d MiB", p)
	}
	x.browses(t, 8*time.Second)
}

// browses runs browse for so long, and looks at what it takes.
func (x *liar) browses(t *testing.T, long time.Duration) {
	t.Helper()
	cmd := x.Command(context.Background(), binary, append([]string{"browse", x.remote + "/bad"}, x.args...)...)
	must(t, cmd.Start())
	time.Sleep(long)
	p := peak(t, cmd.Process.Pid)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	t.Logf("browse: %d MiB at the peak", p)
	if p > takesMore(200) {
		t.Errorf("browse took %d MiB", p)
	}
}

// TestLargeFolder lists a folder with very many names: each shows once.
func TestLargeFolder(t *testing.T) {
	names := manyNames
	if n, err := strconv.Atoi(os.Getenv("REMOTEMOUNT_NAMES")); err == nil {
		names = n
	}
	x := newLiar(t)
	s, m := x.mount(t)
	x.crowd(names)
	for _, list := range []string{`ls -U bad`, `find bad -mindepth 1`} {
		began := time.Now()
		out, stderr, code := s.run(t, "sh", "-c", fmt.Sprintf(`cd %s; %s >%s; sort -u %[3]s | wc -l; wc -l <%[3]s`, x.point, list, x.Path("listed")))
		if want := fmt.Sprintf("%d\n%[1]d\n", names); code != 0 || out != want {
			t.Errorf("%s: %q %s", list, out, stderr)
		}
		t.Logf("%s: %v, %d MiB at the peak", list, time.Since(began).Round(time.Millisecond), peak(t, m.PID()))
	}
	if p := peak(t, m.PID()); p > takesMore(150) {
		t.Errorf("the mount took %d MiB", p)
	}
}
