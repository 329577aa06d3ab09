package serve

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/pkg/sftp"
)

// stream is a client that sends what it has and hears nothing.
type stream struct{ io.Reader }

func (stream) Write(p []byte) (int, error) { return len(p), nil }
func (stream) Close() error                { return nil }

// FuzzRequests: whatever a client that is logged in sends, nothing outside the
// folder is changed, and with ReadOnly nothing at all. A request is a type, then a
// length, then so many bytes; handles come by their numbers.
func FuzzRequests(f *testing.F) {
	request := func(kind byte, fields ...[]byte) []byte {
		body := append([]byte{kind}, u32(1)...)
		for _, field := range fields {
			body = append(body, field...)
		}
		return append(u32(uint32(len(body))), body...)
	}
	hello := append(u32(5), append([]byte{1}, u32(3)...)...)
	f.Add(bytes.Join([][]byte{hello, request(fxpOpen, str("/f"), u32(2), u32(0)), request(fxpRead, str("1"), u64(0), u32(4))}, nil), false)
	f.Add(bytes.Join([][]byte{hello, request(fxpOpen, str("../../outside"), u32(0x1a), perm(0o777)), request(fxpWrite, str("1"), u64(0), str("x"))}, nil), false)
	f.Add(bytes.Join([][]byte{hello, request(fxpSymlink, str("/out"), str("../outside")), request(fxpOpen, str("/out"), u32(0x1a), u32(0))}, nil), true)
	f.Add(bytes.Join([][]byte{hello, request(fxpOpendir, str("/")), request(12, str("1")), request(fxpRead, str("1"), u64(0), u32(9))}, nil), true)
	f.Add(bytes.Join([][]byte{hello, request(fxpExtended, str("posix-rename@openssh.com"), str("/f"), str("/../outside"))}, nil), false)
	f.Fuzz(func(t *testing.T, input []byte, readOnly bool) {
		if len(input) > 4<<10 {
			return
		}
		base := t.TempDir()
		dir, outside := filepath.Join(base, "dir"), filepath.Join(base, "outside")
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.WriteFile(outside, []byte("outside"), 0o644))
		must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("inside"), 0o644))
		must(t, os.Symlink("../outside", filepath.Join(dir, "link")))
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer func() { _ = root.Close() }()
		h := newHandler(root, readOnly, slog.New(slog.DiscardHandler))
		s := newSession(stream{bytes.NewReader(whole(input))}, &h.handles)
		server := sftp.NewRequestServer(s, sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h}, sftp.WithRSMaxTxPacket(maxRead))
		_ = server.Serve() // how it ends is the client's business
		if got, err := os.ReadFile(outside); err != nil || string(got) != "outside" {
			t.Fatalf("outside: %q, %v", got, err)
		}
		if names, err := os.ReadDir(base); err != nil || len(names) != 2 {
			t.Fatalf("beside the folder: %v, %v", names, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "f")); readOnly && (err != nil || string(got) != "inside") {
			t.Fatalf("read-only, and the file is %q, %v", got, err)
		}
		if len(h.handles.open) > 0 {
			t.Fatalf("%d files are left open", len(h.handles.open))
		}
	})
}

// whole makes packets of bytes that may be anything: lengths that lead beyond the
// end are set right, so that more of the input is read as requests.
func whole(input []byte) []byte {
	out := bytes.Clone(input)
	for at := 0; at+4 <= len(out); {
		n := int(binary.BigEndian.Uint32(out[at:]))
		if rest := len(out) - at - 4; n < 1 || n > rest {
			n = max(rest, 0)
			binary.BigEndian.PutUint32(out[at:], uint32(n))
		}
		at += 4 + n
	}
	return out
}
