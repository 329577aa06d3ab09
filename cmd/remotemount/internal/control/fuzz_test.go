package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzRequest: whatever is asked of the socket, only a POST to /unmount ends the
// mount.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET /status HTTP/1.1\r\nHost: mount\r\n\r\n"))
	f.Add([]byte("POST /unmount?force=1 HTTP/1.1\r\nHost: mount\r\n\r\n"))
	f.Add([]byte("POST /reconnect HTTP/1.1\r\nHost: mount\r\n\r\n"))
	f.Add([]byte("GET /metrics HTTP/1.0\r\n\r\n"))
	f.Add([]byte("POST //unmount HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return
		}
		ended := false
		s := &Server{config: Config{
			Status:    func() Status { return Status{} },
			Unmount:   func(context.Context, bool) (Unmounted, error) { ended = true; return Unmounted{}, nil },
			Reconnect: func(context.Context, Ask) Reconnected { return Reconnected{} },
		}}
		s.handler().ServeHTTP(httptest.NewRecorder(), req)
		if ended && (req.Method != http.MethodPost || req.URL.Path != "/unmount") {
			t.Fatalf("%s %s ended the mount", req.Method, req.URL.Path)
		}
	})
}

// FuzzAnswer: what a mount says of itself, with names that a server chose, makes
// figures that stay one to a line.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"mountpoint":"/m","remote":"h:\n\"x","state":"connected","operations":{"read\n1":{"calls":1}},"cache":{"a\"b":-1}}`))
	f.Add([]byte(`{"lost":[{"path":"\u001b[2J"}],"connections":-1,"refused_links":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Status
		if json.Unmarshal(text, &s) != nil {
			return
		}
		var b strings.Builder
		if err := s.WriteMetrics(&b); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if !strings.HasPrefix(line, "remotemount_") && !strings.HasPrefix(line, "# ") || !strings.HasSuffix(line, "\n") {
				t.Fatalf("the line %q", line)
			}
		}
	})
}
