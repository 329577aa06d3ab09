package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/foreign"
	"github.com/remotemount/remotemount/keys"
)

// An answerer gives one answer to everything.
type answerer struct {
	text  string
	err   error
	asked []string
}

func (a *answerer) Ask(_ context.Context, q keys.Prompt) (string, error) {
	a.asked = append(a.asked, q.Text)
	return a.text, a.err
}

// A password goes to the keyring after asking and in no other way, and a remote whose
// password cannot be put there does not come to be.
func TestImportPasswords(t *testing.T) {
	found := foreign.Found{Name: "work", Remote: config.Remote{Address: "kim@host:"}, Password: "open-sesame"}
	for _, c := range []struct {
		name    string
		prompt  keys.Prompter
		keyring error  // of the desktop
		before  string // in the keyring
		said    string
		stored  string
		remote  bool
		keeps   bool // the remote names the keyring
	}{
		{"yes", &answerer{text: "yes"}, nil, "", "its password is in the keyring", "open-sesame", true, true},
		{"there already", &answerer{text: "y"}, nil, "older", "already, which stays", "older", true, true},
		{"no", &answerer{text: ""}, nil, "", "is not kept, and asked for", "", true, false},
		{"nobody", nil, nil, "", "is not kept, and asked for", "", true, false},
		{"nonsense", &answerer{text: "perhaps"}, nil, "", "left out  neither yes nor no", "", false, false},
		{"no desktop", &answerer{text: "yes"}, errors.New("no bus"), "", "left out  keyring: no bus", "", false, false},
	} {
		keyring.MockInit()
		if c.before != "" {
			if err := keyring.Set(keyringService, "kim@host", c.before); err != nil {
				t.Fatal(err)
			}
		}
		if c.keyring != nil {
			keyring.MockInitWithError(c.keyring)
		}
		store := configHome(t)
		var b strings.Builder
		im := &importing{ctx: context.Background(), store: store, prompt: c.prompt, out: &printer{&b, nil}}
		if err := im.all([]foreign.Found{found}); (err == nil) != c.remote {
			t.Errorf("%s: %v", c.name, err)
		}
		if !strings.Contains(b.String(), c.said) || strings.Contains(b.String(), "open-sesame") {
			t.Errorf("%s: %q, want %q", c.name, b.String(), c.said)
		}
		if a, ok := c.prompt.(*answerer); ok && (len(a.asked) == 0 || strings.Contains(a.asked[0], "open-sesame")) {
			t.Errorf("%s: asked %q", c.name, a.asked)
		}
		if got, _ := keyring.Get(keyringService, "kim@host"); got != c.stored {
			t.Errorf("%s: the keyring has %q, want %q", c.name, got, c.stored)
		}
		r, err := store.Get("work")
		if (err == nil) != c.remote || err == nil && (r.Keyring != c.keeps || r.AskPassword == c.keeps) {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
	}
}
