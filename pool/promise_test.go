package pool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// Of the Pools here. A caller gives up after all else must have ended.
const (
	promiseTimeout = 30 * time.Second
	promiseRetry   = 10 * time.Minute
	givesUp        = 30 * time.Minute
)

// A promise is when a call ends at the latest, and how.
type promise struct {
	most time.Duration
	err  error // nil: it is done; context.DeadlineExceeded: it waits for as long as its caller
}

// A promised is one call, and the request that it stands on.
type promised struct {
	name, kind string
	do         func(context.Context, *pool.Pool, remote.File) error
}

func promisedCalls() []promised {
	write := func(ctx context.Context, f remote.File) error {
		_, err := f.WriteAt(ctx, []byte("more"), 4)
		return err
	}
	return []promised{
		{"look", "LSTAT", func(ctx context.Context, p *pool.Pool, _ remote.File) error { return lookAt(ctx, p, "f")() }},
		{"read", "READ", func(ctx context.Context, _ *pool.Pool, f remote.File) error {
			_, err := f.ReadAt(ctx, make([]byte, 4), 0)
			return err
		}},
		{"write, close", "WRITE", func(ctx context.Context, _ *pool.Pool, f remote.File) error {
			return errors.Join(write(ctx, f), f.Close(ctx))
		}},
		{"write, fsync", "fsync@openssh.com", func(ctx context.Context, _ *pool.Pool, f remote.File) error {
			if err := write(ctx, f); err != nil {
				return err
			}
			_, err := f.Sync(ctx)
			return err
		}},
		{"mkdir", "MKDIR", func(ctx context.Context, p *pool.Pool, _ remote.File) error {
			_, err := p.Mkdir(ctx, "dir", 0o755)
			return err
		}},
		{"rename", "posix-rename@openssh.com", func(ctx context.Context, p *pool.Pool, _ remote.File) error {
			return p.Rename(ctx, "g", "h", false)
		}},
		// With data that has just been written. What does not get out in time is lost, and
		// told to be.
		{"unmount", "WRITE", func(ctx context.Context, p *pool.Pool, f remote.File) error {
			ctx, cancel := context.WithTimeout(ctx, promiseRetry)
			defer cancel()
			err := errors.Join(write(ctx, f), p.Close(ctx))
			if errors.Is(err, context.DeadlineExceeded) {
				err = syscall.EIO
			}
			return err
		}},
		{"killed", "READ", func(ctx context.Context, _ *pool.Pool, f remote.File) error {
			ctx, kill := context.WithTimeout(ctx, 10*time.Millisecond)
			defer kill()
			_, err := f.ReadAt(ctx, make([]byte, 4), 0)
			if ctx.Err() != nil {
				err = nil // whoever was killed hears of nothing
			}
			return err
		}},
	}
}

// A condition is what happens to a call, and what is promised of looks, reads, data
// (written and flushed), and changes of names then.
type condition struct {
	name                      string
	begin                     func(*remotetest.Server, promised)
	look, read, data, changes promise
}

func conditions() []condition {
	once := func(f remotetest.Fate) func(*remotetest.Server, promised) {
		return func(s *remotetest.Server, c promised) { s.Next(c.kind, "", f) }
	}
	done := func(most time.Duration) promise { return promise{most, nil} }
	late := func(most time.Duration) promise { return promise{most, syscall.ETIMEDOUT} }
	waits, soon := promise{givesUp, context.DeadlineExceeded}, done(time.Second)
	lost := promise{promiseRetry + 2*promiseTimeout, syscall.EIO}
	const long = promiseTimeout * 3 / 2
	killed := promise{30 * time.Second, syscall.EIO}
	return []condition{
		{"fair", func(*remotetest.Server, promised) {}, soon, soon, soon, soon},
		{"cut before it", once(remotetest.CutBefore), soon, soon, soon, soon},
		{"cut after it", once(remotetest.CutAfter), soon, soon, soon, soon},
		{"server gone", func(s *remotetest.Server, _ promised) {
			s.Refuse(syscall.ECONNREFUSED)
			s.CutAll()
		}, late(long), late(long), lost, late(long)},
		{"link silent", func(s *remotetest.Server, _ promised) { s.Stall(true) }, late(long), late(long), lost, late(promiseTimeout * 9 / 4)},
		{"no answer, once", once(remotetest.Swallow), done(long), waits, waits, late(2*promiseTimeout + time.Second)},
		{"half an answer", once(remotetest.Half), done(long), done(long), done(long), done(long)},
		{"session dies, once", once(remotetest.Kill), soon, soon, soon, soon},
		{"session dies each time", func(s *remotetest.Server, c promised) {
			s.Script(func(r remotetest.Request) remotetest.Fate {
				if r.Type == c.kind {
					return remotetest.Kill
				}
				return remotetest.Answer
			})
		}, killed, killed, killed, killed},
	}
}

func (c condition) promiseOf(call promised) promise {
	switch call.name {
	case "look":
		return c.look
	case "read":
		return c.read
	case "mkdir", "rename":
		return c.changes
	case "unmount":
		if c.data.err == context.DeadlineExceeded {
			return promise{promiseRetry + time.Second, syscall.EIO}
		}
	case "killed":
		return promise{100 * time.Millisecond, nil}
	}
	return c.data
}

// TestPromises measures the table of docs/ARCHITECTURE.md, in the time of a bubble.
func TestPromises(t *testing.T) {
	var table strings.Builder
	for _, c := range conditions() {
		fmt.Fprintf(&table, "| %s |", c.name)
		for _, call := range promisedCalls() {
			want := c.promiseOf(call)
			t.Run(c.name+"/"+call.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					took, err := play(t, c, call)
					if !errors.Is(err, want.err) || want.err == nil && err != nil || took > want.most {
						t.Errorf("%v after %v, want %v within %v", err, took, want.err, want.most)
					}
					fmt.Fprintf(&table, " %s |", cell(took, err))
				})
			})
		}
		table.WriteString("\n")
	}
	t.Logf("\n%s", table.String())
}

func cell(took time.Duration, err error) string {
	text := took.Round(100 * time.Millisecond).String()
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "waits"
	case errors.Is(err, syscall.ETIMEDOUT):
		return text + " ETIMEDOUT"
	case errors.Is(err, syscall.EIO):
		return text + " EIO"
	case errors.As(err, &errno):
		return text + " " + errno.Error()
	}
	return text
}

func play(t *testing.T, c condition, call promised) (time.Duration, error) {
	s := remotetest.NewServer(t, t.TempDir())
	for _, name := range []string{"f", "g"} {
		if err := os.WriteFile(filepath.Join(s.Root, name), []byte("data"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := connected(t, s, pool.Config{Timeout: promiseTimeout, Retry: promiseRetry})
	f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stall(false)
	c.begin(s, call)
	ctx, cancel := context.WithTimeout(t.Context(), givesUp)
	defer cancel()
	start := time.Now()
	err = call.do(ctx, p, f)
	return time.Since(start), err
}
