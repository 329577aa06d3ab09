package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
	"github.com/remotemount/remotemount/integration/link"
)

// A distant site is reached by a link that can be made bad.
type distant struct {
	*site
	link *link.Link
}

func newDistant(t testing.TB, u lab.User, options ...string) *distant {
	t.Helper()
	s := newSite(t, u, options...)
	l, err := link.New(s.sshd.Addr())
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return &distant{s, l}
}

// mount mounts the served folder over the link.
func (d *distant) mount(t testing.TB, flags ...string) *lab.Mount {
	t.Helper()
	return d.mountBy(t, d.link.Port(), flags...)
}

// mountToEnd is mount for a test that ends the mount in a way of its own, which
// mount's cleanup would take for a failure. What is left of it is taken away.
func (d *distant) mountToEnd(t testing.TB, flags ...string) *lab.Mount {
	t.Helper()
	args := append([]string{"mount", "--foreground"}, d.connect(t, d.link.Port())...)
	args = append(append(args, flags...), d.address(), d.point)
	m, err := d.StartMount(d.Command(context.Background(), binary, args...), d.point)
	if err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Kill(); err != nil {
			t.Errorf("clearing the mount away: %v", err)
		}
		if t.Failed() {
			t.Logf("the mount said:\n%s", tail(m.Output()))
		}
	})
	return m
}

// A machine that is too busy to log in and move data within a second would only
// ever be cut: after so many cuts there is more time between them.
const (
	cutPause     = time.Second
	cuts         = 15
	cutPauseLate = 5 * time.Second
)

// cutting resets every connection each second while do runs. It tells how many
// connections were made meanwhile.
func (d *distant) cutting(do func()) (connections int, took time.Duration) {
	before, began := d.link.Stats().Connections, time.Now()
	quit := make(chan struct{})
	var cutter sync.WaitGroup
	cutter.Go(func() {
		for n := 0; ; n++ {
			pause := cutPause
			if n >= cuts {
				pause = cutPauseLate
			}
			select {
			case <-quit:
				return
			case <-time.After(pause):
				d.link.Cut()
			}
		}
	})
	do()
	took = time.Since(began)
	close(quit)
	cutter.Wait()
	return d.link.Stats().Connections - before, took
}

// A job is a program that runs beside the test.
type job struct {
	cmd   *exec.Cmd
	out   bytes.Buffer // to be read after ended
	ended chan struct{}
}

// start runs a shell script in the lab, as sh does, without waiting.
func (s *site) start(t testing.TB, script string) *job {
	t.Helper()
	j := &job{cmd: s.Command(context.Background(), "sh", "-eu", "-c", s.script(":", script)), ended: make(chan struct{})}
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.out
	killGroup(j.cmd)
	must(t, j.cmd.Start())
	go func() {
		_ = j.cmd.Wait() // how it ended is in ProcessState
		close(j.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-j.ended:
		default:
			_ = j.cmd.Cancel() // it may have ended just now
			<-j.ended
		}
	})
	return j
}

// code waits for the job's exit code, and fails the test when that takes longer
// than limit. A job ended by a signal has code -1.
func (j *job) code(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-j.ended:
		return j.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("%v: not ended after %v", j.cmd.Args[3:], limit)
		return 0
	}
}

// succeeds waits for a job that must exit with 0.
func (j *job) succeeds(t testing.TB) {
	t.Helper()
	if code := j.code(t, commandTime); code != 0 {
		t.Errorf("exit code %d: %s", code, tail(j.out.String()))
	}
}

// says reports whether a job that has ended told of an error.
func (j *job) says(errno syscall.Errno) bool {
	return strings.Contains(strings.ToLower(j.out.String()), strings.ToLower(errno.Error()))
}

// signal sends a signal to all processes of the job.
func (j *job) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	must(t, syscall.Kill(-j.cmd.Process.Pid, sig))
}

func init() { jobs["hold"] = holdJob } // see inside_test.go

// holdJob writes a copy of $L/source to $M/file, when told to by $L/go, and
// keeps it open. A shell could not: a child that ends closes what it inherited,
// and every close is a flush.
func holdJob(t *testing.T, dir string) {
	lab := filepath.Dir(dir)
	data, err := os.ReadFile(filepath.Join(lab, "source"))
	must(t, err)
	f, err := os.Create(filepath.Join(dir, "file"))
	must(t, err)
	must(t, os.Mkdir(filepath.Join(lab, "open"), 0o755))
	eventually(t, time.Minute, "told to go", func() bool { return exists(filepath.Join(lab, "go")) })
	_, err = f.Write(data)
	must(t, err)
	must(t, os.Mkdir(filepath.Join(lab, "written"), 0o755))
	eventually(t, time.Minute, "told to close", func() bool { return exists(filepath.Join(lab, "close")) })
	must(t, f.Sync())
	must(t, f.Close())
}

// hold starts holdJob and waits until its file is open.
func (d *distant) hold(t testing.TB, size int) *job {
	t.Helper()
	d.noise(t, "source", size)
	must(t, copyProgram(d.Lab))
	j := d.start(t, fmt.Sprintf(`exec env %s=hold %s="$M" "$L/inside.test" -test.run='^TestInside$'`, insideEnv, insideDir))
	d.await(t, "open")
	return j
}

// write lets a held file be written, until all of it is in memory.
func (d *distant) write(t testing.TB) {
	t.Helper()
	must(t, d.Mkdir("go", 0o755))
	d.await(t, "written")
}

// await waits for a file of the lab's to appear.
func (d *distant) await(t testing.TB, name string) {
	t.Helper()
	eventually(t, 30*time.Second, name, func() bool { return exists(d.Path(name)) })
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// eventually waits until something is so.
func eventually(t testing.TB, limit time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// status asks the mount what it says of itself.
func (s *site) status(t testing.TB) (st struct {
	PID            int
	State          string
	LastError      string `json:"last_error"`
	Connections    int
	Reconnects     int
	Unacknowledged int64 `json:"unacknowledged_bytes"`
	Lost           []struct{ Path string }
}) {
	t.Helper()
	stdout, stderr, code := s.run(t, binary, "status", "--json", s.point)
	if code != 0 {
		t.Fatalf("status: exit code %d: %s", code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &st); err != nil {
		t.Fatalf("status: %v: %s", err, stdout)
	}
	return st
}

// noise makes a file whose every block is different, so that a block in a wrong
// place shows.
func (s *site) noise(t testing.TB, path string, size int) {
	t.Helper()
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // never fails
	must(t, s.WriteFile(path, data, 0o644))
}

// descriptors counts the open files of a process.
func descriptors(t testing.TB, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	must(t, err)
	return len(open)
}

// killSession ends the process of one SFTP session of the server, and neither
// its connection nor the server.
func (s *site) killSession(t testing.TB) {
	t.Helper()
	eventually(t, 20*time.Second, "a session to kill", func() bool {
		all, err := s.sshd.Processes()
		must(t, err)
		for _, pid := range all {
			title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if err == nil && bytes.Contains(title, []byte("internal-sftp")) && syscall.Kill(pid, syscall.SIGKILL) == nil {
				return true
			}
		}
		return false
	})
}

// ordinary is who most mounts belong to: not root, where the tests can be
// somebody else.
func ordinary(t testing.TB) lab.User {
	t.Helper()
	users, err := lab.Users()
	if err != nil {
		missing(t, err.Error())
	}
	return users[len(users)-1]
}

// onServer is a path on the server's side.
func (s *site) onServer(name string) string { return filepath.Join(s.remote, name) }
