package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/pool/remote"
	remotesync "github.com/remotemount/remotemount/sync"
)

// sidecarEvery is how often a sidecar looks at the remote unless told otherwise.
const sidecarEvery = 5 * time.Minute

// A sidecar is the sync that runs beside a mount, on the mount's own connections
// and behind what people wait for. What it changes shows in the mount at once,
// because it works through the mount's Remote.
type sidecar struct {
	mode remotesync.Mode
	dir  string

	mu   sync.Mutex
	text string // guarded by mu
}

// status is nil-safe: most mounts have no sidecar.
func (s *sidecar) status() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

func (s *sidecar) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = fmt.Sprintf("%s with %s: ", s.mode, s.dir) + fmt.Sprintf(format, args...)
}

func sidecarMode(text string) (remotesync.Mode, error) {
	for _, m := range []remotesync.Mode{remotesync.Push, remotesync.Pull, remotesync.TwoWay} {
		if text == m.String() {
			return m, nil
		}
	}
	return 0, usage("--sync %q: push, pull or two-way", text)
}

// checkSync looks at what was said about the sidecar before anything is mounted.
func (m *mounting) checkSync() error {
	if m.SyncMode == "" && m.SyncDir == "" && m.SyncEvery == "" {
		return nil
	}
	if m.SyncMode == "" || m.SyncDir == "" {
		return usage("--sync MODE and --sync-dir FOLDER are given together")
	}
	mode, err := sidecarMode(m.SyncMode)
	if err != nil {
		return err
	}
	if m.ReadOnly && mode != remotesync.Pull {
		return usage("--sync %s writes to a mount that is read-only", m.SyncMode)
	}
	if _, err := m.syncEvery(); err != nil {
		return usage("--sync-every: %w", err)
	}
	if info, err := os.Stat(m.SyncDir); err != nil || !info.IsDir() {
		return fail(exitUsage, fmt.Errorf("--sync-dir %s: not a folder", m.SyncDir), "mkdir "+shellQuote(m.SyncDir))
	}
	return nil
}

func (m *mounting) syncEvery() (time.Duration, error) {
	if m.SyncEvery == "" {
		return sidecarEvery, nil
	}
	return config.ParseDuration(m.SyncEvery)
}

// startSidecar begins the sync; it ends with the mount.
func (r *running) startSidecar() error {
	if r.m.SyncMode == "" {
		return nil
	}
	dir, err := filepath.EvalSymlinks(r.m.SyncDir)
	if err != nil {
		return err
	}
	if within(dir, r.m.mountpoint) || within(r.m.mountpoint, dir) {
		return fail(exitMountpoint, fmt.Errorf("--sync-dir %s and the mountpoint lie in one another", dir), "")
	}
	mode, err := sidecarMode(r.m.SyncMode)
	if err != nil {
		return err
	}
	runner, err := r.sidecarRunner(mode, dir)
	if err != nil {
		return err
	}
	every, err := r.m.syncEvery()
	if err != nil {
		return err
	}
	r.sidecar = &sidecar{mode: mode, dir: dir}
	r.sidecar.say("first run")
	schedule := remotesync.Schedule{Every: max(every, time.Second), Watch: mode != remotesync.Pull, After: r.sidecarRan}
	r.work.Go(func() {
		if err := runner.Repeat(remote.Background(r.ctx), schedule); err != nil {
			r.sidecar.say("ended: %v", err)
			r.host.log.Error("the sync beside the mount has ended", "error", err)
		}
	})
	return nil
}

func (r *running) sidecarRunner(mode remotesync.Mode, dir string) (*remotesync.Runner, error) {
	locks, err := syncStateDir()
	if err != nil {
		r.host.log.Warn("no folder for the locks of a sync", "error", err)
	}
	return remotesync.New(remotesync.Config{
		Options: remotesync.Options{Mode: mode}, Local: dir, Remote: r.fs.Remote(),
		Pair: pairName(dir, r.link), StateDir: locks, Log: r.host.log,
		Events: func(e remotesync.Event) {
			if e.Kind == remotesync.EventFailed || e.Kind == remotesync.EventConflict {
				r.host.log.Warn(e.Text())
			}
		},
	})
}

// sidecarRan keeps what status shows. No error ends the sidecar: the remote may
// come back.
func (r *running) sidecarRan(res *remotesync.Result, err error) error {
	at := time.Now().Format(time.DateTime)
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil:
		r.sidecar.say("failed at %s: %v", at, err)
		r.host.log.Warn("the sync beside the mount", "error", err)
	case res.Partial():
		r.sidecar.say("partly done at %s, %d failed, %d conflicts", at, res.FailureCount, res.ConflictCount)
	default:
		r.sidecar.say("in step since %s, %d files to the remote, %d here in the last run", at, res.ToRemote.Files, res.ToLocal.Files)
	}
	return nil
}

// within reports whether a path is a folder or lies in it.
func within(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
