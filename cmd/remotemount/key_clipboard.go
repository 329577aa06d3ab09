package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// clipboardTime is how long a clipboard program may take to take the text over.
const clipboardTime = 5 * time.Second

// clipboardPrograms are those of the running desktop, in order.
func clipboardPrograms() [][]string {
	var all [][]string
	if getenv("WAYLAND_DISPLAY") != "" {
		all = append(all, []string{"wl-copy"})
	}
	if getenv("DISPLAY") != "" {
		all = append(all, []string{"xclip", "-selection", "clipboard"}, []string{"xsel", "--clipboard", "--input"})
	}
	return all
}

// copyToClipboard hands a public line to the desktop. The programs stay in the
// background for as long as they own the clipboard, so their output must not be
// waited for.
func copyToClipboard(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, clipboardTime)
	defer cancel()
	failed := errors.New("no desktop is running here")
	for _, program := range clipboardPrograms() {
		path, err := exec.LookPath(program[0])
		if err != nil {
			failed = fmt.Errorf("%s is not installed", program[0])
			continue
		}
		cmd := exec.CommandContext(ctx, path, program[1:]...)
		cmd.Stdin = strings.NewReader(text)
		if err := cmd.Run(); err != nil {
			failed = fmt.Errorf("%s: %w", program[0], err)
			continue
		}
		return nil
	}
	return fail(exitFailed, fmt.Errorf("the clipboard cannot be reached: %w", failed), "copy the line that was printed; on a desktop wl-clipboard or xclip is needed")
}
