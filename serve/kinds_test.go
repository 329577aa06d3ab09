package serve

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// Every request on every kind of handle: it is answered by what belongs to it, or
// refused, and what it does not belong to stays as it was. pkg/sftp by itself
// writes zeros for a READ of a handle opened for writing, and says OK.
func TestHandleKinds(t *testing.T) {
	const (
		fxpFstat    = 8
		fxpFsetstat = 10
		fxpReaddir  = 12
		fxpData     = 103
		fxpName     = 104
		fxpAttrs    = 105

		text = "0123456789"
	)
	s := start(t, nil)
	file, folder := filepath.Join(s.dir, "f"), filepath.Join(s.dir, "d")
	must(t, os.Mkdir(folder, 0o755))
	must(t, os.WriteFile(filepath.Join(folder, "name"), nil, 0o644))
	opens := map[string]func(c *raw) string{
		"read":   func(c *raw) string { return c.open("/f", 1, u32(0)) },
		"write":  func(c *raw) string { return c.open("/f", 2, u32(0)) },
		"both":   func(c *raw) string { return c.open("/f", 3, u32(0)) },
		"append": func(c *raw) string { return c.open("/f", 6, u32(0)) },
		"folder": func(c *raw) string {
			c.status(fxpOpen, str("/nothing"), u32(1), u32(0)) // which takes a number too
			_, body := c.call(fxpOpendir, str("/d"))
			return string(body[4:])
		},
		"closed": func(c *raw) string {
			h := c.open("/f", 3, u32(0))
			c.status(fxpClose, str(h))
			return h
		},
		"never given": func(*raw) string { return "77" },
		"not one":     func(*raw) string { return "a handle that is longer than any of ours" },
		"empty":       func(*raw) string { return "" },
	}
	requests := []struct {
		name   string
		kind   byte
		fields func(h string) [][]byte
		answer byte
		fits   map[string]bool
	}{
		{"READ", fxpRead, func(h string) [][]byte { return [][]byte{str(h), u64(0), u32(4)} }, fxpData,
			map[string]bool{"read": true, "both": true}},
		{"WRITE", fxpWrite, func(h string) [][]byte { return [][]byte{str(h), u64(3), str("3")} }, fxpStatus,
			map[string]bool{"write": true, "both": true, "append": true}},
		{"WRITE of nothing", fxpWrite, func(h string) [][]byte { return [][]byte{str(h), u64(10), str("")} }, fxpStatus,
			map[string]bool{"write": true, "both": true, "append": true}},
		{"READDIR", fxpReaddir, func(h string) [][]byte { return [][]byte{str(h)} }, fxpName,
			map[string]bool{"folder": true}},
		{"FSTAT", fxpFstat, func(h string) [][]byte { return [][]byte{str(h)} }, fxpAttrs,
			map[string]bool{"read": true, "write": true, "both": true, "append": true, "folder": true}},
		{"FSETSTAT", fxpFsetstat, func(h string) [][]byte { return [][]byte{str(h), u32(attrSize), u64(10)} }, fxpStatus,
			map[string]bool{"write": true, "both": true, "append": true}},
	}
	pairs := 0
	for kind, open := range opens {
		conn, err := s.dial(s.key)
		must(t, err)
		for _, r := range requests {
			must(t, os.WriteFile(file, []byte(text), 0o644))
			c := rawSession(t, conn)
			answer, body := c.call(r.kind, r.fields(open(c))...)
			failed := answer == fxpStatus && body[3] != 0
			if fits := r.fits[kind]; fits != !failed || fits && answer != r.answer {
				t.Errorf("%s of a handle that is %s: packet type %d, %q", r.name, kind, answer, body)
			}
			left := text
			if kind == "append" && r.name == "WRITE" {
				left += "3" // it goes to the end
			}
			if got, err := os.ReadFile(file); err != nil || string(got) != left {
				t.Errorf("%s of a handle that is %s left %q, %v", r.name, kind, got, err)
			}
			pairs++
			_ = c.rw.Close()
		}
		_ = conn.Close()
	}
	t.Logf("%d pairs of request and handle", pairs)
}

// Folders that cannot be opened, or were closed, are not remembered.
func TestFoldersAreForgotten(t *testing.T) {
	h := newHandler(nil, false, slog.New(slog.DiscardHandler))
	for i := range 100 {
		h.handles.asked(i%2 == 0)
		handle := h.handles.execute()
		if h.handles.isFolder(handle) != (i%2 == 0) || handle != fmt.Sprint(i+1) {
			t.Fatalf("handle %s of request %d", handle, i)
		}
		h.handles.noFolder(handle)
	}
	if len(h.handles.folders) != 0 {
		t.Errorf("%d remembered", len(h.handles.folders))
	}
}
