package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestPasswordIsAskedUntilRightAndKept(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) { s.takePasswords("right") })
	cfg := server.clientConfig()
	prompt := &scripted{answers: []string{"wrong", "right"}}
	cfg.Prompt = prompt
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := loginWith(t, client); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := strings.Join(server.seen(), " "), "wrong right right"; got != want {
		t.Errorf("the server saw %q, want %q", got, want)
	}
	if want := `"somebody@127.0.0.1's password: " echo=false`; len(prompt.asked) != 2 || texts(prompt.asked[:1]) != want {
		t.Errorf("asked %s", texts(prompt.asked))
	}
}

// After a refusal the kept password is gone: a client that reconnects must not
// knock with it again and again.
func TestRefusedPasswordIsNotSentAgain(t *testing.T) {
	for _, given := range []bool{false, true} {
		server := startOwnServer(t, func(s *ownServer) { s.takePasswords("old") })
		cfg := server.clientConfig()
		if given {
			cfg.Password = func(context.Context) (string, error) { return "old", nil }
		} else {
			cfg.Prompt = &scripted{answers: []string{"old"}}
		}
		client, err := NewClient(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := loginWith(t, client); err != nil {
			t.Fatal(err)
		}
		client.StopAsking()
		server.setPassword("new")
		for range 3 {
			if err := loginWith(t, client); !IsAuthFailure(err) {
				t.Fatalf("got %v", err)
			}
		}
		if got, want := strings.Join(server.seen(), " "), "old old"; got != want {
			t.Errorf("given %v: the server saw %q, want %q", given, got, want)
		}
	}
}

// keyboardInteractive asks for a password and a one-time code in one round, and
// shows a text in a last round without questions, as PAM does.
func keyboardInteractive(s *ownServer, codes *[]string) {
	s.password = "secret"
	s.config.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		answers, err := ask("Login", "Two factors\x1b[31m", []string{"Password: ", "Code from your token (6 digits): "}, []bool{false, true})
		if err != nil {
			return nil, err
		}
		if _, err := ask("", "Welcome", nil, nil); err != nil {
			return nil, err
		}
		*codes = append(*codes, answers[1])
		if answers[1] != fmt.Sprintf("code%d", len(*codes)) {
			return nil, errors.New("wrong code")
		}
		return nil, s.judge(answers[0])
	}
}

func TestKeyboardInteractiveWithTwoPrompts(t *testing.T) {
	var codes []string
	server := startOwnServer(t, func(s *ownServer) { keyboardInteractive(s, &codes) })
	cfg := server.clientConfig()
	prompt := &scripted{answers: []string{"secret", "code1", "code2"}}
	cfg.Prompt = prompt
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time only the code is asked for
		if err := loginWith(t, client); err != nil {
			t.Fatal(err)
		}
	}
	want := `"Login\nTwo factors?[31m\n(somebody@127.0.0.1) Password: " echo=false; ` +
		`"(somebody@127.0.0.1) Code from your token (6 digits): " echo=true; ` +
		`"Login\nTwo factors?[31m\n(somebody@127.0.0.1) Code from your token (6 digits): " echo=true`
	if got := texts(prompt.asked); got != want {
		t.Errorf("asked %s\nwant  %s", got, want)
	}
}

// A password from a file answers the server's only question, whatever its
// words, and is offered once.
func TestGivenPasswordAnswersKeyboardInteractive(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) {
		s.password = "right"
		s.config.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Geheimwort: "}, []bool{false})
			if err != nil {
				return nil, err
			}
			return nil, s.judge(answers[0])
		}
	})
	cfg := server.clientConfig()
	cfg.Password = func(context.Context) (string, error) { return "right", nil }
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Password = func(context.Context) (string, error) { return "wrong", nil }
	if err := login(t, cfg); !IsAuthFailure(err) {
		t.Fatal(err)
	}
	if got := strings.Join(server.seen(), " "); got != "right wrong" {
		t.Errorf("the server saw %q", got)
	}
}

// Ten keys must not use up the attempts that the password needs.
func TestKeysLeaveAnAttemptForThePassword(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) {
		s.refuseKeys()
		s.takePasswords("right")
	})
	cfg := server.clientConfig()
	for range 10 {
		file, _ := newKeyFile(t, "")
		cfg.Identities = append(cfg.Identities, file)
	}
	cfg.Password = func(context.Context) (string, error) { return "right", nil }
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	if n := server.keysOffered(); n != 5 {
		t.Errorf("%d keys offered", n)
	}
	cfg.Password = nil
	err := login(t, cfg)
	var auth *AuthError
	if !errors.As(err, &auth) || auth.Unoffered != 4 {
		t.Fatalf("got %v", err)
	}
}

// Keys that cannot be opened here do not count as attempts: the server never
// heard of them.
func TestLockedKeysDoNotUseUpAttempts(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) {
		s.refuseKeys()
		s.takePasswords("right")
	})
	cfg := server.clientConfig()
	for range 8 { // in a form that does not tell the public key
		cfg.Identities = append(cfg.Identities, "testdata/keys/pem_rsa1024_enc")
	}
	if err := os.Chmod("testdata/keys/pem_rsa1024_enc", 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Password = func(context.Context) (string, error) { return "right", nil }
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	if n := server.keysOffered(); n != 0 {
		t.Errorf("%d keys offered", n)
	}
}

// A password that was given goes before the passphrase of a key that nobody named
// in this call; when it is refused, that passphrase is asked for. A key that needs
// none goes first, whichever comes first in ssh's order.
func TestGivenPasswordBeforePassphrase(t *testing.T) {
	for _, c := range []struct {
		name     string
		given    string
		bySSH    bool // the key is named by ssh_config, and has no default name
		byFlag   bool
		asks     bool // the password has to be asked for
		plain    bool // there is a key without a passphrase, too
		asked    int
		password string // what the server has seen of them
	}{
		{name: "default key", given: "right", password: "right"},
		{name: "ssh_config's key", given: "right", bySSH: true, password: "right"},
		{name: "named key", given: "right", byFlag: true, asked: 1},
		{name: "wrong password", given: "wrong", asked: 1, password: "wrong"},
		{name: "no password", asked: 1},
		{name: "a password to ask for", given: "right", asks: true, asked: 1},
		{name: "another key", given: "right", plain: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, public := newKeyFile(t, "open sesame")
			plainFile, plain := newKeyFile(t, "")
			server := startOwnServer(t, func(s *ownServer) {
				s.takePasswords("right")
				s.config.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
					if sameKey(key, public) || sameKey(key, plain) {
						return nil, nil
					}
					return nil, errors.New("no")
				}
			})
			cfg := server.clientConfig()
			cfg.Identities = nil
			cfg.Home = t.TempDir()
			prompt := &scripted{answers: []string{"open sesame"}}
			cfg.Prompt, cfg.PasswordAsks = prompt, c.asks
			if c.given != "" {
				cfg.Password = func(context.Context) (string, error) { return c.given, nil }
			}
			link := func(from, name string) {
				err := os.Mkdir(filepath.Join(cfg.Home, ".ssh"), 0o700)
				if err != nil && !errors.Is(err, os.ErrExist) {
					t.Fatal(err)
				}
				if err := os.Rename(from, filepath.Join(cfg.Home, ".ssh", name)); err != nil {
					t.Fatal(err)
				}
			}
			switch {
			case c.byFlag:
				cfg.Identities = []string{file}
			case c.bySSH:
				cfg.ConfigFile = filepath.Join(cfg.Home, "config")
				if err := os.WriteFile(cfg.ConfigFile, []byte("IdentityFile "+file+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			default:
				link(file, "id_ecdsa")
			}
			if c.plain {
				link(plainFile, "id_ed25519")
			}
			client, err := NewClient(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := loginWith(t, client); err != nil {
					t.Fatal(err)
				}
			}
			seen := strings.Join(slices.Compact(server.seen()), " ")
			if len(prompt.asked) != c.asked || seen != c.password {
				t.Errorf("asked %s, and the server saw the passwords %q, want %d and %q", texts(prompt.asked), seen, c.asked, c.password)
			}
		})
	}
}

// A login in two steps, key and then password.
func TestPartialSuccess(t *testing.T) {
	file, public := newKeyFile(t, "")
	server := startOwnServer(t, func(s *ownServer) {
		s.password = "second"
		s.config.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !sameKey(key, public) {
				return nil, errors.New("no")
			}
			return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{
				PasswordCallback: func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return nil, s.judge(string(p)) },
			}}
		}
	})
	cfg := server.clientConfig()
	other, _ := newKeyFile(t, "")
	cfg.Identities, cfg.Prompt = []string{other, file}, &scripted{answers: []string{"second"}}
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
}

// The clock of the handshake stands still while the user is asked.
func TestPromptDoesNotRunIntoTheDeadline(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) { s.takePasswords("right") })
	cfg := server.clientConfig()
	cfg.Prompt = promptFunc(func(context.Context, Prompt) (string, error) {
		time.Sleep(700 * time.Millisecond)
		return "right", nil
	})
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	nc, err := client.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	config, err := client.SSHConfig(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.SetDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	sc, _, _, err := ssh.NewClientConn(nc, "", config)
	if err != nil {
		t.Fatal(err)
	}
	_ = sc.Close()
}

type promptFunc func(context.Context, Prompt) (string, error)

func (f promptFunc) Ask(ctx context.Context, p Prompt) (string, error) { return f(ctx, p) }

// A question ends with its context, and the handshake with it.
func TestCancelledPrompt(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) { s.takePasswords("right") })
	cfg := server.clientConfig()
	ctx, cancel := context.WithCancel(context.Background())
	cfg.Prompt = promptFunc(func(ctx context.Context, _ Prompt) (string, error) {
		cancel()
		<-ctx.Done()
		return "", ctx.Err()
	})
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.connect(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// Five connections at once lead to one question.
func TestConcurrentLoginsAskOnce(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) { s.takePasswords("right") })
	cfg := server.clientConfig()
	prompt := &scripted{answers: []string{"right"}}
	cfg.Prompt = prompt
	client, err := NewClient(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 5)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = loginWith(t, client) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if len(prompt.asked) != 1 {
		t.Errorf("asked %s", texts(prompt.asked))
	}
}

// A server that hangs up in the middle of the login has refused it.
func TestHangUpDuringLoginIsARefusal(t *testing.T) {
	server := startOwnServer(t, func(s *ownServer) {
		s.config.MaxAuthTries = 2
		s.refuseKeys()
	})
	cfg := server.clientConfig()
	for range 4 {
		file, _ := newKeyFile(t, "")
		cfg.Identities = append(cfg.Identities, file)
	}
	if err := login(t, cfg); !IsAuthFailure(err) {
		t.Fatalf("got %v", err)
	}
}

func TestIsAuthFailure(t *testing.T) {
	for text, want := range map[string]bool{
		"ssh: handshake failed: ssh: unable to authenticate, attempted methods [none]": true,
		`ssh: disconnect, reason 2: "Too many authentication failures"`:                true,
		`ssh: disconnect, reason 2: "protocol error"`:                                  false,
		"ssh: handshake failed: EOF":                                                   false,
		"dial tcp: connection refused":                                                 false,
	} {
		if got := IsAuthFailure(errors.New(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if IsAuthFailure(nil) || IsHostKeyFailure(nil) {
		t.Error("nil is a failure")
	}
}

// Nothing secret reaches the log at any level, however the login ends.
func TestSecretsAreNotLogged(t *testing.T) {
	var codes []string
	secrets := []string{"pw-secret", "passphrase-secret", "code1", "given-secret"}
	file, public := newKeyFile(t, "passphrase-secret")
	log, out := captureLog()
	key := startSSHD(t)
	key.authorize(public)
	cfg := key.config()
	cfg.Identities, cfg.Log = []string{file}, log
	cfg.Prompt = &scripted{answers: []string{"pw-secret", "passphrase-secret"}}
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
	inter := startOwnServer(t, func(s *ownServer) { keyboardInteractive(s, &codes) })
	cfg = inter.clientConfig()
	cfg.Log, cfg.Prompt = log, &scripted{answers: []string{"pw-secret", "code1", "pw-secret"}}
	errs := []error{login(t, cfg)}
	plain := startOwnServer(t, func(s *ownServer) { s.takePasswords("right") })
	cfg = plain.clientConfig()
	cfg.Log, cfg.Password = log, func(context.Context) (string, error) { return "given-secret", nil }
	errs = append(errs, login(t, cfg))
	all := out.String() + errors.Join(errs...).Error()
	if slices.Contains(errs, nil) || !strings.Contains(all, "offering a key") {
		t.Fatalf("the test does not test: %v\n%s", errs, all)
	}
	for _, s := range secrets {
		if strings.Contains(all, s) {
			t.Errorf("%q is in the log:\n%s", s, all)
		}
	}
}
