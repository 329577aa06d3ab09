package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/keys"
)

// A parent is the other end of the socket, seen from the child (background.go
// tells how the two talk).
type parent struct {
	socket  net.Conn
	canAsk  bool
	answers chan answer
	lost    chan struct{} // closed when the socket ends, by either side

	asking sync.Mutex // one question at a time
	mu     sync.Mutex
	gone   bool // guarded by mu; the last word was said
}

// inBackground is the child.
func inBackground(c *cli.Context, fd int, remote, place string) error {
	f := os.NewFile(uintptr(fd), "background")
	socket, err := net.FileConn(f)
	if err != nil {
		return usage("--%s is not for the command line", backgroundFlag)
	}
	if err := f.Close(); err != nil {
		return err
	}
	in := json.NewDecoder(socket)
	var first message
	if err := in.Decode(&first); err != nil || first.Hello == nil {
		return fmt.Errorf("started in the background without a word: %w", err)
	}
	p := &parent{socket: socket, canAsk: first.Hello.CanAsk, answers: make(chan answer), lost: make(chan struct{})}
	go p.listen(in)
	m, err := newMounting(c, remote)
	if err == nil {
		m.mountpoint, m.given = first.Hello.Mountpoint, absolute(place)
		m.target.secret, m.target.stdin = first.Hello.Secret, first.Hello.Stdin
		err = m.serveParent(p)
	}
	p.failed(err)
	return err
}

// serveParent mounts, and tells the parent when it works.
func (m *mounting) serveParent(p *parent) error {
	later, closeLog, err := m.laterLog()
	if err != nil {
		return err
	}
	defer closeLog()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	write := p.log(later)
	h := host{
		signals: signals, log: logger(m.level, write), keyLog: logger(min(m.level, slog.LevelInfo), write),
		mounted: detach, ready: p.ready, lost: p.lost,
	}
	if p.canAsk {
		h.prompt = p
	}
	return m.serve(h)
}

// detach leaves the terminal's session, the process group, and the folder, which
// a program in the background would keep in use.
func detach() error {
	if _, err := syscall.Setsid(); err != nil {
		return fmt.Errorf("leave the session: %w", err)
	}
	return os.Chdir("/")
}

// laterLog is where messages go when the parent is gone.
func (m *mounting) laterLog() (write func(slog.Level, string), close func(), err error) {
	if m.LogFile == "" {
		write, close = behind(toSyslog())
		return write, close, nil
	}
	f, err := os.OpenFile(m.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	write, end := behind(writeFile(f))
	return write, func() {
		end()
		go func() { _ = f.Close() }() // written line by line; on the mount itself it may wait
	}, nil
}

// listen ends with the socket, which the parent closes when it is interrupted,
// and we when the last word is said.
func (p *parent) listen(in *json.Decoder) {
	defer close(p.lost)
	for {
		var m message
		if err := in.Decode(&m); err != nil {
			return
		}
		if m.Answer != nil {
			p.answers <- *m.Answer
		}
	}
}

// Ask implements keys.Prompter over the socket.
func (p *parent) Ask(ctx context.Context, q keys.Prompt) (string, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	if err := p.send(message{Ask: &q}); err != nil {
		return "", err
	}
	select {
	case a := <-p.answers:
		switch {
		case a.Nobody:
			return "", keys.ErrNoPrompt
		case a.Failed != "":
			return "", errors.New(a.Failed)
		}
		return a.Text, nil
	case <-p.lost:
		return "", keys.ErrNoPrompt
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (p *parent) send(m message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return keys.ErrNoPrompt
	}
	return json.NewEncoder(p.socket).Encode(m)
}

// log gives messages to the parent as long as it is there.
func (p *parent) log(later func(slog.Level, string)) func(slog.Level, string) {
	return func(l slog.Level, line string) {
		if p.send(message{Note: &note{l, line}}) != nil {
			later(l, line)
		}
	}
}

func (p *parent) ready() error { return p.end(message{Ready: true}) }

func (p *parent) failed(err error) {
	if err == nil {
		return
	}
	f := explain(err)
	_ = p.end(message{Failed: &childFailure{f.code, f.err.Error(), f.hint}}) // then nobody listens
}

// end says the last word, once.
func (p *parent) end(m message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil
	}
	p.gone = true
	return errors.Join(json.NewEncoder(p.socket).Encode(m), p.socket.Close())
}
