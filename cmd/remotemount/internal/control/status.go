package control

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Status is what a mount says of itself. The JSON names are a promise to
// programs; a field may be added, none changes its meaning. Nothing in it is
// secret: no key, password, or file content.
type Status struct {
	Mountpoint string    `json:"mountpoint"`
	Remote     string    `json:"remote"` // as it was given
	PID        int       `json:"pid"`
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	ReadOnly   bool      `json:"read_only"`

	State     string    `json:"state"` // connecting, connected, away, disabled, closed
	Since     time.Time `json:"since"`
	Away      time.Time `json:"away_since,omitzero"` // what is shown is as old as that, or older
	LastError string    `json:"last_error,omitempty"`
	Hint      string    `json:"hint,omitempty"`            // what to do about it
	Waiting   float64   `json:"waiting_seconds,omitempty"` // for an answer that is overdue

	Server         string `json:"server,omitempty"` // SSH identification
	Root           string `json:"root,omitempty"`   // the folder on the server
	Connections    int    `json:"connections"`
	MaxConnections int    `json:"max_connections"`
	Sessions       int    `json:"sessions"`
	OpenFiles      int    `json:"open_files"`
	Requests       uint64 `json:"requests"`
	BytesRead      uint64 `json:"bytes_read"`
	BytesWritten   uint64 `json:"bytes_written"`
	Reconnects     uint64 `json:"reconnects"`
	Unacknowledged int64  `json:"unacknowledged_bytes"`
	Lost           []Lost `json:"lost,omitempty"`       // the last 100
	LostFiles      uint64 `json:"lost_files,omitempty"` // all of them

	Operations map[string]Operation `json:"operations,omitempty"` // by FUSE name
	Cache      map[string]int64     `json:"cache,omitempty"`
	Sync       string               `json:"sync,omitempty"` // state of the sync beside the mount

	ProtocolErrors uint64 `json:"protocol_errors,omitempty"` // sessions ended because the server did not keep to SFTP
	ProtocolError  string `json:"protocol_error,omitempty"`  // the last of them

	Quirks []string `json:"server_quirks,omitempty"` // in which the server was found to be different

	RefusedLinks int `json:"refused_links,omitempty"` // symbolic links that lead out of the mount; 10,000 and more are not told apart
}

// Lost is data that was written here and never reached the server.
type Lost struct {
	Path  string    `json:"path"`
	Bytes int64     `json:"bytes"`
	Time  time.Time `json:"time"`
	Error string    `json:"error"`
}

// Operation counts the calls of one kind.
type Operation struct {
	Calls  uint64 `json:"calls"`
	Errors uint64 `json:"errors"`
}

// States are the values of State.
var States = [...]string{"connecting", "connected", "away", "disabled", "closed"}

// WriteMetrics writes the status in Prometheus' text format, version 0.0.4.
func (s Status) WriteMetrics(w io.Writer) error {
	m := &metrics{labels: fmt.Sprintf("mountpoint=%s,remote=%s", quote(s.Mountpoint), quote(s.Remote))}
	m.head("remotemount_state", "gauge", "1 for the state the mount is in")
	for _, state := range States {
		m.value("remotemount_state", ",state="+quote(state), flag(s.State == state))
	}
	m.one("remotemount_start_time_seconds", "gauge", "when the mount began", s.Started.Unix())
	m.one("remotemount_connections", "gauge", "SSH connections", int64(s.Connections))
	m.one("remotemount_connections_limit", "gauge", "SSH connections at most", int64(s.MaxConnections))
	m.one("remotemount_sessions", "gauge", "SFTP sessions", int64(s.Sessions))
	m.one("remotemount_open_files", "gauge", "open files", int64(s.OpenFiles))
	m.one("remotemount_requests_total", "counter", "SFTP requests sent", int64(s.Requests))
	m.one("remotemount_read_bytes_total", "counter", "bytes of files read from the server", int64(s.BytesRead))
	m.one("remotemount_written_bytes_total", "counter", "bytes of files written to the server", int64(s.BytesWritten))
	m.one("remotemount_reconnects_total", "counter", "connections made after the first", int64(s.Reconnects))
	m.one("remotemount_unacknowledged_bytes", "gauge", "bytes written and not yet on the server", s.Unacknowledged)
	m.one("remotemount_lost_files_total", "counter", "files of which written data was lost", int64(s.LostFiles))
	m.one("remotemount_protocol_errors_total", "counter", "sessions ended because the server did not keep to SFTP", int64(s.ProtocolErrors))
	m.one("remotemount_refused_links", "gauge", "symbolic links refused because they lead out of the mount", int64(s.RefusedLinks))
	m.operations(s.Operations)
	if len(s.Cache) > 0 {
		m.head("remotemount_cache", "gauge", "counts of the cache, by name")
		for _, name := range slices.Sorted(maps.Keys(s.Cache)) {
			m.value("remotemount_cache", ",name="+quote(name), s.Cache[name])
		}
	}
	_, err := io.WriteString(w, m.String())
	return err
}

type metrics struct {
	strings.Builder
	labels string
}

func (m *metrics) head(name, kind, help string) {
	m.WriteString(fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind))
}

func (m *metrics) value(name, labels string, v int64) {
	m.WriteString(fmt.Sprintf("%s{%s%s} %d\n", name, m.labels, labels, v))
}

func (m *metrics) one(name, kind, help string, v int64) {
	m.head(name, kind, help)
	m.value(name, "", v)
}

func (m *metrics) operations(ops map[string]Operation) {
	if len(ops) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(ops))
	m.head("remotemount_operations_total", "counter", "calls from the kernel, by kind")
	for _, name := range names {
		m.value("remotemount_operations_total", ",operation="+quote(name), int64(ops[name].Calls))
	}
	m.head("remotemount_operation_errors_total", "counter", "calls that ended in an error, by kind")
	for _, name := range names {
		m.value("remotemount_operation_errors_total", ",operation="+quote(name), int64(ops[name].Errors))
	}
}

// quote writes a label's value: the format knows three escapes.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(s, "\uFFFD")) + `"`
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
