package integration

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// binary is the program under test: the one REMOTEMOUNT_BINARY names, or one
// built here, with the race detector when the tests have it. Every user may run
// it.
var binary = os.Getenv("REMOTEMOUNT_BINARY")

func TestMain(m *testing.M) {
	heedSignals()
	if binary != "" || os.Getenv(insideEnv) != "" { // a helper process: see inside_test.go
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "remotemount-bin-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		binary = filepath.Join(dir, "remotemount")
		err = build(binary)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
	} else {
		code = m.Run()
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// heedSignals has programs that are started here heed a Ctrl-C, also when nohup or a
// shell that started the tests in the background has them ignore it: what is ignored
// stays so in children, what is handled does not.
func heedSignals() {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}

func build(out string) error {
	args := []string{"build", "-o", out}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "../cmd/remotemount")...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
