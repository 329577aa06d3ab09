package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// Help tells of every flag with a value what holds without it, but for those without
// which there is nothing.
func TestHelpHasDefaults(t *testing.T) {
	nothing := strings.Fields(`password-file password-command jump bind-address host-key option sync sync-dir metrics log-file
		passphrase-file name address unset verify trigger-file authorized-keys fingerprint`)
	told := map[string]bool{}
	for _, cmd := range everyCommand(newApp().Commands) {
		for _, f := range cmd.Flags {
			d, ok := f.(cli.DocGenerationFlag)
			if v, hides := f.(cli.VisibleFlag); !ok || !d.TakesValue() || hides && !v.IsVisible() {
				continue
			}
			name := f.Names()[0]
			has := strings.HasSuffix(strings.Join(strings.Fields(flagLine(f)), " "), "("+defaultText(d)+")")
			if bare := slices.Contains(nothing, name); has == bare && !(name == "out" && cmd.Name == "convert") {
				t.Errorf("%s --%s: a default is told: %v\n%s", cmd.Name, name, has, flagLine(f))
			}
			told[name] = true
		}
	}
	for _, name := range nothing {
		if !told[name] {
			t.Errorf("there is no --%s", name)
		}
	}
}

// Help of a verb with times or sizes says how they are written.
func TestHelpHasUnits(t *testing.T) {
	const times, sizes = "TIME is 30s, 5m or 1h30m; a bare number is seconds.\n", "SIZE is 512K, 256M or 1.5G; a bare number is bytes.\n"
	for line, want := range map[string]string{"sync push": "\n" + times + sizes, "mount": "\n" + times + sizes, "browse": "\n" + times, "status": ""} {
		_, out, _ := verb(t, append(strings.Fields(line), "--help")...)
		if _, units, _ := strings.Cut(out, "show help\n"); units != want {
			t.Errorf("%s: %q, want %q", line, units, want)
		}
	}
}

// The usage of a verb with verbs of its own says so.
func TestHelpOfGroups(t *testing.T) {
	for _, group := range []string{"sync", "remote", "key", "hostkey"} {
		code, out, errOut := verb(t, group, "--help")
		if code != 0 || !strings.Contains(out, "  remotemount "+group+" VERB ...\n") {
			t.Errorf("%s --help: %d %s%s", group, code, out, errOut)
		}
	}
}

// A flag that may have a value is shown so, as its own String is what help asks.
func TestHelpOfAFlagThatMayHaveAValue(t *testing.T) {
	if _, out, _ := verb(t, "mount", "--help"); !strings.Contains(out, "--bookmark[=NAME]") {
		t.Errorf("%s", out)
	}
}

func TestHelpLine(t *testing.T) {
	got := helpLine("      --a-flag-with-a-long-name VALUE", strings.Repeat("word ", 15)+"end")
	want := "      --a-flag-with-a-long-name VALUE\n" + strings.Repeat(" ", 33) + strings.TrimSpace(strings.Repeat("word ", 11)) + "\n" +
		strings.Repeat(" ", 33) + "word word word word end"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := helpLine("  -f, --flag", "a b"); got != "  -f, --flag"+strings.Repeat(" ", 21)+"a b" {
		t.Errorf("%q", got)
	}
}

// The version tells what it was built from.
func TestVersionLine(t *testing.T) {
	defer func(v, c, d string) { version, commit, date = v, c, d }(version, commit, date)
	version, commit, date = "v1.2", "abc1234", "2026-01-02"
	if _, out, _ := verb(t, "--version"); out != "remotemount version v1.2, commit abc1234 of 2026-01-02\n" {
		t.Errorf("%q", out)
	}
}
