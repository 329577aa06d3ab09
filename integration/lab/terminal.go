package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Terminal is a pseudo-terminal with a program on it that asks questions.
type Terminal struct {
	cmd    *exec.Cmd
	master *os.File
	out    lockedBuffer
	read   chan struct{} // closed when nothing more comes
}

// OnTerminal starts a command with a terminal of its own: as its controlling one, and
// as standard input, output and error.
func OnTerminal(cmd *exec.Cmd) (*Terminal, error) {
	master, slave, err := openTerminal()
	if err != nil {
		return nil, err
	}
	defer func() { _ = slave.Close() }() // the command has its own
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, true, 0
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, master.Close())
	}
	t := &Terminal{cmd: cmd, master: master, read: make(chan struct{})}
	go t.copy()
	return t, nil
}

func openTerminal() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("open /dev/ptmx", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fd))
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "terminal"), slave, nil // it can be closed while it is read
}

func (t *Terminal) copy() {
	defer close(t.read)
	b := make([]byte, 4096)
	for {
		n, err := t.master.Read(b)
		_, _ = t.out.Write(b[:n]) // a buffer in memory
		if err != nil {
			return // EIO, when nobody has the other end any more
		}
	}
}

// Answer waits until the program has asked a question for the nth time, and types a
// line. The question is a part of what the program writes.
func (t *Terminal) Answer(question string, nth int, line string) error {
	deadline := time.Now().Add(30 * time.Second)
	for strings.Count(t.out.String(), question) < nth {
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not ask %q:\n%s", question, t.out.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	_, err := t.master.WriteString(line + "\n")
	return err
}

// End waits for the program, takes the terminal away, and gives what was written on it.
func (t *Terminal) End() (out string, code int, err error) {
	err = t.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	time.Sleep(50 * time.Millisecond) // what was written last
	err = errors.Join(err, t.master.Close())
	<-t.read
	return t.out.String(), t.cmd.ProcessState.ExitCode(), err
}
