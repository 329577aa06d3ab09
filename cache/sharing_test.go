package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// An endless Remote has folders with more names than anybody holds.
type endless struct {
	remote.Remote
	given atomic.Int64 // names handed on, in all
}

func (e *endless) Info() remote.Info { return remote.Info{} }

func (e *endless) ReadDir(ctx context.Context, _ string, emit func([]remote.Entry) error) error {
	for n := 0; ; n += 10 {
		batch := make([]remote.Entry, 10)
		for i := range batch {
			batch[i] = remote.Entry{Name: fmt.Sprint("name", n+i), Attr: remote.Attr{Mode: 0o100644}}
		}
		if err := emit(batch); err != nil {
			return err
		}
		e.given.Add(int64(len(batch)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// Of a folder without an end no more is held than may be, whoever reads it, and how
// fast: each gets every name once, and one that stopped holds up nobody.
func TestEndlessListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 5000
		e := &endless{}
		c := New(e, Config{AttrTimeout: 5 * time.Second, MaxEntries: most})
		enough := errors.New("enough")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		read := func(dir string, count int, pause time.Duration) <-chan error {
			done := make(chan error, 1)
			go func() {
				var names []string
				err := c.ReadDir(ctx, dir, func(batch []remote.Entry) error {
					for _, e := range batch {
						names = append(names, e.Name)
					}
					if len(names) >= count {
						return enough
					}
					select {
					case <-time.After(pause):
					case <-ctx.Done():
					}
					return ctx.Err()
				})
				for i, name := range names {
					if want := fmt.Sprint("name", i); name != want && err == enough {
						err = fmt.Errorf("%s is number %d", name, i)
					}
				}
				done <- err
			}()
			return done
		}
		ends := func(what string, done <-chan error) {
			t.Helper()
			if err := <-done; !errors.Is(err, enough) {
				t.Errorf("%s: %v", what, err)
			}
		}
		stopped := read("d", 100_000, 24*time.Hour)
		slow := read("d", 20_000, 3*time.Millisecond)
		quick := read("d", 20_000, 0)
		var more []<-chan error
		for i := range 20 {
			more = append(more, read(fmt.Sprint("other", i), 100_000, 24*time.Hour))
		}
		time.Sleep(time.Minute)
		if held := c.tree.listing.Load(); held > most+21*(window+20) {
			t.Errorf("%d names are held in listings", held)
		}
		ends("a quick reader", quick)
		ends("a slow reader", slow)
		for _, l := range slices.Concat([]<-chan error{stopped}, more) {
			select {
			case err := <-l:
				t.Errorf("a reader that stopped: %v", err)
			default:
			}
		}
		before := e.given.Load()
		time.Sleep(time.Minute)
		if given := e.given.Load(); given > before+100 {
			t.Errorf("%d names more are listed for nobody", given-before)
		}
		if n := c.tree.size(); n > most {
			t.Errorf("%d names are held", n)
		}
		cancel()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if held := c.tree.listing.Load(); held != 0 {
			t.Errorf("%d names are held in listings at the end", held)
		}
	})
}
