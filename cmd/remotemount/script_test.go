package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"remotemount": main, "mount.remotemount": main, "desktop": desktopMain})
}

// TestScripts are the scripts that need no FUSE.
func TestScripts(t *testing.T) { scripts(t, "testdata/script") }

// TestMountScripts mount what the embedded server serves.
func TestMountScripts(t *testing.T) {
	if err := mountpoint.System(false); err != nil {
		if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	scripts(t, "testdata/fuse")
}

func scripts(t *testing.T, dir string) {
	repo, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Defer(func() { nothingMounted(t, env.WorkDir) })
			run, home := filepath.Join(env.WorkDir, "run"), filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("XDG_RUNTIME_DIR", run)
			env.Setenv("XDG_CONFIG_HOME", "")
			env.Setenv("XDG_STATE_HOME", "")
			env.Setenv("SSH_AUTH_SOCK", "")
			env.Setenv("REPO", repo)
			env.Setenv("LC_ALL", "C")
			env.Setenv("GORACE", os.Getenv("GORACE")) // it steers the programs too
			return errors.Join(os.MkdirAll(run, 0o700), os.MkdirAll(home, 0o700))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "waitfor": waitFor},
	})
}

// nothingMounted takes away what a script that failed has left, and says so.
func nothingMounted(t *testing.T, dir string) {
	entries, err := mountpoint.Mounts()
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Mountpoint, dir) {
			t.Errorf("%s is still mounted: %v", e.Mountpoint, mountpoint.Abort(e.Mountpoint))
		}
	}
}

// exits CODE PROGRAM ARGS... runs a program and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// waitfor FILE WORD waits until a file has a word in it, and puts the first word
// that begins with it into $FOUND.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE WORD")
	}
	for range 500 {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil {
			for _, word := range strings.Fields(string(text)) {
				if strings.HasPrefix(word, args[1]) {
					ts.Setenv("FOUND", strings.TrimRight(word, ",:"))
					return
				}
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("no %q in %s", args[1], args[0])
}
