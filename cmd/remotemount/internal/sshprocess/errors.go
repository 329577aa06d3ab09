package sshprocess

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Kind is what the end of a process means for the next one.
type Kind int

// The kinds.
const (
	Away        Kind = iota // the network: tried again as long as it takes
	Unclear                 // tried three times in all; as the network once SFTP has been spoken
	Unusable                // the program cannot be run, or has ended three times without a word of SFTP
	AuthRefused             // "Permission denied": never tried again
	HostKey                 // "Host key verification failed": not the server that is known
)

// An Error is a process that ended before the first byte of SFTP.
type Error struct {
	Program string
	Kind    Kind
	Status  string // as "exit status 255"; may be empty
	Said    string // what it wrote to standard error, cleaned
	Err     error  // for the words alone: the end of a stream means nothing beside the rest
}

func (e *Error) Error() string {
	if e.Status == "" && e.Kind != Away {
		return fmt.Sprintf("%s cannot be run: %v", e.Program, e.Err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s ended before SFTP began", e.Program)
	if e.Status != "" {
		fmt.Fprintf(&b, " (%s)", e.Status)
	}
	switch {
	case e.Said != "":
		fmt.Fprintf(&b, ": %s", e.Said)
	case e.Err != nil:
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// tries is how often a process may end without a reason that is understood: it
// could be a refused login in words of another program's, and servers ban those
// who go on. Where a login has worked it is rather an outage in such words.
const tries = 3

// why makes an error of a stream that ended before it began.
func (s *session) why(err error) error {
	select {
	case <-s.ended:
	case <-time.After(2 * time.Second): // it has closed its output, and lives
		return &Error{Program: s.program, Kind: Away, Said: s.said.clean(), Err: err}
	}
	e := &Error{Program: s.program, Said: s.said.clean(), Status: s.cmd.ProcessState.String(), Err: err}
	if e.Kind = kindOf(e.Said); e.Kind == Unclear && !s.dialer.spoke.Load() && s.dialer.failures.Add(1) >= tries {
		e.Kind = Unusable
	}
	return e
}

// kindOf reads what OpenSSH's client says, in the C locale.
func kindOf(said string) Kind {
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(said, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"):
		return HostKey
	case has("Permission denied", "Too many authentication failures", "No supported authentication methods"):
		return AuthRefused
	case has("Could not resolve", "Connection refused", "No route to host", "Network is unreachable", "timed out",
		"Connection reset", "Connection closed", "Broken pipe", "not responding", "kex_exchange_identification"):
		return Away
	}
	return Unclear
}

// IsKind reports whether an error is a process's that ended so.
func IsKind(err error, kinds ...Kind) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, k := range kinds {
		if e.Kind == k {
			return true
		}
	}
	return false
}

// maxSaid bounds what is kept of standard error.
const maxSaid = 4 << 10

// A tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - maxSaid; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

// clean gives it in one line, without what moves a terminal's cursor.
func (t *tail) clean() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	plain := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(t.text), "?"))
	return strings.Join(strings.Fields(plain), " ")
}
