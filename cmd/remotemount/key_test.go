package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/keys"
)

// verb runs one command line in this process.
func verb(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = runWith(append([]string{"remotemount"}, args...), &o, &e)
	return code, o.String(), e.String()
}

// ownHome gives the test a home folder, and nobody to ask: the askpass program
// fails.
func ownHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	for name, value := range map[string]string{
		"HOME": home, "XDG_STATE_HOME": home + "/state", "XDG_CONFIG_HOME": home + "/config", "XDG_RUNTIME_DIR": home + "/run",
		"SSH_AUTH_SOCK": "", "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "", "WAYLAND_DISPLAY": "",
	} {
		t.Setenv(name, value)
	}
	return home
}

// answers makes an askpass program that gives these lines, one a question.
func answers(t *testing.T, lines ...string) {
	t.Helper()
	dir := t.TempDir()
	text := strings.Join(lines, "\n") + "\n"
	script := "#!/bin/sh\nhead -n 1 " + dir + "/left\nsed -i 1d " + dir + "/left\n"
	if err := os.WriteFile(dir+"/left", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/askpass", []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_ASKPASS", dir+"/askpass")
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestKeyGenerate(t *testing.T) {
	home := ownHome(t)
	pass := secretFile(t, "a passphrase")
	code, out, errOut := verb(t, "key", "generate", "--passphrase-file", pass, "--type", "ed25519", "-C", "me")
	file := filepath.Join(home, ".ssh/id_ed25519")
	if code != 0 || !strings.HasPrefix(out, "ssh-ed25519 ") || !strings.HasSuffix(out, " me\n") || strings.Count(out, "\n") != 1 {
		t.Fatalf("%d %q %q", code, out, errOut)
	}
	if !strings.Contains(errOut, "SHA256:") || !strings.Contains(errOut, "authorized_keys") || strings.Contains(errOut, "no passphrase") {
		t.Errorf("said %q", errOut)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if public, err := os.ReadFile(file + ".pub"); err != nil || string(public) != out {
		t.Errorf("%q, %v", public, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Parse(data, []byte("a passphrase")); err != nil {
		t.Error(err)
	}
	code, _, errOut = verb(t, "key", "generate", "--type", "ed25519", "--passphrase-file", pass)
	if code != exitFailed || !strings.Contains(errOut, "there already") {
		t.Errorf("a second time: %d %q", code, errOut)
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, data) {
		t.Error("the first key was touched")
	}
	answers(t, "")
	if code, _, errOut = verb(t, "key", "generate", "--force", "--type", "ed25519"); code != 0 {
		t.Errorf("--force: %d %q", code, errOut)
	}
}

func TestKeyGenerateAsks(t *testing.T) {
	home := ownHome(t)
	answers(t, "typed", "typed")
	file := filepath.Join(home, "key")
	if code, out, errOut := verb(t, "key", "generate", "--type", "ed25519", "--out", file); code != 0 || !strings.HasPrefix(out, "ssh-ed25519 ") {
		t.Fatalf("%d %q", code, errOut)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Parse(data, []byte("typed")); err != nil {
		t.Error(err)
	}
	answers(t, "one", "other")
	if code, _, errOut := verb(t, "key", "generate", "--type", "ed25519", "--out", file+"2"); code != exitFailed || !strings.Contains(errOut, "differ") {
		t.Errorf("%d %q", code, errOut)
	}
	answers(t, "")
	if code, out, errOut := verb(t, "key", "generate", "--out", file+"3"); code != 0 || !strings.HasPrefix(out, "ssh-rsa ") || !strings.Contains(errOut, "RSA 4096") {
		t.Errorf("%d %q", code, errOut)
	}
	for _, bad := range [][]string{{"--bits", "512"}, {"--type", "dsa"}} {
		if code, _, _ := verb(t, append([]string{"key", "generate", "--out", file + "4"}, bad...)...); code != exitUsage {
			t.Errorf("%q: %d", bad, code)
		}
	}
}

// plainKey makes a key without a passphrase, by answering the question with an
// empty line. Key derivation is slow by intent, so most tests do without.
func plainKey(t *testing.T, file string) (line string) {
	t.Helper()
	answers(t, "")
	code, line, errOut := verb(t, "key", "generate", "--type", "ed25519", "--out", file)
	if code != 0 || !strings.Contains(errOut, "no passphrase") {
		t.Fatalf("%d %q", code, errOut)
	}
	t.Setenv("SSH_ASKPASS", "/bin/false")
	return line
}

func TestKeyConvertAndInspect(t *testing.T) {
	home := ownHome(t)
	pass := secretFile(t, "second")
	file := filepath.Join(home, "key")
	line := plainKey(t, file)
	for _, tt := range []struct {
		out, format string
		flags       []string
		passphrase  string
	}{
		{"protected.ppk", "ppk3", []string{"--new-passphrase-file", pass}, "second"},
		{"plain.ppk", "ppk3", nil, ""},
		{"key.pem", "pkcs8", nil, ""},
		{"other", "openssh", nil, ""},
		{"named", "pkcs8", []string{"--to", "pem"}, ""},
	} {
		out := filepath.Join(home, tt.out)
		code, _, errOut := verb(t, append([]string{"key", "convert", file, "--out", out}, tt.flags...)...)
		if code != 0 {
			t.Fatalf("%s: %q", tt.out, errOut)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		key, err := keys.Parse(data, []byte(tt.passphrase))
		if err != nil || string(key.Info.Format) != tt.format || key.Info.Encrypted != (tt.passphrase != "") {
			t.Errorf("%s: %+v, %v", tt.out, key, err)
			continue
		}
		code, shown, errOut := verb(t, "key", "public", out)
		if code != 0 || strings.Fields(shown)[1] != strings.Fields(line)[1] {
			t.Errorf("%s: public %q %q", tt.out, shown, errOut)
		}
		code, shown, errOut = verb(t, "key", "inspect", "--json", out)
		var found inspected
		if err := json.Unmarshal([]byte(shown), &found); code != 0 || err != nil || found.Format != tt.format || found.Encrypted != (tt.passphrase != "") {
			t.Errorf("%s: inspect %q %q %v", tt.out, shown, errOut, err)
		}
	}
	ppk := filepath.Join(home, "protected.ppk")
	if code, _, errOut := verb(t, "key", "convert", ppk, "--out", ppk+"2", "--passphrase-file", pass); code != 0 || !strings.Contains(errOut, "with the passphrase") {
		t.Errorf("the passphrase is not kept: %d %q", code, errOut)
	}
	if code, _, errOut := verb(t, "key", "convert", ppk, "--out", ppk+"3", "--passphrase-file", secretFile(t, "wrong")); code != exitAuth || !strings.Contains(errOut, "wrong passphrase") {
		t.Errorf("wrong passphrase: %d %q", code, errOut)
	}
	if code, _, _ := verb(t, "key", "convert", file, "--out", file); code != exitFailed {
		t.Errorf("over itself: %d", code)
	}
	if code, _, _ := verb(t, "key", "inspect", pass); code != exitFailed {
		t.Errorf("no key: %d", code)
	}
}

// A key that was made is no failure because there is no clipboard, and what comes next
// is told.
func TestKeyGenerateCopyWithoutDesktop(t *testing.T) {
	home := ownHome(t)
	file := filepath.Join(home, "a key")
	code, out, errOut := verb(t, "key", "generate", "--type", "ed25519", "--out", file, "--copy", "--passphrase-file", secretFile(t, "secret"))
	if code != 0 || !strings.HasPrefix(out, "ssh-ed25519 ") {
		t.Fatalf("%d %q %q", code, out, errOut)
	}
	for _, want := range []string{"warning: the clipboard cannot be reached", "ssh-copy-id -f -i '" + file + ".pub' user@host", "mount --identity '" + file + "' user@host:"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in %q", want, errOut)
		}
	}
}

func TestKeyCopy(t *testing.T) {
	home := ownHome(t)
	file := filepath.Join(home, "key")
	plainKey(t, file)
	if code, _, errOut := verb(t, "key", "public", "--copy", file); code != exitFailed || !strings.Contains(errOut, "clipboard") {
		t.Fatalf("without a desktop: %d %q", code, errOut)
	}
	bin := filepath.Join(home, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "wl-copy"), []byte("#!/bin/sh\ncat > "+home+"/clipboard\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("WAYLAND_DISPLAY", "wayland-0")
	code, out, errOut := verb(t, "key", "public", "--copy", file)
	got, err := os.ReadFile(filepath.Join(home, "clipboard"))
	if code != 0 || err != nil || string(got)+"\n" != out {
		t.Fatalf("%d %q %q %v", code, got, errOut, err)
	}
}

// What we convert, PuTTY's own program takes.
func TestKeyConvertForPuTTY(t *testing.T) {
	puttygen, err := exec.LookPath("puttygen")
	if err != nil {
		if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
			t.Fatal("puttygen is needed and not installed")
		}
		t.Skip("puttygen is not installed")
	}
	home := ownHome(t)
	file := filepath.Join(home, "key")
	line := plainKey(t, file)
	if code, _, errOut := verb(t, "key", "convert", file, "--out", file+".ppk", "--new-passphrase-file", secretFile(t, "x")); code != 0 {
		t.Fatal(errOut)
	}
	out, err := exec.Command(puttygen, file+".ppk", "-L", "--old-passphrase", secretFile(t, "x")).CombinedOutput()
	if err != nil || strings.Fields(string(out))[1] != strings.Fields(line)[1] {
		t.Fatalf("%s: %v", out, err)
	}
}
