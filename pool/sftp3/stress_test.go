package sftp3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

// Many callers at once, some of whom give up: what arrives is right, and nothing
// is left open on the server.
func TestManyCallers(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		want := makeFile(t, dir+"/f", 1<<20)
		var callers sync.WaitGroup
		for i := range 16 {
			callers.Go(func() {
				for round := range 20 {
					callOnce(t, c, dir, want, i == 0 || round%3 > 0)
				}
			})
		}
		callers.Wait()
		waitIdle(t, c)
		s := c.Stats()
		if s.Requests != s.Answers {
			t.Errorf("%d requests, %d answers", s.Requests, s.Answers)
		}
		if opened, closed := s.ByType[TypeOpen], s.ByType[TypeClose]; opened != closed {
			t.Errorf("%d files opened, %d handles closed", opened, closed)
		}
	})
}

// waitIdle waits until everything is answered, and the closing of late handles
// after it.
func waitIdle(t testing.TB, c *Client) {
	t.Helper()
	for deadline := time.Now().Add(timeout); c.Outstanding() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are not answered", c.Outstanding())
		}
	}
	ok(t, c.StartStat(".").WaitStatus(testContext(t)))
	if c.Outstanding() > 0 {
		waitIdle(t, c)
	}
}

// callOnce opens, reads and closes a file, patiently or giving up soon.
func callOnce(t testing.TB, c *Client, dir string, want []byte, patient bool) {
	ctx := testContext(t)
	hasty := ctx
	if !patient {
		var cancel context.CancelFunc
		hasty, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(2000))*time.Microsecond)
		defer cancel()
	}
	h, err := c.StartOpen(dir+"/f", OpenRead, Attrs{}).WaitHandle(hasty)
	if err != nil {
		wantGaveUp(t, err, patient)
		return
	}
	defer func() {
		if err := c.StartClose(h).WaitStatus(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	off := rand.IntN(len(want) / 2)
	got := make([]byte, len(want)/2)
	n, err := readAt(hasty, c, h, got, int64(off))
	if err != nil {
		wantGaveUp(t, err, patient)
		return
	}
	if !bytes.Equal(got[:n], want[off:off+len(got)]) {
		t.Errorf("wrong data at %d", off)
	}
}

func wantGaveUp(t testing.TB, err error, patient bool) {
	if patient || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("patient %v, error %v", patient, err)
	}
}

func isStatus(err error) bool {
	var status *StatusError
	return errors.As(err, &status) || err == io.EOF
}

// Close in the middle of everything completes all of it.
func TestCloseUnderLoad(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ok(t, os.WriteFile(dir+"/f", make([]byte, 1<<20), 0o600))
		h := mustOpen(t, c, dir+"/f", OpenRead|OpenWrite)
		const callers, each = 8, 50
		done := make(chan error, callers*each*3)
		var starting sync.WaitGroup
		for range callers {
			starting.Go(func() {
				for i := range each {
					c.StartWrite(h, make([]byte, i*600), 0, func(err error) { done <- err })
					c.StartRead(h, make([]byte, i*600+1), 0, func(n int, err error) { done <- err })
					call := c.StartMkdir(fmt.Sprint(dir, "/", i), Attrs{})
					go func() { done <- call.WaitStatus(context.Background()) }()
				}
			})
		}
		time.Sleep(time.Millisecond)
		ok(t, c.Close())
		starting.Wait()
		for range cap(done) {
			select {
			case err := <-done:
				if err != nil && !errors.Is(err, ErrLost) && !isStatus(err) {
					t.Errorf("got %v", err)
				}
			case <-time.After(timeout):
				t.Fatal("a request was not completed")
			}
		}
		if n := len(done); n > 0 || c.Outstanding() != 0 {
			t.Errorf("%d completed twice, %d outstanding", n, c.Outstanding())
		}
	})
}
