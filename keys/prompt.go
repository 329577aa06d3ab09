package keys

import (
	"context"
	"strings"
	"unicode"
)

// A Prompt is a question to the user. Its Text may come from the server: what
// could move a terminal's cursor has been taken out.
type Prompt struct {
	Text    string
	Echo    bool // show what is typed
	Confirm bool // a yes or no is wanted, in words
}

// A Prompter asks the user. ErrNoPrompt says that there is nobody to ask; when
// ctx ends, the question is withdrawn and the terminal is as it was.
type Prompter interface {
	Ask(ctx context.Context, p Prompt) (string, error)
}

// ask puts one question at a time, and stops the clock of handshakes that wait
// for the answer.
func (c *Client) ask(ctx context.Context, p Prompt) (string, error) {
	if !c.canAsk() {
		return "", ErrNoPrompt
	}
	p.Text = printable(p.Text)
	c.pending.pause()
	defer c.pending.resume()
	return c.cfg.Prompt.Ask(ctx, p)
}

func (c *Client) canAsk() bool {
	return c.cfg.Prompt != nil && !c.quiet.Load() && !c.ssh.Yes("batchmode")
}

// printable replaces control characters of a text that came from a server: an
// escape sequence could rewrite the screen around the question.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if r == '\r' {
			return -1
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}
