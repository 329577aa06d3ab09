package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/options"
)

// manual is the manual as a reader sees its words: without the formatter's
// requests and fonts.
func manual(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/remotemount.1")
	if err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`\\f[BIRP]`).ReplaceAllString(string(text), "")
	return strings.ReplaceAll(plain, `\-`, "-")
}

// section gives what stands under a heading, .SH or .SS.
func section(t testing.TB, text, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, heading+"\n")
	if !ok {
		t.Fatalf("the manual has no %q", heading)
	}
	if end := regexp.MustCompile(`(?m)^\.S[HS] `).FindStringIndex(rest); end != nil {
		return rest[:end[0]]
	}
	return rest
}

func hasWord(text, word string) bool {
	return regexp.MustCompile(`(^|[^-\w])` + regexp.QuoteMeta(word) + `([^-\w]|$)`).MatchString(text)
}

// Each verb has its part, with every flag of its own; the connection flags have
// one of theirs.
func TestManualHasEveryFlag(t *testing.T) {
	text := manual(t)
	shared := map[string]bool{}
	connection := section(t, text, ".SH CONNECTION FLAGS")
	for _, f := range connectionFlags() {
		shared[f.Names()[0]] = true
		if !hasWord(connection, "--"+f.Names()[0]) {
			t.Errorf("CONNECTION FLAGS: --%s is missing", f.Names()[0])
		}
	}
	for _, cmd := range newApp().Commands {
		if cmd.Hidden {
			continue
		}
		part := section(t, text, ".SS "+cmd.Name)
		for _, c := range everyCommand([]*cli.Command{cmd}) {
			if !hasWord(text, c.Name) {
				t.Errorf("%s is missing", c.Name)
			}
			for _, f := range c.Flags {
				v, ok := f.(cli.VisibleFlag)
				if ok && !v.IsVisible() || shared[f.Names()[0]] {
					continue
				}
				for _, name := range f.Names() {
					if dashed := dashes(name); !hasWord(part, dashed) {
						t.Errorf("%s: %s is missing", cmd.Name, dashed)
					}
				}
			}
		}
	}
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// The manual names no flag that does not exist.
func TestManualHasNoOtherFlag(t *testing.T) {
	known := map[string]bool{"--help": true}
	for _, c := range everyCommand(newApp().Commands) {
		for _, f := range c.Flags {
			known["--"+f.Names()[0]] = true
		}
	}
	for _, flag := range regexp.MustCompile(`--[a-z][a-z0-9-]+`).FindAllString(manual(t), -1) {
		if !known[flag] {
			t.Errorf("%s is in the manual only", flag)
		}
	}
}

func TestManualHasEveryOption(t *testing.T) {
	_, text, ok := strings.Cut(manual(t), ".SH OPTIONS\n")
	if !ok {
		t.Fatal("no OPTIONS")
	}
	text, _, _ = strings.Cut(text, ".SH ")
	for _, name := range options.Names() {
		if !hasWord(text, name) {
			t.Errorf("-o %s is missing", name)
		}
	}
}

func TestManualHasExitCodesAndFiles(t *testing.T) {
	text := manual(t)
	codes := section(t, text, ".SH EXIT STATUS")
	for _, code := range []string{"0", "1", "2", "3", "4", "5", "6", "7"} {
		if !strings.Contains(codes, ".B "+code+"\n") {
			t.Errorf("exit code %s is missing", code)
		}
	}
	files := section(t, text, ".SH FILES")
	for _, file := range []string{"remotes/NAME.toml", "keys/NAME", "disabled-hosts", "serve_host_key", "/tmp/remotemount-UID", "$XDG_RUNTIME_DIR/remotemount", "known_hosts"} {
		if !strings.Contains(files, file) {
			t.Errorf("%s is missing", file)
		}
	}
}

// The formatter has nothing to complain about.
func TestManualIsWellFormed(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
			t.Fatal("groff is not installed")
		}
		t.Skip("groff is not installed")
	}
	out, err := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z", "../../docs/remotemount.1").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

// docs/sync.md names every flag of sync that is not about the connection.
func TestSyncPaperHasEveryFlag(t *testing.T) {
	text, err := os.ReadFile("../../docs/sync.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(syncFlags(), oneWayFlags()...) {
		if name := "--" + f.Names()[0]; !hasWord(string(text), name) {
			t.Errorf("%s is missing", name)
		}
	}
}
