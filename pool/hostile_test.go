package pool_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

func TestHostile(t *testing.T) {
	remotetest.RunHostile(t, func(t testing.TB, s *remotetest.Server) remote.Remote {
		return connected(t, s, pool.Config{Timeout: 30 * time.Second, Retry: time.Minute})
	})
}

// A server that breaks the protocol is no slow network: EPROTO, soon, one line in
// the log, and it stands in the status. Who only shared the session is answered.
func TestViolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{Timeout: 30 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))})
		s.Corrupt(func(r remotetest.Request, answer []byte) ([]byte, bool) {
			if r.Type == "LSTAT" && r.Path == "bad" {
				answer = append([]byte(nil), answer...)
				answer[4] = 99 // a type that there is not
			}
			return answer, false
		})
		shared := make(chan error, 1)
		go func() {
			for range 20 {
				if _, err := p.Lstat(t.Context(), "."); err != nil {
					shared <- err
					return
				}
				time.Sleep(time.Millisecond)
			}
			shared <- nil
		}()
		for range 3 {
			began := time.Now()
			_, err := p.Lstat(t.Context(), "bad")
			if !errors.Is(err, syscall.EPROTO) || errors.Is(err, syscall.ETIMEDOUT) || !strings.Contains(err.Error(), "protocol violation") {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("told after %v", took)
			}
		}
		if err := <-shared; err != nil {
			t.Errorf("who only shared the session: %v", err)
		}
		st := p.Status()
		if st.Violations < 3 || !strings.Contains(st.LastViolation, "type 99") {
			t.Errorf("status: %d, %q", st.Violations, st.LastViolation)
		}
		if n := strings.Count(log.String(), "does not keep to SFTP"); n != 1 {
			t.Errorf("%d lines in the log:\n%s", n, log.String())
		}
	})
}
