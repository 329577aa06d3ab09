package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool/remote"
)

// An endless Remote has a folder with more names than fit anywhere.
type endless struct {
	remote.Remote
	names int
}

func (e endless) ReadDir(_ context.Context, _ string, emit func([]remote.Entry) error) error {
	for n := 0; n < e.names; n += 100 {
		batch := make([]remote.Entry, 100)
		for i := range batch {
			// The server's order is not that of the names.
			batch[i] = remote.Entry{Name: fmt.Sprintf("%0200d", e.names-n-i), Attr: remote.Attr{Mode: syscall.S_IFREG}}
		}
		if err := emit(batch); err != nil {
			return err
		}
	}
	return nil
}

// A meter counts lines, and the most memory that there was.
type meter struct {
	lines, most uint64
	until       uint64
}

var errEnough = errors.New("enough")

func (m *meter) Write(p []byte) (int, error) {
	if m.lines++; m.lines%20_000 == 0 {
		var mem runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&mem)
		m.most = max(m.most, mem.HeapAlloc)
	}
	if m.lines == m.until {
		return 0, errEnough
	}
	return len(p), nil
}

// browse hands a folder without an end on as it comes.
func TestBrowseEndless(t *testing.T) {
	var said bytes.Buffer
	m := &meter{until: 400_000}
	if err := browseText(t.Context(), endless{names: 1 << 40}, m, &said); !errors.Is(err, errEnough) {
		t.Errorf("%v after %d lines", err, m.lines)
	}
	if !strings.Contains(said.String(), "more than 100000 names") {
		t.Errorf("it says %q", said.String())
	}
	if m.most > 100<<20 {
		t.Errorf("%d MiB in use", m.most>>20)
	}
	t.Logf("%d MiB in use at the most", m.most>>20)
}

// What can be put in order is.
func TestBrowseSorts(t *testing.T) {
	var out, said bytes.Buffer
	if err := browseText(t.Context(), endless{names: 300}, &out, &said); err != nil || said.Len() > 0 {
		t.Errorf("%v, %q", err, said.String())
	}
	lines := strings.Split(out.String(), "\n")
	for i := range 300 {
		if !strings.HasSuffix(lines[i], fmt.Sprintf(" %0200d", i+1)) {
			t.Fatalf("line %d: %s", i, lines[i])
		}
	}
}
