package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// How long a program may take to mount, and to end when its mount is gone. They
// are generous: a machine that runs tests is busy.
const (
	mountTime   = 60 * time.Second
	unmountTime = 30 * time.Second
)

// A Mount is a program in the foreground with its filesystem mounted.
type Mount struct {
	Point string

	lab    *Lab
	cmd    *exec.Cmd
	out    *lockedBuffer
	exited chan struct{}
	err    error // how the program ended; after exited
}

// StartMount runs a program and returns when something is mounted on point. If
// it ends before, the error is a *MountError.
func (l *Lab) StartMount(cmd *exec.Cmd, point string) (*Mount, error) {
	m := &Mount{Point: point, lab: l, cmd: cmd, out: &lockedBuffer{}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = m.out, m.out
	// A descriptor that a grandchild keeps must not keep Wait waiting.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		m.err = cmd.Wait()
		close(m.exited)
	}()
	deadline := time.Now().Add(mountTime)
	for {
		if mounted, err := m.Mounted(); err != nil || mounted {
			return m, err
		}
		select {
		case <-m.exited:
			return nil, &MountError{m.cmd.ProcessState.ExitCode(), m.out.String()}
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("not mounted after %v: %s", mountTime, m.out.String()), m.Kill())
		}
	}
}

// A MountError is a program that ended instead of mounting.
type MountError struct {
	ExitCode int
	Output   string
}

func (e *MountError) Error() string {
	return fmt.Sprintf("exit code %d: %s", e.ExitCode, e.Output)
}

// Mounted reports whether the mount table has the mountpoint.
func (m *Mount) Mounted() (bool, error) {
	mounts, err := MountsBelow(m.Point)
	return slices.Contains(mounts, m.Point), err
}

// PID is the program's process id.
func (m *Mount) PID() int { return m.cmd.Process.Pid }

// Output is what the program has said so far, on both its outputs.
func (m *Mount) Output() string { return m.out.String() }

// Exited is closed when the program has ended.
func (m *Mount) Exited() <-chan struct{} { return m.exited }

// Unmount unmounts as its user would, with fusermount3, and waits for the
// program. Busy is what a mount may be for a moment after its last user.
func (m *Mount) Unmount() error {
	var err error
	for range 50 {
		select {
		case <-m.exited:
			return m.ended()
		default:
		}
		if err = m.fusermount("-u"); err == nil {
			return m.ended()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.Join(err, m.Kill())
}

// ended waits for the program and says what is wrong with its end, if anything.
func (m *Mount) ended() error {
	select {
	case <-m.exited:
	case <-time.After(unmountTime):
		return errors.Join(fmt.Errorf("unmounted, but runs on: %s", m.Stacks()), m.Kill())
	}
	if mounted, err := m.Mounted(); err != nil || mounted {
		return errors.Join(err, fmt.Errorf("ended (%v), but is mounted: %s", m.err, m.out.String()), m.Kill())
	}
	if m.err != nil {
		return fmt.Errorf("%w: %s", m.err, m.out.String())
	}
	return nil
}

// Stacks has a program that should have ended say where it is, and ends it: its
// threads in the kernel, and all goroutines.
func (m *Mount) Stacks() string {
	var threads []string
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", m.PID()))
	for _, task := range tasks {
		in, readErr := os.ReadFile(filepath.Join(task, "wchan"))
		threads = append(threads, fmt.Sprintf("%s in %s (%v)", filepath.Base(task), in, readErr))
	}
	err = errors.Join(err, m.Signal(syscall.SIGQUIT))
	select {
	case <-m.exited:
	case <-time.After(10 * time.Second):
		err = errors.Join(err, errors.New("SIGQUIT does not end it either"))
	}
	said := m.out.String()
	return fmt.Sprintf("threads %q (%v)\n%s", threads, err, said[max(0, len(said)-40000):])
}

// Signal sends a signal to the program.
func (m *Mount) Signal(sig syscall.Signal) error { return m.cmd.Process.Signal(sig) }

// Kill ends the program without asking it, and takes its mount away.
func (m *Mount) Kill() error {
	var err error
	select {
	case <-m.exited:
	default:
		err = m.cmd.Process.Signal(syscall.SIGKILL)
		<-m.exited
	}
	if mounted, tableErr := m.Mounted(); tableErr != nil || !mounted {
		return errors.Join(err, tableErr)
	}
	return errors.Join(err, m.fusermount("-uz"))
}

func (m *Mount) fusermount(flag string) error {
	ctx, cancel := context.WithTimeout(context.Background(), unmountTime)
	defer cancel()
	out, err := m.lab.Command(ctx, "fusermount3", flag, m.Point).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fusermount3 %s: %w: %s", flag, err, out)
	}
	return nil
}

// lockedBuffer is what a program says, while it still may say more.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
