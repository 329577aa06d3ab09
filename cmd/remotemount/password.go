package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/remotemount/remotemount/keys"
)

// A password comes from a file, from a program such as pass or secret-tool, or
// from the desktop's keyring. Never from an argument or the environment, which
// other users can read.

type passwordSource func(context.Context) (string, error)

func (t target) password() passwordSource {
	switch {
	case t.secret != "":
		return func(context.Context) (string, error) { return t.secret, nil }
	case t.conn.PasswordFile != "":
		return func(context.Context) (string, error) { return passwordFromFile(t.conn.PasswordFile) }
	case t.conn.PasswordCommand != "":
		return func(ctx context.Context) (string, error) {
			return passwordFromCommand(ctx, t.here, t.conn.PasswordCommand)
		}
	case t.conn.Keyring:
		return func(context.Context) (string, error) { return passwordFromKeyring(t.keyringName()) }
	}
	return nil
}

func passwordFromFile(path string) (string, error) {
	path = expandHome(path)
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("password file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("password file: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return "", fail(exitAuth, fmt.Errorf("password file %s: others can read it (mode %04o)", path, info.Mode().Perm()), "chmod 600 "+shellQuote(path))
	}
	text, err := firstLine(f)
	if err != nil {
		return "", fmt.Errorf("password file %s: %w", path, err)
	}
	return text, nil
}

// commandTime is for a program that unlocks something and asks a person.
const commandTime = 2 * time.Minute

// passwordFromCommand runs the command in a folder: a mount in the background has
// left the one it was started in when it logs in again.
func passwordFromCommand(ctx context.Context, dir, command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Dir, cmd.WaitDelay = keys.WorkingFolder(dir), time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(errOut.String()), "\n")
		return "", fail(exitAuth, fmt.Errorf("password command: %w: %s", err, said), "run the command by itself in a shell")
	}
	text, err := firstLine(&out)
	if err != nil {
		return "", fmt.Errorf("password command: %w", err)
	}
	return text, nil
}

// maxPassword bounds what is read: a wrong file could be large.
const maxPassword = 4096

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPassword)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("its first line is empty")
	}
	return line, nil
}

const keyringService = "remotemount"

func passwordFromKeyring(name string) (string, error) {
	text, err := keyring.Get(keyringService, name)
	if errors.Is(err, keyring.ErrNotFound) {
		return "", fail(exitAuth, fmt.Errorf("the keyring has no password for %s", name), "secret-tool store --label remotemount service remotemount username "+shellQuote(name))
	}
	if err != nil {
		return "", fail(exitAuth, fmt.Errorf("keyring: %w", err), "use --password-command or --password-file where no desktop runs")
	}
	return text, nil
}

// storeInKeyring asks for a password and keeps it there.
func storeInKeyring(ctx context.Context, p keys.Prompter, name string) error {
	if p == nil {
		return fail(exitAuth, keys.ErrNoPrompt, "secret-tool store --label remotemount service remotemount username "+shellQuote(name))
	}
	text, err := p.Ask(ctx, keys.Prompt{Text: fmt.Sprintf("Password of %s, for the keyring:", name)})
	if err != nil {
		return err
	}
	if err := keyring.Set(keyringService, name, text); err != nil {
		return fail(exitAuth, fmt.Errorf("keyring: %w", err), "use --password-command or --password-file where no desktop runs")
	}
	return nil
}

func expandHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return home + "/" + rest
		}
	}
	return path
}
