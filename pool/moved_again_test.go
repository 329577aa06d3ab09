package pool_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestChangedBehindARename pins that a rename which was made, and whose answer was lost,
// is not made again, whatever others do at both names before it is looked at.
func TestChangedBehindARename(t *testing.T) {
	write := func(flag int, text string) func(t *testing.T, at string) {
		return func(t *testing.T, at string) {
			f, err := os.OpenFile(at, flag|os.O_WRONLY, 0o644)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = f.WriteString(text)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	for name, c := range map[string]struct {
		dir, over bool
		others    func(t *testing.T, from, to string)
		want      string // in the target
	}{
		"a daemon goes on with its log": {false, false, func(t *testing.T, _, to string) { write(os.O_APPEND, "two\n")(t, to) }, "one\ntwo\n"},
		"over another":                  {false, true, func(t *testing.T, _, to string) { write(os.O_APPEND, "two\n")(t, to) }, "one\ntwo\n"},
		"and cuts it":                   {false, true, func(t *testing.T, _, to string) { write(os.O_TRUNC, "")(t, to) }, ""},
		"a daemon begins a new log":     {false, false, func(t *testing.T, from, _ string) { write(os.O_CREATE, "")(t, from) }, "one\n"},
		"over another, and a new log":   {false, true, func(t *testing.T, from, _ string) { write(os.O_CREATE, "new")(t, from) }, "one\n"},
		"a folder gets a name":          {true, false, func(t *testing.T, _, to string) { write(os.O_CREATE, "")(t, to+"/x") }, ""},
		"a folder is made again": {true, false, func(t *testing.T, from, _ string) {
			if err := os.Mkdir(from, 0o700); err != nil {
				t.Error(err)
			}
		}, ""},
	} {
		for _, foreign := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := remotetest.NewServer(t, t.TempDir())
				if foreign {
					s.Identification = "SSH-2.0-Other"
				}
				p := connected(t, s, pool.Config{})
				from, to := filepath.Join(s.Root, "log"), filepath.Join(s.Root, "log.1")
				if c.dir {
					if _, err := p.Mkdir(t.Context(), "log", 0o755); err != nil {
						t.Fatal(err)
					}
				} else {
					save(t, p, "log", "one\n", 0o644)
				}
				if c.over {
					save(t, p, "log.1", "zero\n", 0o644)
				}
				past := time.Now().Add(-time.Hour) // so that times tell
				for _, at := range []string{from, to} {
					if err := os.Chtimes(at, past, past); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
				}
				trap := s.Next("posix-rename@openssh.com", "log", remotetest.Hold)
				done := make(chan error, 1)
				go func() { done <- p.Rename(t.Context(), "log", "log.1", false) }()
				<-trap.Sprung()
				time.Sleep(50 * time.Millisecond) // the looks in front of it have their answers
				c.others(t, from, to)
				s.CutAll()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if n := s.Succeeded("posix-rename@openssh.com", ""); n != 1 {
					t.Errorf("it was made %d times", n)
				}
				if got, err := os.ReadFile(to); !c.dir && (err != nil || string(got) != c.want) {
					t.Errorf("the target has %q, %v", got, err)
				}
			})
		}
	}
}
