package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
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
