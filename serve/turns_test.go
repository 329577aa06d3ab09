package serve

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/pkg/sftp"
)

// send gives requests to the server one behind the other, without waiting for
// answers, which have to come in the order of the requests.
func (c *raw) send(requests ...[]byte) {
	c.t.Helper()
	var all []byte
	for i, r := range requests {
		r = bytes.Join([][]byte{r[:1], u32(uint32(i)), r[1:]}, nil)
		all = append(append(all, u32(uint32(len(r)))...), r...)
	}
	go func() { _, _ = c.rw.Write(all) }() // that it fails, the answers tell
	for i := range requests {
		if _, body := c.read(); !bytes.HasPrefix(body, u32(uint32(i))) {
			c.t.Fatalf("answer %d is to request %x", i, body[:4])
		}
	}
}

func write(handle string, off uint64, data []byte) []byte {
	return bytes.Join([][]byte{{fxpWrite}, str(handle), u64(off), str(string(data))}, nil)
}

// A client that does not wait for answers gets what one that does would.
func TestRequestsKeepTheirOrder(t *testing.T) {
	const fxpFsetstat = 10
	s := start(t, nil)
	c := s.raw(t)
	h := c.open("/f", 0x1a, u32(0))
	truncate := bytes.Join([][]byte{{fxpFsetstat}, str(h), u32(attrSize), u64(0)}, nil)
	for round := range 200 {
		var writes [][]byte
		for i := range 64 {
			writes = append(writes, write(h, 0, bytes.Repeat([]byte{byte(i)}, 4096)))
		}
		c.send(writes...)
		got, err := os.ReadFile(filepath.Join(s.dir, "f"))
		must(t, err)
		if !bytes.Equal(got, bytes.Repeat([]byte{63}, 4096)) {
			t.Fatalf("round %d: the last of 64 writes is not what is left", round)
		}
		c.send(append(writes, truncate)...)
		if info, err := os.Stat(filepath.Join(s.dir, "f")); err != nil || info.Size() != 0 {
			t.Fatalf("round %d: size %d after the size was set to 0, %v", round, info.Size(), err)
		}
	}
}

// A READ that is sent right behind the OPEN of its handle waits for it.
func TestReadBehindItsOpen(t *testing.T) {
	s := start(t, nil)
	must(t, os.WriteFile(filepath.Join(s.dir, "f"), []byte("text"), 0o644))
	for range 20 {
		c := s.raw(t)
		c.send(bytes.Join([][]byte{{fxpOpen}, str("/f"), u32(1), u32(0)}, nil),
			bytes.Join([][]byte{{fxpRead}, str("1"), u64(0), u32(4)}, nil))
		_ = c.rw.Close()
	}
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		var taken atomic.Int32
		go func() {
			for range 2 * maxReads {
				turns.take(true)
				taken.Add(1)
			}
			turns.take(false)
			taken.Add(1)
			turns.take(true)
			taken.Add(1)
			if turns.take(false) {
				t.Error("a turn when it was over")
			}
		}()
		want := func(n int32) {
			t.Helper()
			synctest.Wait()
			if got := taken.Load(); got != n {
				t.Errorf("%d turns taken, want %d", got, n)
			}
		}
		want(maxReads)
		turns.answered()
		want(maxReads + 1)
		for range 2*maxReads - 2 {
			turns.answered()
		}
		want(2 * maxReads)
		turns.answered()
		want(2*maxReads + 1)
		turns.answered()
		want(2*maxReads + 2)
		turns.end()
	})
}

// slow is a file of which the first byte takes until it is let go.
type slow struct {
	let   chan struct{}
	reads atomic.Int32
}

func (s *slow) ReadAt(p []byte, off int64) (int, error) {
	if off == 0 {
		<-s.let
	}
	s.reads.Add(1)
	return len(p), nil
}

func (s *slow) WriteAt(p []byte, _ int64) (int, error)                { return len(p), nil }
func (s *slow) Filewrite(*sftp.Request) (io.WriterAt, error)          { return s, nil }
func (s *slow) OpenFile(*sftp.Request) (sftp.WriterAtReaderAt, error) { return s, nil }

// What was read and waits for the answer to a slow request is bounded.
func TestReadsBehindASlowOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		file := &slow{let: make(chan struct{})}
		server := sftp.NewRequestServer(newSession(there, &handles{}), sftp.Handlers{FilePut: file})
		ended := make(chan struct{})
		go func() { defer close(ended); _ = server.Serve() }()
		c := &raw{t: t, rw: here}
		h := c.open("/f", 1, u32(0))
		var reads [][]byte
		for i := range 10 * maxReads {
			reads = append(reads, bytes.Join([][]byte{{fxpRead}, str(h), u64(uint64(i)), u32(1 << 15)}, nil))
		}
		go func() {
			synctest.Wait()
			if n := file.reads.Load(); n > maxReads {
				t.Errorf("%d answers are kept", n)
			}
			close(file.let)
		}()
		c.send(reads...)
		if n := file.reads.Load(); n != 10*maxReads {
			t.Errorf("%d reads", n)
		}
		_ = here.Close()
		<-ended
	})
}
