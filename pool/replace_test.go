package pool_test

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

const (
	linking  = "hardlink@openssh.com"
	renaming = "posix-rename@openssh.com"
)

// replacing is a Pool with a file "open" that is open, and others to replace it.
func replacing(t *testing.T, s *remotetest.Server) (*pool.Pool, remote.File) {
	t.Helper()
	p, _, _ := otherPool(t, s, pool.Config{})
	for _, name := range []string{"open", "one", "two", "three"} {
		save(t, p, name, name, 0o644)
	}
	f, _, err := p.Open(t.Context(), "open", remote.FlagRead|remote.FlagWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.Forget()
	return p, f
}

// flights are those in which requests came, by their types.
func flights(s *remotetest.Server) map[string]int {
	all := map[string]int{}
	for _, r := range s.Requests() {
		all[r.Type] = r.Flight
	}
	return all
}

// The further name of what is replaced costs no round trip, with a server that keeps
// order or not.
func TestReplaceCostsNoRoundTrip(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := remotetest.NewServer(t, t.TempDir())
			s.Latency = 100 * time.Millisecond
			if foreign {
				s.Identification = "SSH-2.0-Other"
			}
			p, _ := replacing(t, s)
			began := time.Now()
			if err := p.Rename(t.Context(), "one", "two", false); err != nil {
				t.Fatal(err)
			}
			usual := time.Since(began)
			s.Forget()
			began = time.Now()
			if kept, err := p.Replace(t.Context(), "three", "open", ".kept"); err != nil || !kept {
				t.Fatalf("kept %v, %v", kept, err)
			}
			if took := time.Since(began); took != usual {
				t.Errorf("foreign %v: it took %v, and %v where nothing is kept", foreign, took, usual)
			}
			if at := flights(s); at[linking] != at["LSTAT"] || !foreign && at[linking] != at[renaming] {
				t.Errorf("foreign %v: in flights %v", foreign, at)
			}
			wantFiles(t, s.Root, map[string]string{"two": "one", "open": "three", ".kept": "open"})
		})
	}
}

// That the server makes no link does not stop the rename. One that cannot make any is
// not asked again.
func TestReplaceWithoutALink(t *testing.T) {
	for code, asked := range map[uint32]int{denied: 2, failure: 2, unsupported: 1} {
		s := remotetest.NewServer(t, t.TempDir())
		links := 0
		s.Quirks.Refuse = func(r remotetest.Request) uint32 {
			if r.Type != linking {
				return 0
			}
			links++
			return code
		}
		p, f := replacing(t, s)
		for _, from := range []string{"one", "two"} {
			if kept, err := p.Replace(t.Context(), from, "open", ".kept"); err != nil || kept {
				t.Errorf("status %d: kept %v, %v", code, kept, err)
			}
		}
		if links != asked {
			t.Errorf("status %d: asked %d times for a link, want %d", code, links, asked)
		}
		if _, err := f.ReadAt(t.Context(), make([]byte, 4), 0); err != nil {
			t.Errorf("status %d: the replaced file: %v", code, err)
		}
		wantFiles(t, s.Root, map[string]string{"open": "two", "three": "three"})
	}
}

// A link that was made before the rename failed is told of, and one that was refused,
// or of which the answer was lost.
func TestReplaceThatFails(t *testing.T) {
	for name, link := range map[string]uint32{"made": 0, "refused": failure} {
		s := remotetest.NewServer(t, t.TempDir())
		s.Quirks.Refuse = func(r remotetest.Request) uint32 {
			switch r.Type {
			case linking:
				return link
			case renaming:
				return denied
			}
			return 0
		}
		p, f := replacing(t, s)
		kept, err := p.Replace(t.Context(), "one", "open", ".kept")
		if !errors.Is(err, syscall.EACCES) || kept != (link == 0) {
			t.Errorf("%s: kept %v, %v", name, kept, err)
		}
		if kept {
			if err := p.Remove(t.Context(), ".kept"); err != nil {
				t.Error(err)
			}
		}
		s.CutAll()
		if _, err := f.ReadAt(t.Context(), make([]byte, 4), 0); err != nil {
			t.Errorf("%s: the file that was not replaced: %v", name, err)
		}
		wantFiles(t, s.Root, map[string]string{"open": "open", "one": "one", "two": "two", "three": "three"})
	}
}

// A link without an answer is looked for: here it was refused.
func TestReplaceWithoutAnAnswer(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	s.Quirks.Refuse = func(r remotetest.Request) uint32 {
		if r.Type == linking {
			return failure
		}
		return 0
	}
	p, _ := replacing(t, s)
	s.Next(linking, "open", remotetest.CutAfter)
	if kept, err := p.Replace(t.Context(), "one", "open", ".kept"); err != nil || kept {
		t.Errorf("kept %v, %v", kept, err)
	}
	wantFiles(t, s.Root, map[string]string{"open": "one", "two": "two", "three": "three"})
}
