package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/keys"
)

// A mount in the background is this program started once more, with none of the
// terminal's descriptors, and in a session of its own once it is mounted. The two
// hold the ends of a socket. The child connects, logs in and mounts; what it wants to ask the
// person goes over the socket to the parent, which has the terminal, and so do
// its messages, and in the end that it is ready or why not. So a secret is never
// in an argument, in the environment or on disk; there is one handshake, not two;
// and when the parent is interrupted at a question, the child finds the socket
// closed and ends, with nothing mounted.
//
// Until then the child stays in the process group. An automounter (autofs, systemd's
// x-systemd.automount) knows its own processes by that: anybody else who looks at
// the mountpoint, mount(2) included, waits for the mount to be made.

const (
	backgroundFlag = "background-fd"
	argsKey        = "args" // in App.Metadata: the ordered command line
)

// A message goes over the socket. One field is set.
type message struct {
	Hello  *hello        `json:"hello,omitempty"`  // parent to child, first
	Answer *answer       `json:"answer,omitempty"` // parent to child
	Ask    *keys.Prompt  `json:"ask,omitempty"`
	Note   *note         `json:"note,omitempty"`
	Failed *childFailure `json:"failed,omitempty"`
	Ready  bool          `json:"ready,omitempty"`
}

type hello struct {
	Mountpoint string `json:"mountpoint"`
	Secret     string `json:"secret,omitempty"`
	Stdin      []byte `json:"stdin,omitempty"`
	CanAsk     bool   `json:"can_ask"`
}

type answer struct {
	Text   string `json:"text"`
	Failed string `json:"failed,omitempty"`
	Nobody bool   `json:"nobody,omitempty"` // there is no terminal
}

type note struct {
	Level slog.Level `json:"level"`
	Line  string     `json:"line"`
}

type childFailure struct {
	Code int    `json:"code"`
	Text string `json:"text"`
	Hint string `json:"hint"`
}

// background starts the child and stays until the mount works.
func (m *mounting) background(c *cli.Context) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer func() { _ = ours.Close() }() // also what ends a child that is not ready
	cmd, err := m.child(c, theirs)
	if err != nil {
		return errors.Join(err, theirs.Close())
	}
	err = cmd.Start()
	if err := errors.Join(err, theirs.Close()); err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	defer context.AfterFunc(ctx, func() { _ = ours.Close() })()
	err = m.attend(ctx, ours, writeTo(c.App.ErrWriter))
	if err == nil {
		return cmd.Process.Release()
	}
	_ = ours.Close()
	waitErr := cmd.Wait() // nothing is left behind
	if ctx.Err() != nil {
		return fail(exitFailed, errors.New("interrupted, and nothing is mounted"), "")
	}
	var told *failure
	if !errors.As(err, &told) {
		return fail(exitFailed, fmt.Errorf("the process in the background ended without a word (%v): %w", waitErr, err), "remotemount mount --foreground shows more")
	}
	return err
}

func (m *mounting) child(c *cli.Context, socket *os.File) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ordered, _ := c.App.Metadata[argsKey].([]string)
	at := slices.Index(ordered, "mount")
	if at < 1 {
		return nil, errors.New("mount in the background: the command line is not known")
	}
	args := slices.Insert(slices.Clone(ordered[at:]), 1, fmt.Sprintf("--%s=3", backgroundFlag))
	cmd := exec.Command(program, args...)
	cmd.Args[0] = c.App.Name            // not mount.remotemount, which reads its arguments otherwise
	cmd.ExtraFiles = []*os.File{socket} // descriptor 3; 0, 1 and 2 are /dev/null
	return cmd, withholdDescriptors(args)
}

// withholdDescriptors keeps what the shell gave us open (a lock as of flock(1), a pipe that
// somebody reads to its end) from a mount that would hold it for its whole life. What an
// argument names goes along: a password that the shell has another program write.
func withholdDescriptors(args []string) error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range open {
		named := func(arg string) bool { return strings.Contains(arg+",", "/fd/"+e.Name()+",") }
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 && !slices.ContainsFunc(args, named) {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

func socketPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	f := os.NewFile(uintptr(fds[0]), "background")
	theirs = os.NewFile(uintptr(fds[1]), "background")
	ours, err = net.FileConn(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// attend answers the child until it is ready or has failed.
func (m *mounting) attend(ctx context.Context, socket net.Conn, show func(slog.Level, string)) error {
	prompt := newPrompter()
	out := json.NewEncoder(socket)
	if err := out.Encode(message{Hello: &hello{m.mountpoint, m.target.secret, m.target.stdin, prompt != nil}}); err != nil {
		return err
	}
	said, ended := receive(socket)
	var asked chan *answer
	// A question that nobody waits for any more is taken back, and the terminal is
	// as it was before we end.
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if asked != nil {
			<-asked
		}
	}()
	for {
		select {
		case err := <-ended:
			return err
		case a := <-asked:
			asked = nil
			_ = out.Encode(message{Answer: a}) // a child that is gone has said why
		case msg := <-said:
			switch {
			case msg.Ready:
				return nil
			case msg.Failed != nil:
				return fail(msg.Failed.Code, errors.New(msg.Failed.Text), msg.Failed.Hint)
			case msg.Note != nil:
				show(msg.Note.Level, msg.Note.Line)
			case msg.Ask != nil:
				asked = make(chan *answer, 1)
				go func(q keys.Prompt, to chan<- *answer) { to <- answerTo(ctx, prompt, q) }(*msg.Ask, asked)
			}
		}
	}
}

// receive reads what the child says; the goroutine ends with the socket.
func receive(socket net.Conn) (<-chan message, <-chan error) {
	said, ended := make(chan message), make(chan error, 1)
	go func() {
		in := json.NewDecoder(socket)
		for {
			var m message
			if err := in.Decode(&m); err != nil {
				ended <- err
				return
			}
			said <- m
		}
	}()
	return said, ended
}

func answerTo(ctx context.Context, prompt keys.Prompter, q keys.Prompt) *answer {
	if prompt == nil {
		return &answer{Nobody: true}
	}
	text, err := prompt.Ask(ctx, q)
	switch {
	case errors.Is(err, keys.ErrNoPrompt):
		return &answer{Nobody: true}
	case err != nil:
		return &answer{Failed: err.Error()}
	}
	return &answer{Text: text}
}
