package pool_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestCloseUnansweredWhileDisabled pins that a file whose CLOSE was not answered before
// another server showed up at the address does not count as lost for that: what became
// of it is looked at when the remote may be asked again.
func TestCloseUnansweredWhileDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		s := remotetest.NewServer(t, t.TempDir())
		p := connected(t, s, pool.Config{Refused: func(err error) pool.Refusal {
			if errors.Is(err, refused) {
				return pool.HostKeyRefused
			}
			return pool.TryAgain
		}})
		f, _, err := p.Open(t.Context(), "f", remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		for off, text := range []string{"a", "b"} { // the second flush leaves CLOSE to Close
			if _, err := f.WriteAt(t.Context(), []byte(text), int64(off)); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		lost := s.Next("CLOSE", "f", remotetest.CutAfter)
		s.Refuse(refused)
		closed := make(chan error, 1)
		go func() { closed <- f.Close(t.Context()) }()
		<-lost.Sprung()
		time.Sleep(20 * time.Second)
		if p.Status().State != pool.StateDisabled {
			t.Errorf("state %v", p.Status().State)
		}
		s.Refuse(nil)
		p.Enable()
		if err := <-closed; err != nil || p.Status().LostCount != 0 {
			t.Errorf("close: %v, %d files lost", err, p.Status().LostCount)
		}
	})
}
