// Package sshprocess makes connections by a program of this machine, in place of
// the built-in SSH: the system's ssh with all that it alone can do, or whatever
// takes its arguments. Standard input and output carry SFTP, one session a
// process. No shell is between.
//
// The first process may ask at the terminal, as ssh does; later ones, made while
// a mount works, ask nobody. Each has a process group of its own, so that Ctrl-C
// does not cut a connection that data is still being written through, and ends
// with the mount.
package sshprocess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/pool"
)

// Config says which program is run, and how.
type Config struct {
	Command string        // the program and its first arguments
	Host    string        // the last argument but for what is wanted there
	Args    []string      // ssh's own options, from our flags
	SFTP    string        // a subsystem, or a command where there is a / or a blank in it; "" is sftp
	Timeout time.Duration // after which ssh is to take a silent server for dead
	Batch   bool          // nobody is asked, the first time either
	Dir     string        // where it is run
}

// A Dialer starts the program for each connection.
type Dialer struct {
	config   Config
	quiet    atomic.Bool
	spoke    atomic.Bool  // a process has brought SFTP
	failures atomic.Int32 // before that, of a kind that does not tell what it is
}

// New makes a Dialer.
func New(c Config) (*Dialer, error) {
	if len(Words(c.Command)) == 0 {
		return nil, errors.New("there is no program in it")
	}
	d := &Dialer{config: c}
	d.quiet.Store(c.Batch)
	return d, nil
}

// StopAsking makes later processes silent.
func (d *Dialer) StopAsking() { d.quiet.Store(true) }

// Words takes a command apart at blanks, as sshfs does: quotes mean nothing, and
// a backslash keeps a blank.
func Words(command string) []string {
	var words []string
	var word strings.Builder
	for i := 0; i < len(command); i++ {
		switch c := command[i]; {
		case c == '\\' && i+1 < len(command) && command[i+1] == ' ':
			i++
			word.WriteByte(' ')
		case c == ' ':
			if word.Len() > 0 {
				words = append(words, word.String())
			}
			word.Reset()
		default:
			word.WriteByte(c)
		}
	}
	if word.Len() > 0 {
		words = append(words, word.String())
	}
	return words
}

// IsSubsystem reports whether what is wanted on the server is the name of a
// subsystem, and not a command.
func IsSubsystem(sftp string) bool { return !strings.ContainsAny(sftp, "/ ") }

// arguments is the whole command line.
func (d *Dialer) arguments(batch bool) []string {
	args := append(Words(d.config.Command), "-x", "-a", "-o", "ClearAllForwardings=yes")
	args = append(args, d.config.Args...)
	if d.config.Timeout > 0 { // ssh ends by itself when the server is gone; we cannot ask it. What was said before wins
		interval := max(1, int(d.config.Timeout.Seconds()/3))
		args = append(args, "-o", "ServerAliveInterval="+strconv.Itoa(interval), "-o", "ServerAliveCountMax=3")
	}
	if batch {
		args = append(args, "-o", "BatchMode=yes")
	}
	sftp := d.config.SFTP
	if sftp == "" {
		sftp = "sftp"
	}
	if IsSubsystem(sftp) {
		args = append(args, "-s")
	}
	return append(args, "--", d.config.Host, sftp)
}

// Dial starts a process. That it runs says nothing yet: the first bytes do.
func (d *Dialer) Dial(ctx context.Context) (pool.Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("ssh command: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ssh"), os.NewFile(uintptr(pair[1]), "ssh")
	defer func() { _ = theirs.Close() }() // the process has its own
	stream, err := net.FileConn(ours)
	_ = ours.Close() // the stream has a copy
	if err != nil {
		return nil, fmt.Errorf("ssh command: %w", err)
	}
	tty := d.terminal()
	args := d.arguments(tty == nil)
	p := &process{dialer: d, stream: stream, program: args[0], tty: tty, ended: make(chan struct{})}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs, theirs, &p.said
	p.cmd.Env = append(os.Environ(), "LC_ALL=C")
	p.cmd.Dir, p.cmd.WaitDelay = keys.WorkingFolder(d.config.Dir), time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if tty != nil {
		p.cmd.SysProcAttr.Foreground, p.cmd.SysProcAttr.Ctty = true, int(tty.Fd())
	}
	if err := p.cmd.Start(); err != nil {
		_ = stream.Close()
		p.giveBack()
		kind := Unusable
		if d.spoke.Load() { // it is being replaced, or there is no room for one more process
			kind = Unclear
		}
		return nil, &Error{Program: args[0], Kind: kind, Err: err}
	}
	p.stop = context.AfterFunc(ctx, p.Abort)
	go p.wait()
	return p, nil
}

// terminal is the terminal that the process may ask at: when we may ask, and are
// what the terminal listens to.
func (d *Dialer) terminal() *os.File {
	if d.quiet.Load() {
		return nil
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	if group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP); err != nil || group != unix.Getpgrp() {
		_ = tty.Close()
		return nil
	}
	return tty
}

// A process is one connection.
type process struct {
	dialer  *Dialer
	cmd     *exec.Cmd
	program string
	stream  net.Conn
	said    tail
	ended   chan struct{} // closed when its exit status is known
	stop    func() bool   // ends the bond to the dial's context

	opened  atomic.Bool
	spoken  atomic.Bool // a byte of SFTP came
	ttyOnce sync.Once
	tty     *os.File // lent to the process until it has logged in; nil for none
}

var _ pool.Conn = (*process)(nil)

func (p *process) wait() {
	_ = p.cmd.Wait() // its state is kept in cmd
	p.giveBack()
	close(p.ended)
}

// giveBack takes the terminal back from the process. Whoever is in the background
// and sets who is in front gets SIGTTOU, unless it is ignored.
func (p *process) giveBack() {
	p.ttyOnce.Do(func() {
		if p.tty == nil {
			return
		}
		signal.Ignore(syscall.SIGTTOU)
		defer signal.Reset(syscall.SIGTTOU)
		_ = unix.IoctlSetPointerInt(int(p.tty.Fd()), unix.TIOCSPGRP, unix.Getpgrp())
		_ = p.tty.Close()
	})
}

// OpenSFTP gives the one session there is.
func (p *process) OpenSFTP(ctx context.Context) (io.ReadWriteCloser, error) {
	if p.opened.Swap(true) {
		return nil, errors.New("a process carries one session")
	}
	stop := context.AfterFunc(ctx, func() {
		if !p.spoken.Load() {
			p.Abort()
		}
	})
	return &session{process: p, stop: stop}, nil
}

// Ping is answered by the process being there: ssh itself asks the server, and
// ends when there is no answer.
func (p *process) Ping(context.Context) error {
	select {
	case <-p.ended:
		return io.EOF
	default:
		return nil
	}
}

// LastByte is now, as long as the process is there, for the same reason.
func (p *process) LastByte() time.Time { return time.Now() }

func (p *process) Abort() { p.kill(syscall.SIGKILL) }

// Close ends the process in order, and insists after a second.
func (p *process) Close() error {
	err := p.stream.Close()
	p.kill(syscall.SIGTERM)
	time.AfterFunc(time.Second, func() { p.kill(syscall.SIGKILL) })
	return err
}

func (p *process) kill(sig syscall.Signal) {
	select {
	case <-p.ended: // the number may be another's by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, sig)
	}
	_ = p.stream.SetDeadline(time.Unix(1, 0)) // whoever reads is free at once
}

func (p *process) Done() <-chan struct{} { return p.ended }

// Server is not known: what the far side is called is between it and the process.
func (p *process) Server() string { return "" }

// A session is the stream as SFTP sees it.
type session struct {
	*process
	stop func() bool
}

func (s *session) Read(b []byte) (int, error) {
	n, err := s.stream.Read(b)
	if n > 0 && !s.spoken.Swap(true) {
		s.process.stop()
		s.stop()
		s.dialer.spoke.Store(true)
		s.giveBack()
	}
	if err != nil && !s.spoken.Load() {
		err = s.why(err)
	}
	return n, err
}

func (s *session) Write(b []byte) (int, error) {
	n, err := s.stream.Write(b)
	if err != nil && !s.spoken.Load() {
		err = s.why(err)
	}
	return n, err
}

func (s *session) Close() error { return s.process.Close() }
