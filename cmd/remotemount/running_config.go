package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/fsnode"
	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
)

const (
	defaultAttrTimeout = 5 * time.Second
	defaultCacheMemory = 256 << 20
)

func (m *mounting) attrTimeout() time.Duration {
	if m.AttrTimeout != nil {
		return *m.AttrTimeout
	}
	return defaultAttrTimeout
}

func (m *mounting) cacheMemory() int64 { return first(m.CacheMemory, defaultCacheMemory) }

// fsConfig is the mount as fsnode wants it.
func (m *mounting) fsConfig(remote remote.Remote, log *slog.Logger) fsnode.Config {
	c := fsnode.Config{
		Remote: remote, Source: m.source(), Subtype: m.Subtype, AttrTimeout: m.attrTimeout(),
		ReadOnly: m.ReadOnly, AllowOther: m.AllowOther, AllowRoot: m.AllowRoot, NoHardLinks: m.NoHardLinks, MultiUser: m.MultiUser, FollowSymlinks: m.FollowSymlinks,
		DefaultPermissions: m.DefaultPermissions != nil && *m.DefaultPermissions,
		DirectIO:           m.DirectIO,
		UID:                m.UID, GID: m.GID, Umask: m.Umask, Options: m.Kernel, Log: log, Debug: m.Debug,
		// Up to 1 MiB each: what the kernel asks for ahead is answered beyond the bound.
		Background: int(min(max(m.cacheMemory()/(4<<20), 4), 64)),
	}
	switch m.Contain {
	case "strict":
		c.Contain = fsnode.ContainStrict
	case "no":
		c.Contain = fsnode.ContainNothing
	}
	c.TransformSymlinks, c.Given = m.TransformSymlinks, m.given
	switch m.IDMap {
	case "user":
		c.IDMap = fsnode.IDMapUser
	case "file":
		c.IDMap, c.UIDs, c.GIDs, c.StrictIDs = fsnode.IDMapFile, m.UIDs, m.GIDs, m.Strict()
	}
	return c
}

// status is the mount as others see it.
func (r *running) status() control.Status {
	p, info, f := r.link.pool.Status(), r.link.pool.Info(), r.fs.Stats()
	s := control.Status{
		Mountpoint: r.m.mountpoint, Remote: r.m.target.given, PID: os.Getpid(), Version: versionText(),
		Started: r.started, ReadOnly: r.m.ReadOnly,
		State: p.State.String(), Since: p.Since, Waiting: p.Waiting.Seconds(), Away: p.Away,
		Server: info.Server, Root: info.Root,
		Connections: p.Connections, MaxConnections: p.MaxConnections, Sessions: p.Sessions, OpenFiles: p.OpenFiles,
		Requests: p.Requests, BytesRead: p.BytesIn, BytesWritten: p.BytesOut, Reconnects: p.Reconnects,
		Unacknowledged: p.Unacknowledged, LostFiles: p.LostCount, Operations: map[string]control.Operation{},
		Sync: r.sidecar.status(), RefusedLinks: f.RefusedLinks,
		ProtocolErrors: p.Violations, ProtocolError: oneLine(p.LastViolation),
	}
	for _, k := range p.Quirks {
		s.Quirks = append(s.Quirks, string(k))
	}
	if p.LastError != nil && p.State != pool.StateConnected {
		s.LastError = oneLine(withoutPreface(p.LastError).Error())
		s.Hint = r.stateHint(p.State, p.LastError)
	}
	for _, l := range p.Lost {
		s.Lost = append(s.Lost, control.Lost{Path: l.Path, Bytes: l.Bytes, Time: l.Time, Error: l.Err.Error()})
	}
	for name, o := range f.Ops {
		s.Operations[name] = control.Operation{Calls: uint64(o.Count), Errors: uint64(o.Errors)}
	}
	c := r.cache.Stats()
	s.Cache = map[string]int64{
		"hits": c.Hits, "misses": c.Misses, "prefetch_used": c.PrefetchUsed, "prefetch_wasted": c.PrefetchWasted,
		"entries": c.Entries, "bytes": c.Bytes,
	}
	return s
}

// stateHint is what to do about a mount that does not work.
func (r *running) stateHint(state pool.State, err error) string {
	if state == pool.StateDisabled && !keys.IsHostKeyFailure(err) {
		return "mend the login, then: remotemount reconnect " + shellQuote(r.m.mountpoint) + "; written data waits meanwhile"
	}
	return r.link.explain(err).hint
}
