package integration

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Of TestSoak. REMOTEMOUNT_SOAK says how long it is, as `make soak` does.
const (
	soakTime      = time.Minute
	soakProcesses = 50
	soakTimeout   = 5 * time.Second // of the mount

	// No call takes longer. Looks, reads and changes end within twice the timeout and what a
	// reconnect takes; data waits for the outages, of which the longest is that of a
	// server that is started again.
	soakLook, soakData = 30 * time.Second, 2 * time.Minute
)

func init() { jobs["soak"] = soakJob } // see inside_test.go

// TestSoak has many processes work in a mount while its link is cut, stalled and
// refused, its server's processes are stopped and killed, and the server is started
// again. No call takes longer than it may, no data is wrong, and in the end the mount
// holds no more than it did in the beginning.
func TestSoak(t *testing.T) {
	t.Parallel() // it takes long
	long := soakTime
	if d, err := time.ParseDuration(os.Getenv("REMOTEMOUNT_SOAK")); err == nil {
		long = d
	}
	d := newDistant(t, ordinary(t))
	for i := range soakProcesses {
		must(t, d.Mkdir(fmt.Sprint("remote/", i), 0o755))
	}
	m := d.mountToEnd(t, "--timeout", soakTimeout.String())
	must(t, copyProgram(d.Lab))
	var workers []*job
	for i := range soakProcesses {
		workers = append(workers, d.start(t, fmt.Sprintf(
			`exec env GOMAXPROCS=1 GOGC=20 %s=soak %s="$M/%d" "$L/inside.test" -test.run='^TestInside$'`, insideEnv, insideDir, i)))
	}
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	begun, count := time.Now(), map[string]int{}
	var early, late sample
	for time.Since(begun) < long {
		time.Sleep(time.Second + time.Duration(random.IntN(3000))*time.Millisecond)
		count[d.mishap(t, random)]++
		if early.rss == 0 && time.Since(begun) > long/3 {
			early = take(t, m.PID())
		}
	}
	late = take(t, m.PID())
	must(t, d.Mkdir("enough", 0o755))
	slowest := map[string]time.Duration{}
	for i, w := range workers {
		if code := w.code(t, soakData); code != 0 {
			t.Errorf("process %d: exit code %d: %s", i, code, tail(w.out.String()))
		}
		told(w.out.String(), slowest)
	}
	t.Logf("%v: %v; slowest calls %v", long, count, slowest)
	eventually(t, time.Minute, "all is on the server", func() bool { return d.status(t).Unacknowledged == 0 })
	d.sh(t, d.Dir, `for i in `+numbers(soakProcesses)+`; do test -e "$R/$i/good"; done`)
	t.Logf("after a third: %v; at the end: %v", early, late)
	if late.rss > early.rss*3/2+64 {
		t.Errorf("memory grew from %d to %d MiB", early.rss, late.rss)
	}
	if late.descriptors > early.descriptors+60 {
		t.Errorf("descriptors grew from %d to %d", early.descriptors, late.descriptors)
	}
	st := d.status(t)
	if st.State != "connected" || st.Connections > 25 || len(st.Lost) > 0 {
		t.Errorf("status: %+v", st)
	}
	time.Sleep(2 * time.Second)
	calm := take(t, m.PID())
	if n := goroutines(t, m); n > 40+20*st.Connections {
		t.Errorf("%d goroutines with %d connections", n, st.Connections)
	}
	t.Logf("calm: %v, %d connections", calm, st.Connections)
}

// A sample is what a process holds.
type sample struct{ rss, descriptors int }

func (s sample) String() string { return fmt.Sprintf("%d MiB, %d descriptors", s.rss, s.descriptors) }

func take(t testing.TB, pid int) sample {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	return sample{kib >> 10, descriptors(t, pid)}
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprint(&b, i, " ")
	}
	return b.String()
}

// mishap lets something happen to the server or the link, and names it. It is over
// when it returns, or is mended by itself.
func (d *distant) mishap(t testing.TB, random *rand.Rand) string {
	t.Helper()
	pause := func() { time.Sleep(time.Duration(random.IntN(2500)) * time.Millisecond) }
	switch n := random.IntN(20); {
	case n < 8:
		d.link.Cut()
		return "cut"
	case n < 11:
		d.link.Stall()
		pause()
		d.link.Resume()
		return "stalled"
	case n < 13:
		d.link.HalfOpen()
		return "half open"
	case n < 15:
		must(t, d.link.Refuse())
		d.link.Cut()
		pause()
		must(t, d.link.Accept())
		return "refused"
	case n < 17:
		stopped := d.stopped(t)
		pause()
		for _, pid := range stopped {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may have ended
		}
		return "sessions stopped"
	case n < 19:
		d.killSome(t)
		return "session killed"
	}
	must(t, d.sshd.Kill())
	pause()
	must(t, d.sshd.Start())
	return "server started again"
}

// sessionProcesses are the processes of SFTP sessions.
func (s *site) sessionProcesses(t testing.TB) (pids []int) {
	t.Helper()
	all, err := s.sshd.Processes()
	must(t, err)
	for _, pid := range all {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && bytes.Contains(title, []byte("internal-sftp")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *site) stopped(t testing.TB) (pids []int) {
	for _, pid := range s.sessionProcesses(t) {
		if syscall.Kill(pid, syscall.SIGSTOP) == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *site) killSome(t testing.TB) {
	if pids := s.sessionProcesses(t); len(pids) > 0 {
		_ = syscall.Kill(pids[rand.IntN(len(pids))], syscall.SIGKILL) // it may have ended
	}
}

// told collects the slowest call of each kind, from the lines of soakJob.
func told(out string, slowest map[string]time.Duration) {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "slowest" {
			continue
		}
		if took, err := time.ParseDuration(f[2]); err == nil {
			slowest[f[1]] = max(slowest[f[1]], took.Round(time.Millisecond))
		}
	}
}

// A soaking is one process of TestSoak.
type soaking struct {
	t       *testing.T
	dir     string
	random  *rand.Rand
	slowest map[string]time.Duration
}

// call makes one call, which must end in its time, and with no other error than that
// the remote is away. It reports whether it was done.
func (s *soaking) call(kind string, most time.Duration, do func() error) bool {
	began := time.Now()
	err := do()
	took := time.Since(began)
	s.slowest[kind] = max(s.slowest[kind], took)
	if took > most {
		s.t.Errorf("%s took %v: %v", kind, took, err)
	}
	if err != nil && (!errors.Is(err, syscall.ETIMEDOUT) || most == soakData) {
		s.t.Errorf("%s: %v", kind, err)
	}
	return err == nil
}

// soakJob works until $L/enough is there, and then leaves a file that says that it went
// well. What ended with ETIMEDOUT may have been done or not, so a round has a folder of
// its own, which is left behind then.
func soakJob(t *testing.T, dir string) {
	lab := filepath.Dir(filepath.Dir(dir))
	s := &soaking{t, dir, rand.New(rand.NewPCG(uint64(os.Getpid()), 1)), map[string]time.Duration{}}
	for round := 0; !exists(filepath.Join(lab, "enough")) && !t.Failed(); round++ {
		s.round(round)
	}
	for done := false; !done && !t.Failed(); {
		done = s.call("open", soakLook, func() error { return os.WriteFile(filepath.Join(dir, "good"), nil, 0o644) })
	}
	for kind, took := range s.slowest {
		fmt.Println("slowest", kind, took)
	}
}

func (s *soaking) round(n int) {
	d := filepath.Join(s.dir, fmt.Sprint(n))
	file, moved := filepath.Join(d, "new"), filepath.Join(d, "file")
	data := make([]byte, 1+s.random.IntN(200<<10))
	for i := range data {
		data[i] = byte(s.random.Uint32())
	}
	if !s.call("mkdir", soakLook, func() error { return os.Mkdir(d, 0o755) }) {
		return
	}
	var f *os.File
	if !s.call("open", soakLook, func() (err error) { f, err = os.Create(file); return err }) {
		return
	}
	s.call("write", soakData, func() error { _, err := f.Write(data); return err })
	if s.random.IntN(3) == 0 {
		s.call("fsync", soakData, f.Sync)
	}
	s.call("close", soakData, f.Close)
	if !s.call("rename", soakLook, func() error { return os.Rename(file, moved) }) {
		return
	}
	var got []byte
	if s.call("open", soakLook, func() (err error) { f, err = os.Open(moved); return err }) {
		got = make([]byte, len(data))
		if s.call("read", soakLook, func() error { _, err := f.ReadAt(got, 0); return err }) && !bytes.Equal(got, data) {
			s.t.Errorf("round %d: %d bytes are not what was written", n, len(data))
		}
		_ = f.Close() // it was only read
	}
	s.call("list", soakLook, func() error { _, err := os.ReadDir(d); return err })
	// os.Remove tries the other call when the first fails: after an unlink that ended with
	// ETIMEDOUT and was done it tells of the rmdir, that nothing is there.
	if !s.call("unlink", soakLook, func() error { return syscall.Unlink(moved) }) {
		return
	}
	s.call("rmdir", soakLook, func() error { return syscall.Rmdir(d) })
}
