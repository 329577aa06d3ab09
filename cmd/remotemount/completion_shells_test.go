package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
)

// offers are lines as they are typed, and the words that the shells' scripts offer for
// the last. A shell whose words end at = is not given back what stands before it.
var offers = map[string]string{
	"remotemount mount wo":                    "work",
	"remotemount mount work f":                "folder",
	"remotemount mount -i f":                  "file folder",
	"remotemount mount --identity=fi":         "--identity=|file",
	"remotemount mount --sync-dir=fo":         "--sync-dir=|folder",
	"remotemount mount --host-key-policy=st":  "--host-key-policy=|strict",
	"remotemount mount --host-key-policy st":  "strict",
	"remotemount mount -o allow_other,rea":    "allow_other,read_only allow_other,readdir_ino",
	"remotemount mount -o IdentityF":          "IdentityFile=",
	"remotemount sync push ":                  "folder other",
	"remotemount sync push --exclude-from f":  "file folder",
	"remotemount sync push --compare ":        "size mtime hash",
	"remotemount key generate --type ed":      "ed25519",
	"remotemount mount --no-such-flag-at-all": "",
}

// shell gives the program of a shell, a folder to complete in, and the environment in
// which remotemount is this test and has a remote.
func shell(t *testing.T, name string) (program, dir string, env []string) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	dir = t.TempDir()
	for _, folder := range []string{"folder", "other"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "remotemount")); err != nil {
		t.Fatal(err)
	}
	if err := configHome(t).Add("work", config.Remote{Address: "h:"}); err != nil {
		t.Fatal(err)
	}
	return program, dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
}

// offersOf runs a shell's script for each line; full is for shells that take whole words.
func offersOf(t *testing.T, name, script string, full bool, args func(line string) []string) {
	t.Helper()
	program, dir, env := shell(t, name)
	file, err := filepath.Abs("completions/remotemount." + name)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range offers {
		cmd := exec.Command(program, append([]string{"-c", script, name, file}, args(line)...)...)
		if name == "fish" {
			cmd = exec.Command(program, append([]string{"--no-config", "-c", script, file}, args(line)...)...)
		}
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		got := strings.Fields(strings.ReplaceAll(string(out), "/\n", "\n"))
		slices.Sort(got)
		before, rest, cut := strings.Cut(want, "|")
		if cut && full {
			want = before + rest
		} else if cut {
			want = rest
		}
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		if err != nil || !slices.Equal(got, wanted) {
			t.Errorf("%q: %q, want %q; %v", line, got, wanted, err)
		}
	}
}

// Readline has : and = among its COMP_WORDBREAKS.
func TestCompletionOfBash(t *testing.T) {
	offersOf(t, "bash", `. "$1"; COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$' \t\n"'"'"'><=;|&(:'; _remotemount; printf '%s\n' "${COMPREPLY[@]}"`,
		false, func(line string) []string { return []string{line} })
}

// fish itself says what it would offer.
func TestCompletionOfFish(t *testing.T) {
	offersOf(t, "fish", `source $argv[1]; complete -C $argv[2]`, true, func(line string) []string { return []string{line} })
}

// What zsh's completion system would do with the offers stands in for it.
func TestCompletionOfZsh(t *testing.T) {
	offersOf(t, "zsh", `
compdef() { }
compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -rl -- "$@"; }
compset() { IPREFIX=${(M)PREFIX#--*=} PREFIX=${PREFIX#--*=}; }
_files() { if [[ $1 == -/ ]]; then set -- $PREFIX*(N/); else set -- $PREFIX*(N); fi; print -rl -- $IPREFIX${^@}; }
source $1; shift
words=("$@") CURRENT=$# PREFIX=${@[-1]}
_remotemount`, true, func(line string) []string { return strings.Split(line, " ") })
}
