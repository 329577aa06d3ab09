package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/keys/nss"
)

// syncStateDir makes and gives the folder where the locks of pairs of folders lie. It
// is in the home folder and not in the runtime folder: cron and a session have
// different ones of those, and must meet.
func syncStateDir() (string, error) {
	dir, err := stateDir()
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// stateDir is that folder, whether it is there or not.
func stateDir() (string, error) {
	base := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) {
		home, err := homeFolder()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".local/state")
	}
	return filepath.Join(base, "remotemount"), nil
}

// homeFolder also works where nothing has set HOME, as in some services.
func homeFolder() (string, error) {
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return home, nil
	}
	me, err := nss.Current()
	if err != nil {
		return "", err
	}
	return me.HomeDir, nil
}

// pairName is the same for every run on these two folders, also for one beside a
// mount, and on no other machine or for another user.
func pairName(local string, l *link) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	at := l.settings()
	return fmt.Sprintf("%s\n%d\n%s\n%s@%s:%d\n%s", host, os.Getuid(), realFolder(local), at.User, at.Host, at.Port, l.pool.Info().Root)
}

func realFolder(local string) string {
	if real, err := filepath.EvalSymlinks(local); err == nil {
		return real
	}
	return local
}

// onServer is where a local folder is on the server, when it lies in one of our own
// mounts of the same server; "" when it does not.
func onServer(ctx context.Context, local string, l *link) string {
	all, _ := control.NewClient(getenv).All(ctx) // what cannot be asked is found another way
	at, deepest := "", ""
	for _, s := range all {
		real := realFolder(local)
		if !within(real, s.Mountpoint) || len(s.Mountpoint) < len(deepest) || !sameServer(s.Remote, l) {
			continue
		}
		if rel, err := filepath.Rel(s.Mountpoint, real); err == nil {
			at, deepest = path.Join(s.Root, rel), s.Mountpoint
		}
	}
	return at
}

// sameServer compares by name and port: the same server under another name is found
// by what is made in it.
func sameServer(given string, l *link) bool {
	t, err := newTarget(given, config.Connection{})
	if err != nil {
		return false
	}
	at := l.settings()
	host := func(name string, port int) string { return net.JoinHostPort(name, strconv.Itoa(first(port, 22))) }
	return t.host == l.target.host && host(t.host, first(t.port, at.Port)) == host(l.target.host, at.Port)
}
