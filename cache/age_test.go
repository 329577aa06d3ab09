package cache

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// An oldest is an Ager that keeps the greatest age.
type oldest struct{ age time.Duration }

func (o *oldest) Aged(age time.Duration) { o.age = max(o.age, age) }

// What is answered from memory tells how old it is, so that nobody adds a whole life of
// their own to it.
func TestAnswersTellTheirAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, nil)
		b.disk(t, "d/f", "1")
		asked := func(look func(remote.Remote, *oldest)) time.Duration {
			o := &oldest{}
			look(b, o)
			return o.age
		}
		lstat := func(path string) func(remote.Remote, *oldest) {
			return func(r remote.Remote, o *oldest) { _, _ = r.Lstat(remote.WithAger(t.Context(), o), path) }
		}
		list := func(r remote.Remote, o *oldest) {
			check(t, r.ReadDir(remote.WithAger(t.Context(), o), "d", func([]remote.Entry) error { return nil }))
		}
		if age := asked(list); age != 0 {
			t.Errorf("a listing of the server's is %v old", age)
		}
		synctest.Wait()
		time.Sleep(3 * time.Second)
		for name, look := range map[string]func(remote.Remote, *oldest){
			"a listing": list, "a name of it": lstat("d/f"), "an absence of it": lstat("d/none"),
			"what a name leads to": func(r remote.Remote, o *oldest) { _, _ = r.Stat(remote.WithAger(t.Context(), o), "d/f") },
		} {
			if age := asked(look); age != 3*time.Second {
				t.Errorf("%s is %v old", name, age)
			}
		}
		if age := asked(lstat("d")); age != 0 {
			t.Errorf("what was just asked is %v old", age)
		}
		time.Sleep(3 * time.Second)
		if age := asked(lstat("d/f")); age != 0 {
			t.Errorf("asked again it is %v old", age)
		}
	})
}

// Names of a listing that took longer than they live can be looked at when it is over: else
// each would be asked for by itself, and listed again, and so for ever.
func TestNamesOfASlowListingCanBeLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, fiveSeconds, nil)
		for i := range 10 {
			b.disk(t, fmt.Sprintf("d/f%d", i), "1")
		}
		slow := New(slowBatches{b.dir}, fiveSeconds)
		defer func() { check(t, slow.Close()) }()
		check(t, slow.ReadDir(t.Context(), "d", func([]remote.Entry) error { return nil }))
		synctest.Wait()
		asked := slow.Stats().Misses
		for i := range 10 {
			_, err := slow.Lstat(t.Context(), fmt.Sprintf("d/f%d", i))
			check(t, err)
		}
		if n := slow.Stats().Misses - asked; n != 0 {
			t.Errorf("%d of 10 names were asked for", n)
		}
	})
}

// slowBatches lists one name in a second.
type slowBatches struct{ *remotetest.Dir }

func (s slowBatches) ReadDir(ctx context.Context, path string, emit func([]remote.Entry) error) error {
	return s.Dir.ReadDir(ctx, path, func(entries []remote.Entry) error {
		for _, e := range entries {
			time.Sleep(time.Second)
			if err := emit([]remote.Entry{e}); err != nil {
				return err
			}
		}
		return nil
	})
}
