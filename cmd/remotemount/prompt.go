package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/remotemount/remotemount/keys"
)

// A terminalPrompter asks at the terminal the process was started from, which
// need not be standard input; where there is none, or SSH_ASKPASS_REQUIRE says
// so, through the program that SSH_ASKPASS names, as ssh does.
type terminalPrompter struct {
	mu    sync.Mutex // one question at a time
	alone bool       // no program is asked
}

// newPrompter gives nil when nobody can be asked.
func newPrompter() keys.Prompter {
	p := &terminalPrompter{}
	if askpass() == "" {
		tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if err != nil {
			return nil
		}
		_ = tty.Close() // opened again for each question
	}
	return p
}

// newTerminalPrompter is one that asks at the terminal and nowhere else, for a
// conversation; nil where there is none.
func newTerminalPrompter() keys.Prompter {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	_ = tty.Close() // opened again for each question
	return &terminalPrompter{alone: true}
}

func askpass() string {
	program, required := getenv("SSH_ASKPASS"), getenv("SSH_ASKPASS_REQUIRE")
	if program == "" || required == "never" {
		return ""
	}
	if required == "force" || required == "prefer" && getenv("DISPLAY")+getenv("WAYLAND_DISPLAY") != "" {
		return program
	}
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		_ = tty.Close() // only looked whether it is there
		return ""
	}
	return program
}

func (p *terminalPrompter) Ask(ctx context.Context, q keys.Prompt) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if program := askpass(); program != "" && !p.alone {
		return askProgram(ctx, program, q)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", keys.ErrNoPrompt
	}
	defer func() { _ = tty.Close() }() // its descriptor holds nothing
	return askTerminal(ctx, tty, q)
}

// askTerminal puts the terminal back as it was also when ctx ends in the middle
// of a hidden answer: a shell without echo is what people remember of sshfs.
func askTerminal(ctx context.Context, tty *os.File, q keys.Prompt) (string, error) {
	hit := make(chan os.Signal, 1)
	signal.Notify(hit, os.Interrupt, syscall.SIGTERM) // verbs without a context for that, too
	defer signal.Stop(hit)
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", keys.ErrNoPrompt
	}
	if _, err := fmt.Fprintf(tty, "%s ", strings.TrimRight(q.Text, " ")); err != nil {
		return "", err
	}
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := readAnswer(tty, q.Echo || q.Confirm)
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		return a.text, a.err
	case <-hit:
	case <-ctx.Done():
	}
	err = term.Restore(fd, before)
	_, writeErr := fmt.Fprintln(tty)
	select {
	case <-ctx.Done(): // what ends it tells it
		return "", errors.Join(ctx.Err(), err, writeErr)
	case <-time.After(100 * time.Millisecond):
		return "", errors.Join(errors.New("interrupted"), err, writeErr)
	}
}

func readAnswer(tty *os.File, echo bool) (string, error) {
	if !echo {
		text, err := term.ReadPassword(int(tty.Fd()))
		_, _ = fmt.Fprintln(tty) // the Enter was not shown
		return string(text), err
	}
	text, err := bufio.NewReader(tty).ReadString('\n')
	if errors.Is(err, io.EOF) {
		return "", keys.ErrNoPrompt
	}
	return strings.TrimRight(text, "\r\n"), err
}

// askProgram runs the askpass program with the question as its argument, which
// is no secret; the answer comes on its standard output. SSH_ASKPASS_PROMPT
// tells it when only a confirmation is wanted.
func askProgram(ctx context.Context, program string, q keys.Prompt) (string, error) {
	cmd := exec.CommandContext(ctx, program, q.Text)
	cmd.WaitDelay = time.Second
	if q.Confirm {
		cmd.Env = append(os.Environ(), "SSH_ASKPASS_PROMPT=confirm")
	}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	text := strings.TrimRight(string(out), "\r\n")
	if q.Confirm && text == "" {
		text = "yes" // it answers by its exit code
	}
	return text, nil
}
