package fsnode_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The programs of these tests are this binary again.
const programEnv = "FSNODE_TEST_PROGRAM"

// program runs what the environment names, in dir.
func program(name, dir string) error {
	switch name {
	case "timer":
		return underTimer(dir)
	case "lstat":
		_, err := os.Lstat(filepath.Join(dir, "f"))
		return err
	case "write":
		return os.WriteFile(filepath.Join(dir, "f"), []byte("data"), 0o644)
	case "everyday":
		return everyday(dir)
	}
	return fmt.Errorf("unknown program %q", name)
}

// everyday is what a user does on a mount.
func everyday(dir string) error {
	d, f := filepath.Join(dir, "d"), filepath.Join(dir, "d", "f")
	if err := os.Mkdir(d, 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(f, []byte("content"), 0o640); err != nil {
		return err
	}
	if err := os.Rename(f, f+"2"); err != nil {
		return err
	}
	data, err := os.ReadFile(f + "2")
	if err == nil && string(data) != "content" {
		err = fmt.Errorf("read %q", data)
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(f + "2")
	if err == nil && (info.Mode() != 0o640 || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid())) {
		err = fmt.Errorf("mode %v, owner %d", info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
	}
	return err
}

// programOn is a program to run on the mount.
func programOn(m *served, name string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), programEnv+"="+name+":"+m.mnt)
	cmd.Stderr = &logged{t: m.t}
	return cmd
}

// underTimer makes, writes, renames and removes while SIGALRM arrives every
// millisecond and is handled.
func underTimer(dir string) error {
	timer := unix.Itimerval{Interval: unix.Timeval{Usec: 1000}, Value: unix.Timeval{Usec: 1000}}
	alarms := make(chan os.Signal, 1)
	signal.Notify(alarms, syscall.SIGALRM)
	if _, err := unix.Setitimer(unix.ITIMER_REAL, timer); err != nil {
		return err
	}
	for i := range 40 {
		d := filepath.Join(dir, fmt.Sprint("d", i))
		f := filepath.Join(d, "f")
		// The bare calls: package os would hide an EINTR.
		if err := unix.Mkdir(d, 0o755); err != nil {
			return fmt.Errorf("mkdir: %w", err)
		}
		fd, err := unix.Open(f, unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o644)
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if _, err := unix.Write(fd, []byte("some data")); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		if err := unix.Rename(f, f+"2"); err != nil {
			return fmt.Errorf("rename: %w", err)
		}
		if err := unix.Unlink(f + "2"); err != nil {
			return fmt.Errorf("unlink: %w", err)
		}
		if err := unix.Rmdir(d); err != nil {
			return fmt.Errorf("rmdir: %w", err)
		}
	}
	select {
	case <-alarms:
		return nil
	default:
		return errors.New("no alarm arrived")
	}
}

// Any signal interrupts a request; one that is handled must not be seen.
func TestHandledSignalsDisturbNothing(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached, Latency: 3 * time.Millisecond})
	if err := programOn(m, "timer").Run(); err != nil {
		t.Error(err)
	}
}

// A caller that is killed while the remote does not answer is gone at once, and
// the mount works on.
func TestKilledCallerIsFree(t *testing.T) {
	for _, tc := range []struct{ program, op string }{{"lstat", "lstat"}, {"write", "open"}, {"write", "flush"}} {
		t.Run(tc.op, func(t *testing.T) {
			m := mount(t, setup{AttrTimeout: cached, WriteBehind: true})
			m.must(command{Op: "hold", Path: tc.op})
			cmd := programOn(m, tc.program)
			check(t, cmd.Start())
			eventually(t, "the call", func() bool { return m.must(command{Op: "calls"}).Calls[tc.op] > 0 })
			time.Sleep(20 * time.Millisecond)
			check(t, cmd.Process.Kill())
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			var err error
			select {
			case err = <-ended:
				m.must(command{Op: "let", Path: tc.op})
			case <-time.After(3 * time.Second):
				t.Error("a killed process is not gone")
				m.must(command{Op: "let", Path: tc.op})
				err = <-ended
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Errorf("it ended with %v", err)
			}
			write(t, m.path("g"), "after it")
			content(t, m.disk("g"), "after it")
		})
	}
}

// A forced unmount ends within two seconds though the remote does not answer,
// and frees the callers.
func TestForceUnmount(t *testing.T) {
	m := mount(t, setup{AttrTimeout: cached})
	f, err := os.Create(m.path("open"))
	check(t, err)
	defer func() { _ = f.Close() }()
	m.must(command{Op: "hold", Path: "lstat"})
	caller := make(chan error, 1)
	go func() {
		_, err := os.Lstat(m.path("f"))
		caller <- err
	}()
	eventually(t, "the call", func() bool { return m.must(command{Op: "calls"}).Calls["lstat"] > 1 })
	began := time.Now()
	m.must(command{Op: "force"})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	select {
	case err := <-caller:
		if err == nil {
			t.Error("the held call went well")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("a caller is still held")
	}
	if _, err := f.WriteString("x"); err == nil {
		t.Error("a file of the mount can still be written")
	}
	same(t, "the mountpoint", names(t, m.mnt))
	m.must(command{Op: "wait"})
}
