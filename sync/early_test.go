package sync

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// The remote folder is listed while the run finds out about it, and each run lists anew.
func TestTheFirstListingIsBegunEarly(t *testing.T) {
	p := newPairing(t, Options{Mode: Push})
	for _, name := range []string{"a", "b"} {
		listed, once := make(chan struct{}), sync.Once{}
		p.dir.Before = func(_ context.Context, op, path string) error {
			switch {
			case op == "readdir":
				once.Do(func() { close(listed) })
			case op == "open" && strings.HasPrefix(path, tempPrefix) && strings.Contains(path, "-q"):
				select {
				case <-listed:
				case <-time.After(10 * time.Second):
					t.Error("the folder is listed only afterwards")
				}
			}
			return nil
		}
		put(t, p.local, name, name, old)
		p.clean()
		wantFile(t, p.remote, name, name)
	}
}
