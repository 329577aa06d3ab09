package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// A Question is what a login wants to know of a person. Its text is printable.
type Question struct {
	Text    string `json:"text"`
	Echo    bool   `json:"echo,omitempty"`    // show what is typed
	Confirm bool   `json:"confirm,omitempty"` // a yes or no is wanted
}

// Ask puts a question to a person; ErrNobody when there is none to ask.
type Ask func(context.Context, Question) (string, error)

// ErrNobody: whoever was to be asked is gone, or cannot answer.
var ErrNobody = errors.New("nobody can be asked")

// A caller of reconnect that can ask somebody says so by asking to switch to this. From
// then on both sides send lines of JSON: the mount questions, and in the end the
// outcome, the caller answers.
const asking = "remotemount-asking"

// A line is one of those; one of its fields is set.
type line struct {
	Ask    *Question    `json:"ask,omitempty"`
	Answer *answer      `json:"answer,omitempty"`
	Done   *Reconnected `json:"done,omitempty"`
}

type answer struct {
	Text   string `json:"text,omitempty"`
	Nobody bool   `json:"nobody,omitempty"`
}

// mostAnswered bounds what a caller of ours can make us keep.
const mostAnswered = 1 << 20

func (s *Server) reconnect(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != asking {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.config.Reconnect(r.Context(), nil)) // the caller went away
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = conn.Close() }() // all is said
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+asking+"\r\n\r\n"); err != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.life)
	defer cancel()
	answers := make(chan answer)
	go func() {
		defer cancel() // the caller is gone
		in := json.NewDecoder(io.LimitReader(rw, mostAnswered))
		for {
			var l line
			if in.Decode(&l) != nil {
				return
			}
			if l.Answer == nil {
				continue
			}
			select {
			case answers <- *l.Answer:
			case <-ctx.Done():
				return
			}
		}
	}()
	out := json.NewEncoder(conn)
	done := s.config.Reconnect(ctx, func(ctx context.Context, q Question) (string, error) {
		if out.Encode(line{Ask: &q}) != nil {
			return "", ErrNobody
		}
		select {
		case a := <-answers:
			if a.Nobody {
				return "", ErrNobody
			}
			return a.Text, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	_ = out.Encode(line{Done: &done}) // the caller went away
}

// Reconnect has the mount at mountpoint connect now: ErrNone when there is none. ask
// answers what the login wants to know; nil, nobody does. Answers go to a process of
// our own user alone.
func (c *Client) Reconnect(ctx context.Context, mountpoint string, ask Ask) (r Reconnected, err error) {
	for _, dir := range c.dirs {
		if r, err = reconnect(ctx, dir, socketName(mountpoint), ask); !gone(err) {
			return r, err
		}
	}
	return r, ErrNone
}

func reconnect(ctx context.Context, dir, name string, ask Ask) (r Reconnected, err error) {
	if ask == nil {
		_, err := call(ctx, dir, name, http.MethodPost, "/reconnect", &r)
		return r, err
	}
	conn, _, err := dial(ctx, dir, name)
	if err != nil {
		return r, err
	}
	defer func() { _ = conn.Close() }() // all is said
	cred, err := peer(conn)
	if err != nil {
		return r, err
	}
	if cred.Uid != uint32(os.Geteuid()) {
		ask = func(context.Context, Question) (string, error) { return "", ErrNobody }
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	r, err = converse(ctx, conn, ask)
	if err != nil {
		err = fmt.Errorf("reconnect by %s: %w", name, errors.Join(context.Cause(ctx), err))
	}
	return r, err
}

func converse(ctx context.Context, conn net.Conn, ask Ask) (r Reconnected, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://mount/reconnect", nil)
	if err != nil {
		return r, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", asking)
	if err := req.Write(conn); err != nil {
		return r, err
	}
	from := bufio.NewReader(conn)
	res, err := http.ReadResponse(from, req)
	if err != nil {
		return r, err
	}
	if res.StatusCode != http.StatusSwitchingProtocols { // a mount that asks nothing
		err := json.NewDecoder(io.LimitReader(res.Body, mostAnswered)).Decode(&r)
		return r, errors.Join(err, res.Body.Close())
	}
	in, out := json.NewDecoder(io.LimitReader(from, mostAnswered)), json.NewEncoder(conn)
	for {
		var l line
		if err := in.Decode(&l); err != nil {
			return r, err
		}
		switch {
		case l.Done != nil:
			return *l.Done, nil
		case l.Ask != nil:
			text, err := ask(ctx, *l.Ask)
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			if err := out.Encode(line{Answer: &answer{Text: text, Nobody: err != nil}}); err != nil {
				return r, err
			}
		}
	}
}
