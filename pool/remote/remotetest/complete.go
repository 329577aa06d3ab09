package remotetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// RunComplete plays every history of so many data operations on one file through two
// Files, and breaks the connection at each packet of its last two operations: before
// it was executed, after, and with the server executing it late. Afterwards the server
// has what the operations say, in their order.
//
// A history of more than two operations is played only when it is its turn: one of
// every so many, beginning with the turn-th.
func RunComplete(t *testing.T, open func(t testing.TB, s *Server) remote.Remote, length, every, turn int) {
	t.Helper()
	var histories, runs int
	for n := 1; n <= length; n++ {
		for i := range pow(len(dataSteps), n) {
			if n > 2 && i%every != turn%every {
				continue
			}
			h := history{steps: make([]int, n), open: open}
			for k := range h.steps {
				h.steps[k], i = i%len(dataSteps), i/len(dataSteps)
			}
			histories++
			for _, h.pause = range []time.Duration{0, 20 * time.Millisecond} {
				packets := h.play(t, -1, Answer)
				for at := range packets {
					for _, fate := range []Fate{CutBefore, CutAfter, Zombie} {
						h.play(t, at, fate)
						runs++
					}
				}
			}
			if t.Failed() {
				t.Fatalf("after %d histories", histories)
			}
		}
	}
	t.Logf("%d histories, %d of them with a cut", histories, runs)
}

func pow(b, n int) int {
	p := 1
	for range n {
		p *= b
	}
	return p
}

// dataSteps are the operations. A write is of four bytes that tell which it was.
var dataSteps = []struct {
	name     string
	file     int
	off      int64
	truncate bool
	flush    bool
}{
	{name: "A writes [0,4)"},
	{name: "B writes [2,6)", file: 1, off: 2},
	{name: "A writes [6,10), beside that", off: 6},
	{name: "A writes [100,104), far off", off: 100},
	{name: "A is cut to 3", off: 3, truncate: true},
	{name: "A is flushed", flush: true},
	{name: "B is flushed", file: 1, flush: true},
}

// A history is a sequence of them, with a pause between.
type history struct {
	steps []int
	pause time.Duration
	open  func(t testing.TB, s *Server) remote.Remote
}

func (h history) String() string {
	var names []string
	for _, s := range h.steps {
		names = append(names, dataSteps[s].name)
	}
	return fmt.Sprintf("%s (pauses of %v)", strings.Join(names, "; "), h.pause)
}

// play runs the history, with that fate for the at-th packet of its last two
// operations and of what ends it, and gives how many there were.
func (h history) play(t *testing.T, at int, fate Fate) (packets int) {
	t.Helper()
	root, err := os.MkdirTemp("", "history")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	ok := t.Run("", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { packets = h.inBubble(t, root, at, fate) })
	})
	if !ok {
		t.Errorf("%v: packet %d was %v", h, at, fate)
	}
	return packets
}

func (h history) inBubble(t *testing.T, root string, at int, fate Fate) (packets int) {
	s := NewServer(t, root)
	r := h.open(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	var files [2]remote.File
	for i := range files {
		f, _, err := r.Open(ctx, "file", remote.FlagRead|remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = f
	}
	count := h.arm(s, at, fate)
	var want []byte
	for i, step := range h.steps {
		if i == max(len(h.steps)-2, 0) {
			count.begin()
		}
		if want, err := h.step(ctx, files, i, step, want); err != nil {
			t.Errorf("%s: %v", dataSteps[step].name, err)
		} else if got, err := readAll(ctx, files[1-dataSteps[step].file], len(want)+8); err != nil || got != string(want) {
			t.Errorf("after %s the other File reads %q, %v; want %q", dataSteps[step].name, got, err, want)
		}
		want = h.model(i, step, want)
		time.Sleep(h.pause)
	}
	for _, f := range files {
		if err := f.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	s.RunZombies()
	if got, err := os.ReadFile(filepath.Join(root, "file")); err != nil || string(got) != string(want) {
		t.Errorf("the server has %q, %v; want %q", got, err, want)
	}
	return count.seen()
}

// step makes one operation, and gives what the file is to be then.
func (h history) step(ctx context.Context, files [2]remote.File, i, step int, before []byte) (after []byte, err error) {
	op := dataSteps[step]
	f := files[op.file]
	switch {
	case op.flush:
		_, err = f.Flush(ctx)
	case op.truncate:
		_, err = f.SetAttr(ctx, remote.Change{Fields: remote.SetSize, Size: op.off})
	default:
		_, err = f.WriteAt(ctx, stepData(i), op.off)
	}
	return h.model(i, step, before), err
}

func stepData(i int) []byte { return []byte(strings.Repeat(string(rune('1'+i)), 4)) }

// model is what the operation makes of the data.
func (h history) model(i, step int, data []byte) []byte {
	op := dataSteps[step]
	if op.flush {
		return data
	}
	end := int(op.off)
	if !op.truncate {
		end = max(len(data), end+4)
	}
	after := make([]byte, end)
	copy(after, data)
	if !op.truncate {
		copy(after[op.off:], stepData(i))
	}
	return after
}

func readAll(ctx context.Context, f remote.File, most int) (string, error) {
	data, release, err := f.Borrow(ctx, 0, most)
	if err != nil {
		return "", err
	}
	defer release()
	var b strings.Builder
	for _, d := range data {
		b.Write(d)
	}
	return b.String(), nil
}

// A packetCount counts packets from where it begins.
type packetCount struct {
	mu    sync.Mutex
	begun bool
	n     int
}

func (c *packetCount) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = true
}

func (c *packetCount) seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// next is the number of a packet, from 0, or -1 before the beginning.
func (c *packetCount) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		return -1
	}
	c.n++
	return c.n - 1
}

// arm has the at-th packet meet its fate. What is executed late is so a second later,
// when the connection has long been dialled anew.
func (h history) arm(s *Server, at int, fate Fate) *packetCount {
	c := &packetCount{}
	s.Script(func(Request) Fate {
		if n := c.next(); n < 0 || n != at {
			return Answer
		}
		if fate == Zombie {
			time.AfterFunc(time.Second, s.RunZombies)
		}
		return fate
	})
	return c
}
