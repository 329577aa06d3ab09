package main

import (
	"testing"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
)

// A mount in the background has left the folder of the call when it logs in again.
func TestPasswordCommandRunsWhereItWasCalled(t *testing.T) {
	called := t.TempDir()
	t.Chdir(called)
	remote, err := newTarget("host:", config.Connection{PasswordCommand: "pwd"})
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("/")
	got, err := remote.password()(t.Context())
	if err != nil || got != called {
		t.Errorf("it was run in %q, %v; want %q", got, err, called)
	}
	if dir := remote.clientConfig(nil, nil).Dir; dir != called {
		t.Errorf("a proxy command would be run in %q", dir)
	}
}
