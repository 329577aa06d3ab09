package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// matchTime is how long a command of Match exec may take.
const matchTime = 10 * time.Second

// userShell is what ssh has commands run by.
func userShell() string {
	if shell := os.Getenv("SHELL"); shell != "" {
		return shell
	}
	return "/bin/sh"
}

// matchExec runs the command of a Match exec as ssh does, by the user's shell,
// with nothing to read. It has a process group of its own, so that all of it can
// be ended when it takes too long.
func matchExec(ctx context.Context, command string, tokens map[byte]string) (bool, error) {
	command, err := expandCommand(command, tokens)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, matchTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, userShell(), "-c", command)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return false, fmt.Errorf("it took longer than %v", matchTime)
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.As(err, &exit):
		return false, nil
	}
	return err == nil, err
}
