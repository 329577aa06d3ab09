package main

import (
	"context"
	"sync"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/keys"
)

// A switchboard asks whoever can be asked at the moment: a mount asks the person who
// mounts, then nobody, and later whoever has it reconnect.
type switchboard struct {
	mu sync.Mutex
	to keys.Prompter // guarded by mu; nil: nobody
}

// connect gives who is asked from now on; nil is nobody.
func (s *switchboard) connect(to keys.Prompter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
}

// Ask implements keys.Prompter.
func (s *switchboard) Ask(ctx context.Context, q keys.Prompt) (string, error) {
	s.mu.Lock()
	to := s.to
	s.mu.Unlock()
	if to == nil {
		return "", keys.ErrNoPrompt
	}
	return to.Ask(ctx, q)
}

// asksBy lets the link ask somebody until it is told to stop.
func (l *link) asksBy(p keys.Prompter) {
	if l.client == nil || p == nil {
		return // a program asks by itself, at a terminal that is gone
	}
	l.asks.connect(p)
	l.client.StartAsking()
}

// stopAsking: nobody is there any more to answer.
func (l *link) stopAsking() {
	l.asks.connect(nil)
	if l.client != nil {
		l.client.StopAsking()
	} else {
		l.program.StopAsking()
	}
}

// relayed asks over the control socket.
type relayed struct{ ask control.Ask }

// Ask implements keys.Prompter.
func (r relayed) Ask(ctx context.Context, q keys.Prompt) (string, error) {
	text, err := r.ask(ctx, control.Question{Text: q.Text, Echo: q.Echo, Confirm: q.Confirm})
	if err == control.ErrNobody {
		err = keys.ErrNoPrompt
	}
	return text, err
}

// answering is the other end of relayed.
func answering(p keys.Prompter) control.Ask {
	if p == nil {
		return nil
	}
	return func(ctx context.Context, q control.Question) (string, error) {
		return p.Ask(ctx, keys.Prompt{Text: q.Text, Echo: q.Echo, Confirm: q.Confirm})
	}
}

// reconnect is asked for over the control socket, by somebody who may be asked. A
// caller at a time.
func (r *running) reconnect(ctx context.Context, ask control.Ask) control.Reconnected {
	r.reconnecting.Lock()
	defer r.reconnecting.Unlock()
	if ask != nil {
		r.link.asksBy(relayed{ask})
		defer r.link.stopAsking()
	}
	err := r.link.reconnect(ctx)
	if err == nil {
		return control.Reconnected{}
	}
	f := explain(err)
	return control.Reconnected{Error: oneLine(f.err.Error()), Hint: f.hint, Code: f.code}
}
