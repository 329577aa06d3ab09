package sftp3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// listAsync is a ReadDir in the background; names are joined as they come.
func listAsync(ctx context.Context, c *Client) (names *string, result chan error) {
	names, result = new(string), make(chan error, 1)
	go func() {
		result <- c.ReadDir(ctx, "h", func(batch []Name) error {
			for _, n := range batch {
				*names += n.Filename
			}
			*names += " "
			return nil
		})
	}()
	return names, result
}

func (p *peer) expectReadDirs(n int) []uint32 {
	p.t.Helper()
	var ids []uint32
	for range n {
		ids = append(ids, p.expect(TypeReadDir).id)
	}
	return ids
}

// Batches come in the order they were asked for, and the window grows.
func TestReadDirPipelines(t *testing.T) {
	c, p := startPeer(t)
	c.InOrder = true
	names, result := listAsync(testContext(t), c)
	first := p.expectReadDirs(2)
	p.names(first[0], "a", "b")
	p.names(first[1], "c", "d")
	second := p.expectReadDirs(4)
	p.names(second[0], "e")
	p.names(second[1], "f")
	p.status(second[2], StatusEOF)
	go func() {
		for {
			if _, err := p.conn.Read(make([]byte, 100)); err != nil {
				return
			}
		}
	}()
	ok(t, <-result)
	if *names != "ab cd e f " {
		t.Errorf("listed %q", *names)
	}
	for _, id := range second[3:] { // late answers are dropped
		p.status(id, StatusFailure)
	}
}

// What is taken to keep order, and does not, is found out.
func TestOvertakingAnswerEndsTheSession(t *testing.T) {
	c, p := startPeer(t)
	c.InOrder = true
	first := c.StartLstat("a")
	second := c.StartLstat("b")
	p.expect(TypeLstat)
	p.status(p.expect(TypeLstat).id, StatusNoSuchFile)
	err := first.WaitStatus(testContext(t))
	if !errors.Is(err, ErrOvertaken) || !errors.Is(err, ErrLost) || !errors.Is(err, ErrOldest) {
		t.Errorf("the one that was overtaken: %v", err)
	}
	if err := second.WaitStatus(testContext(t)); !errors.Is(err, ErrOvertaken) || errors.Is(err, ErrOldest) {
		t.Errorf("the one that overtook: %v", err)
	}
}

// A folder costs the READDIRs that hold its names, and few more.
func TestReadDirRequests(t *testing.T) {
	for files, most := range map[int]uint64{0: 2, 40: 2, 97: 5, 150: 5, 10_000: 101 + lastWindow} {
		c, dir := startOpenSSH(t), t.TempDir()
		c.InOrder = true
		for i := range files {
			ok(t, os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600))
		}
		if n := len(listNames(t, c, dir)); n != files {
			t.Errorf("listed %d names of %d", n, files)
		}
		if n := c.Stats().ByType[TypeReadDir]; n > most {
			t.Errorf("%d READDIRs for %d files, want at most %d", n, files, most)
		}
	}
}

// A server that runs READDIRs at the same time may answer one with the end whose
// successor holds names.
func TestReadDirEndBeforeNames(t *testing.T) {
	c, p := startPeer(t)
	names, result := listAsync(testContext(t), c)
	ids := p.expectReadDirs(2)
	p.status(ids[0], StatusEOF)
	p.names(ids[1], "a", "b")
	ok(t, <-result)
	if *names != "ab " {
		t.Errorf("listed %q", *names)
	}
}

// After the end, a failure is one more end.
func TestReadDirFailureAfterEnd(t *testing.T) {
	c, p := startPeer(t)
	names, result := listAsync(testContext(t), c)
	ids := p.expectReadDirs(2)
	p.status(ids[0], StatusEOF)
	p.status(ids[1], StatusFailure)
	ok(t, <-result)
	if *names != "" {
		t.Errorf("listed %q", *names)
	}
}

func TestReadDirFailure(t *testing.T) {
	c, p := startPeer(t)
	_, result := listAsync(testContext(t), c)
	ids := p.expectReadDirs(2)
	p.status(ids[0], StatusPermissionDenied)
	wantCode(t, <-result, StatusPermissionDenied)
	p.status(ids[1], StatusEOF)
}

// A cut is not the end of a folder, not even when one was answered.
func TestReadDirCut(t *testing.T) {
	c, p := startPeer(t)
	_, result := listAsync(testContext(t), c)
	ids := p.expectReadDirs(2)
	p.status(ids[0], StatusEOF)
	ok(t, p.conn.Close())
	if err := <-result; !errors.Is(err, ErrLost) || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// serveReadDirs answers every READDIR with a batch until the pipe closes.
func serveReadDirs(p *peer, batch []byte) {
	for {
		head := make([]byte, headerSize+4+1)
		if _, err := io.ReadFull(p.conn, head); err != nil {
			return
		}
		_, _, id := splitHeader(head)
		if _, err := p.conn.Write(rawPacket(TypeName, id, batch)); err != nil {
			return
		}
	}
}

// A server that never comes to an end is bounded by the caller, and one that
// gives nothing by us.
func TestReadDirEndless(t *testing.T) {
	c, p := startPeer(t)
	go serveReadDirs(p, namesBody("again"))
	enough := errors.New("enough")
	batches := 0
	err := c.ReadDir(testContext(t), "h", func(names []Name) error {
		if batches++; batches == 1000 {
			return enough
		}
		if n := c.Outstanding(); n > lastWindow {
			t.Errorf("%d READDIRs in flight", n)
		}
		return nil
	})
	if err != enough {
		t.Errorf("got %v", err)
	}

	c, p = startPeer(t)
	go serveReadDirs(p, namesBody())
	err = c.ReadDir(testContext(t), "h", func([]Name) error { return nil })
	if err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
}

func TestReadDirCancelled(t *testing.T) {
	c, p := startPeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, result := listAsync(ctx, c)
	ids := p.expectReadDirs(2)
	cancel()
	if err := <-result; err != context.Canceled {
		t.Errorf("got %v", err)
	}
	p.names(ids[0], strings.Repeat("late", 100))
	p.names(ids[1], "late")
}
