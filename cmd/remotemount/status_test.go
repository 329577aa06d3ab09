package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/pool/remote"
)

func TestStatusText(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	s := control.Status{
		Mountpoint: "/home/kim/mnt", Remote: "kim@files:", PID: 7, Version: "1.0", Started: now.Add(-26 * time.Hour),
		State: "away", Since: now.Add(-65 * time.Second), LastError: "connection refused", Hint: "wait",
		Server: "SSH-2.0-OpenSSH_9.9\x1b[2J", Root: "/home/kim", Connections: 0, MaxConnections: 25,
		BytesRead: 3 << 30, BytesWritten: 1536, Requests: 12, Unacknowledged: 4096,
		Lost: []control.Lost{{Path: "a\nb", Bytes: 9, Time: now, Error: "input/output error"}}, Sync: "in step",
	}
	want := `kim@files: on /home/kim/mnt
  state        away for 1 min 5 s
  reason       connection refused
  hint         wait
  server       SSH-2.0-OpenSSH_9.9?[2J, folder /home/kim
  connections  0 of at most 25, with 0 sessions; 0 open files
  traffic      3G read, 1.5K written, 12 requests
  under way    4K not yet on the server
  LOST         a b: 9 bytes at 2026-11-24 12:00:00: input/output error
  sync         in step
  process      7, mounted 1 d 2 h ago, version 1.0
`
	if got := statusText(s, now); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	s.Away = now.Add(-70 * time.Second)
	if got := statusText(s, now); !strings.Contains(got, "what was last known, 1 min 10 s old or older") {
		t.Errorf("of a remote that is away:\n%s", got)
	}
	s.State, s.Waiting = "connected", 12.5
	if got := statusText(s, now); !strings.Contains(got, "connected for 1 min 5 s, waiting for an answer for 12 s\n") {
		t.Errorf("of a server that does not answer:\n%s", got)
	}
	s.LostFiles = 101
	// With --wait the server may not have answered yet.
	if got := statusText(control.Status{}, now); strings.Contains(got, "server") {
		t.Errorf("a server that has said nothing:\n%s", got)
	}
	if got := statusText(s, now); !strings.Contains(got, "data of 101 files; the last 1 are") {
		t.Errorf("of more losses than are listed:\n%s", got)
	}
	var b strings.Builder
	if err := showStatus(&b, nil, now); err != nil || b.String() != "nothing is mounted\n" {
		t.Errorf("without mounts: %q, %v", b.String(), err)
	}
}

func TestTop(t *testing.T) {
	was := control.Status{Mountpoint: "/m", PID: 1, State: "connected", BytesRead: 100, Operations: map[string]control.Operation{"read": {Calls: 10}}}
	is := was
	is.BytesRead, is.Requests = 100+4096, 8
	is.Operations = map[string]control.Operation{"read": {Calls: 30}, "lookup": {Calls: 2}, "open": {Calls: 2}}
	var b strings.Builder
	if err := drawTop(&b, []control.Status{is}, map[string]control.Status{"/m": was}, 2*time.Second, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" 2K ", "read 10/s, lookup 1/s, open 1/s"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	// Another process on the same point has counters of its own.
	is.PID = 2
	b.Reset()
	if err := drawTop(&b, []control.Status{is}, map[string]control.Status{"/m": was}, time.Second, false); err != nil || strings.Contains(b.String(), "read ") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestFileMode(t *testing.T) {
	for mode, want := range map[uint32]string{
		0o040755: "drwxr-xr-x", 0o100644: "-rw-r--r--", 0o120777: "lrwxrwxrwx", 0o041777: "drwxrwxrwt", 0o104755: "-rwsr-xr-x",
		0o102640: "-rw-r-S---", 0o010600: "prw-------", 0o000644: "?rw-r--r--",
	} {
		if got := fileMode(remote.Attr{Mode: mode}); got != want {
			t.Errorf("%o: %s, want %s", mode, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s", 3 * time.Hour: "3 h 0 min", 49 * time.Hour: "2 d 1 h",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q, want %q", d, got, want)
		}
	}
}

// Of several mounts that do not answer each is told, and what else went wrong.
func TestSilentTellsOfAll(t *testing.T) {
	dead := errors.New("no answer")
	err := silent(errors.Join(&control.SilentError{Socket: "a", Err: dead}, errors.New("something else"), &control.SilentError{Socket: "b", Err: dead}))
	if n := strings.Count(err.Error(), "does not answer"); n != 2 || !strings.Contains(err.Error(), "something else") {
		t.Errorf("%v", err)
	}
	if f := explain(err); !strings.Contains(f.hint, "unmount --force") {
		t.Errorf("hint %q", f.hint)
	}
}
