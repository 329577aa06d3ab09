package pool_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// ProFTPD's mod_sftp crashes when several sessions of a connection are at work.
func TestOneSessionWhereSeveralAreConfused(t *testing.T) {
	s := remotetest.NewServer(t, t.TempDir())
	s.Identification = "SSH-2.0-mod_sftp"
	p, _, _ := otherPool(t, s, pool.Config{})
	if err := os.WriteFile(filepath.Join(s.Root, "f"), make([]byte, 16<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	f, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	var reads sync.WaitGroup
	for i := range 4 {
		reads.Go(func() {
			if _, err := f.ReadAt(t.Context(), make([]byte, 4<<20), int64(i)<<22); err != nil {
				t.Error(err)
			}
		})
	}
	reads.Wait()
	save(t, p, "g", "data", 0o644)
	sessions := make(map[int]int)
	for _, r := range s.Requests() {
		if other, ok := sessions[r.Conn]; ok && other != r.Session {
			t.Fatalf("sessions %d and %d on connection %d", other, r.Session, r.Conn)
		}
		sessions[r.Conn] = r.Session
	}
	knows(t, p, pool.OneSession)
}

// ProFTPD follows links where no other server does. What was there before the mount,
// and what nothing was told of, is no exception.
func TestLinksThatAreFollowed(t *testing.T) {
	for _, seen := range []bool{false, true} {
		s := remotetest.NewServer(t, t.TempDir())
		s.Identification, s.Quirks = "SSH-2.0-mod_sftp", remotetest.Quirks{FollowsLinks: true, AbsoluteLinks: true}
		if seen { // then no name is needed
			s.Identification = "SSH-2.0-Other"
		}
		delete(s.Extensions, "lsetstat@openssh.com")
		for name, target := range map[string]string{"link": "file", "dangling": "nowhere", "over": "kept", "touched": "kept"} {
			if err := os.Symlink(target, filepath.Join(s.Root, name)); err != nil {
				t.Fatal(err)
			}
		}
		p, _, _ := otherPool(t, s, pool.Config{})
		for _, name := range []string{"file", "kept", "new"} {
			if err := os.WriteFile(filepath.Join(s.Root, name), []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if seen {
			if err := p.ReadDir(t.Context(), ".", func([]remote.Entry) error { return nil }); err != nil {
				t.Fatal(err)
			}
			for name, target := range map[string]string{"link": "file", "dangling": "nowhere"} {
				if to, err := p.ReadLink(t.Context(), name); err != nil || to != target {
					t.Errorf("%s leads to %q, %v", name, to, err)
				}
				if a, err := p.Lstat(t.Context(), name); err != nil || !a.IsSymlink() || a.Size != int64(len(target)) {
					t.Errorf("%s: %+v, %v", name, a, err)
				}
			}
		}
		if a, err := p.Symlink(t.Context(), "file", "another"); err != nil || !a.IsSymlink() {
			t.Errorf("seen %v: making a link: %+v, %v", seen, a, err)
		}
		if _, err := p.SetAttr(t.Context(), "touched", remote.Change{Fields: remote.SetMode, Mode: 0o600}); !errors.Is(err, syscall.EOPNOTSUPP) {
			t.Errorf("seen %v: chmod of a link: %v", seen, err)
		}
		if err := p.Rename(t.Context(), "link", "moved", false); err != nil {
			t.Errorf("seen %v: renaming a link: %v", seen, err)
		}
		if err := p.Rename(t.Context(), "moved", "file", true); !errors.Is(err, syscall.EEXIST) {
			t.Errorf("seen %v: renaming a link to a name that is there: %v", seen, err)
		}
		if err := p.Rename(t.Context(), "new", "over", false); !errors.Is(err, syscall.EOPNOTSUPP) {
			t.Errorf("seen %v: renaming over a link: %v", seen, err)
		}
		if _, err := p.Symlink(t.Context(), "no/where", "made"); err != nil {
			t.Errorf("seen %v: making a link: %v", seen, err)
		}
		if err := p.Rename(t.Context(), "new", "renamed", false); err != nil {
			t.Errorf("seen %v: renaming a file: %v", seen, err)
		}
		for name, want := range map[string]string{"moved": "file", "over": "kept", "made": "no/where", "dangling": "nowhere"} {
			if to, err := os.Readlink(filepath.Join(s.Root, name)); err != nil || to != want {
				t.Errorf("seen %v: %s leads to %q, %v", seen, name, to, err)
			}
		}
		for name, want := range map[string]string{"file": "file", "kept": "kept", "renamed": "new"} {
			text, err := os.ReadFile(filepath.Join(s.Root, name))
			if st, serr := os.Lstat(filepath.Join(s.Root, name)); err != nil || serr != nil || string(text) != want || st.Mode().Perm() != 0o644 {
				t.Errorf("seen %v: %s has %q, %v, %v", seen, name, text, st, err)
			}
		}
		if !slices.Contains(p.Status().Quirks, pool.FollowsLinks) {
			t.Errorf("seen %v: learned %q", seen, p.Status().Quirks)
		}
	}
}

// A handle of ProFTPD's ends where the file ended when it was opened.
func TestReadsBeyondTheEndAtTheOpening(t *testing.T) {
	p, s, _ := other(t, remotetest.Quirks{EndsAtOpening: true}, pool.Config{})
	if err := os.WriteFile(filepath.Join(s.Root, "f"), []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	reader, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	writer, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.WriteAt(t.Context(), []byte("more"), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]remote.File{"the reader": reader, "the writer": writer} {
		buf := make([]byte, 100)
		if n, err := f.ReadAt(t.Context(), buf, 5); string(buf[:n]) != "56789more" || err != io.EOF {
			t.Errorf("%s reads %q, %v", name, buf[:n], err)
		}
		if n, err := f.ReadAt(t.Context(), buf[:4], 10); string(buf[:n]) != "more" || err != nil && err != io.EOF {
			t.Errorf("%s reads %q, %v", name, buf[:n], err)
		}
		if n, err := f.ReadAt(t.Context(), buf, 14); n != 0 || err != io.EOF {
			t.Errorf("%s reads %q behind the end, %v", name, buf[:n], err)
		}
	}
	knows(t, p, pool.EndsAtOpening)
	other, err := os.OpenFile(filepath.Join(s.Root, "f"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = other.WriteString(" of another's")
		err = errors.Join(err, other.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stat(t.Context(), "f"); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Stat(t.Context()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := reader.ReadAt(t.Context(), buf, 14); string(buf[:n]) != " of another's" || err != io.EOF {
		t.Errorf("of what another wrote: %q, %v", buf[:n], err)
	}
}

// TestCutWhileReadingBeyondTheEnd pins that what such a handle does not know of is read
// as well where a cut comes between, whichever request it takes: neither ends the file
// there, nor fails the read.
func TestCutWhileReadingBeyondTheEnd(t *testing.T) {
	for at, met := 0, true; met; at++ {
		p, s, _ := other(t, remotetest.Quirks{EndsAtOpening: true}, pool.Config{})
		save(t, p, "f", "0123456789", 0o644)
		reader, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
		if err != nil {
			t.Fatal(err)
		}
		writer, _, err := p.Open(t.Context(), "f", remote.FlagWrite, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.WriteAt(t.Context(), []byte("more"), 10); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var count atomic.Int32
		s.Script(func(remotetest.Request) remotetest.Fate {
			if int(count.Add(1))-1 == at {
				return remotetest.CutBefore
			}
			return remotetest.Answer
		})
		buf := make([]byte, 100)
		if n, err := reader.ReadAt(t.Context(), buf, 5); string(buf[:n]) != "56789more" || err != io.EOF {
			t.Errorf("request %d cut: %q, %v", at, buf[:n], err)
		}
		met = int(count.Load()) > at
	}
}

// TestReadBeyondTheEndInParts pins that a short answer to what reads there is asked on,
// that a server which gives nothing is not asked for ever, and that who gives up has its
// buffer left alone.
func TestReadBeyondTheEndInParts(t *testing.T) {
	p, s, _ := other(t, remotetest.Quirks{EndsAtOpening: true}, pool.Config{})
	save(t, p, "f", "0123456789", 0o644)
	reader, _, err := p.Open(t.Context(), "f", remote.FlagRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Root, "f"), []byte("0123456789more"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stat(t.Context(), "f"); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Stat(t.Context()); err != nil {
		t.Fatal(err)
	}
	var most atomic.Int32
	s.Corrupt(func(r remotetest.Request, answer []byte) ([]byte, bool) {
		const head = 4 + 1 + 4
		if r.Type != "READ" || r.Offset < 10 || answer[4] != sftp3.TypeData {
			return answer, false
		}
		data := answer[head+4:]
		data = data[:min(len(data), int(most.Load()))]
		b := binary.BigEndian.AppendUint32(nil, uint32(head+len(data)))
		b = append(b, answer[4:head]...)
		return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...), false
	})
	buf := make([]byte, 100)
	most.Store(1)
	if n, err := reader.ReadAt(t.Context(), buf, 5); string(buf[:n]) != "56789more" || err != io.EOF {
		t.Errorf("byte after byte: %q, %v", buf[:n], err)
	}
	most.Store(0)
	if n, err := reader.ReadAt(t.Context(), buf, 5); string(buf[:n]) != "56789" || !errors.Is(err, syscall.EPROTO) {
		t.Errorf("none: %q, %v", buf[:n], err)
	}
	most.Store(100)
	clear(buf)
	for range 2 { // the data that there is, and its end
		s.Next("READ", "f", remotetest.Answer)
	}
	held := s.Next("READ", "f", remotetest.Hold)
	ctx, cancel := context.WithCancel(t.Context())
	read := make(chan error)
	go func() {
		_, err := reader.ReadAt(ctx, buf, 5)
		read <- err
	}()
	<-held.Sprung()
	cancel()
	if err := <-read; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	held.Release()
	if err := reader.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if string(buf[:9]) != "56789\x00\x00\x00\x00" {
		t.Errorf("late data in %q", buf[:9])
	}
}

// TestWriteBesideARead pins that a server is not taken for one whose handles end where
// the file ended because a write overtook the answer that told the end.
func TestWriteBesideARead(t *testing.T) {
	p, s, _ := other(t, remotetest.Quirks{}, pool.Config{})
	save(t, p, "f", "0123", 0o644)
	f, _, err := p.Open(t.Context(), "f", remote.FlagRead|remote.FlagWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.Next("READ", "f", remotetest.Answer)
	end := s.Next("READ", "f", remotetest.Hold)
	read := make(chan string)
	go func() {
		buf := make([]byte, 100)
		n, err := f.ReadAt(t.Context(), buf, 0)
		if err != io.EOF {
			t.Errorf("%d bytes, %v", n, err)
		}
		read <- string(buf[:n])
	}()
	<-end.Sprung()
	if _, err := f.WriteAt(t.Context(), []byte("more"), 4); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	end.Release()
	if got := <-read; got != "0123more" {
		t.Errorf("%q", got)
	}
	if q := p.Status().Quirks; slices.Contains(q, pool.EndsAtOpening) {
		t.Errorf("learned %q", q)
	}
}

func TestLinksToldAsAbsolute(t *testing.T) {
	p, s, _ := other(t, remotetest.Quirks{AbsoluteLinks: true}, pool.Config{})
	if err := os.Mkdir(filepath.Join(s.Root, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	absolute := filepath.Join(s.Root, "d/file")
	if err := os.Symlink(absolute, filepath.Join(s.Root, "d/absolute")); err != nil {
		t.Fatal(err)
	}
	if to, err := p.ReadLink(t.Context(), "d/absolute"); err != nil || to != absolute {
		t.Errorf("one that is: %q, %v", to, err)
	}
	for link, want := range map[string]string{"d/beside": "file", "d/above": "../file"} {
		a, err := p.Symlink(t.Context(), want, link)
		if err != nil || !a.IsSymlink() {
			t.Errorf("%s: %+v, %v", link, a, err)
		}
		if to, err := p.ReadLink(t.Context(), link); err != nil || to != want {
			t.Errorf("%s leads to %q, %v, want %q", link, to, err, want)
		}
	}
	knows(t, p, pool.AbsoluteLinks)
}

// The request server of pkg/sftp finds what is open by the path that it was opened by.
func TestRenamedWhileOpenOnAServerThatGoesByPaths(t *testing.T) {
	for _, another := range []bool{false, true} {
		p, s, _ := other(t, remotetest.Quirks{ByPath: true}, pool.Config{})
		f, _, err := p.Open(t.Context(), "old", remote.FlagRead|remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(t.Context(), []byte("data"), 0); err != nil {
			t.Fatal(err)
		}
		if err := p.Rename(t.Context(), "old", "new", false); err != nil {
			t.Fatal(err)
		}
		if another {
			save(t, p, "old", "another's", 0o600)
		}
		if _, err := f.WriteAt(t.Context(), []byte("data and more"), 0); err != nil {
			t.Error(err)
		}
		if a, err := f.Flush(t.Context()); err != nil || a.Size != 13 {
			t.Errorf("flush: size %d, %v", a.Size, err)
		}
		if a, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetMode, Mode: 0o640}); err != nil || a.Perm() != 0o640 {
			t.Errorf("chmod: %o, %v", a.Mode, err)
		}
		if a, err := f.SetAttr(t.Context(), remote.Change{Fields: remote.SetSize, Size: 6}); err != nil || a.Size != 6 {
			t.Errorf("truncate: size %d, %v", a.Size, err)
		}
		if a, err := f.Stat(t.Context()); err != nil || a.Size != 6 || a.Perm() != 0o640 {
			t.Errorf("stat: %+v, %v", a, err)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(filepath.Join(s.Root, "new"))
		if err != nil || string(text) != "data a" {
			t.Errorf("it has %q, %v", text, err)
		}
		if another {
			text, err := os.ReadFile(filepath.Join(s.Root, "old"))
			st, serr := os.Stat(filepath.Join(s.Root, "old"))
			if err != nil || serr != nil || string(text) != "another's" || st.Mode().Perm() != 0o600 {
				t.Errorf("the other has %q, %v, %v", text, st, errors.Join(err, serr))
			}
		}
	}
}
