package remotetest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// Turn says which histories are played: all up to two operations, and of the longer
// ones, up to Length, one of every Every, beginning with the Turn-th. With and without a
// pause between the operations where Every is 1, else one or the other.
type Turn struct{ Length, Every, Turn int }

// Today is the turn of the day, with one of so many of the longer histories, or as
// REMOTEMOUNT_HISTORY_EVERY says; `make history` plays all.
func Today(length, every int) Turn {
	if n, err := strconv.Atoi(os.Getenv("REMOTEMOUNT_HISTORY_EVERY")); err == nil {
		every = max(n, 1)
	}
	return Turn{Length: length, Every: every, Turn: int(time.Now().Unix() / 86400)}
}

// A play is a set of operations of which histories are made.
type play struct {
	steps []string
	late  time.Duration // after which what is executed late is
	run   func(h *history, ctx context.Context, r remote.Remote)
}

// RunCompleteData plays every history of so many data operations on one file through
// two Files, and breaks the connection at each packet of its last two operations and of
// what ends it: before it was executed, after, and with the server executing it late.
// Afterwards the server has what the operations say, in their order.
func RunCompleteData(t *testing.T, open func(t testing.TB, s *Server) remote.Remote, turn Turn) {
	t.Helper()
	var names []string
	for _, s := range dataSteps {
		names = append(names, s.name)
	}
	play{names, time.Second, playData}.complete(t, open, turn)
}

func (p play) complete(t *testing.T, open func(t testing.TB, s *Server) remote.Remote, turn Turn) {
	t.Helper()
	var histories, runs int
	for n := 1; n <= turn.Length; n++ {
		for i := range pow(len(p.steps), n) {
			if n > 2 && i%turn.Every != turn.Turn%turn.Every {
				continue
			}
			pauses := []time.Duration{0, 20 * time.Millisecond}
			if turn.Every > 1 {
				pauses = pauses[(i+turn.Turn)%2:][:1]
			}
			steps := make([]int, n)
			for k := range steps {
				steps[k], i = i%len(p.steps), i/len(p.steps)
			}
			histories++
			for _, pause := range pauses {
				whole := &history{steps: steps, pause: pause, at: -1}
				whole.play(t, p, open)
				for at := range whole.packets {
					for _, fate := range []Fate{CutBefore, CutAfter, Zombie} {
						(&history{steps: steps, pause: pause, at: at, fate: fate}).play(t, p, open)
						runs++
					}
				}
			}
			if t.Failed() {
				t.Fatalf("after %d histories", histories)
			}
		}
	}
	t.Logf("%d histories, played %d times with a cut", histories, runs)
}

func pow(b, n int) int {
	p := 1
	for range n {
		p *= b
	}
	return p
}

// A history is a sequence of operations, with a pause between, and with a fate for the
// at-th packet of its last two operations and of what ends it.
type history struct {
	steps []int
	pause time.Duration
	at    int
	fate  Fate

	*testing.T
	s       *Server
	late    time.Duration
	mu      sync.Mutex
	counts  bool // guarded by mu
	packets int  // guarded by mu
}

func (h *history) play(t *testing.T, p play, open func(t testing.TB, s *Server) remote.Remote) {
	t.Helper()
	root, err := os.MkdirTemp("", "history")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	}()
	ok := t.Run("", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h.T, h.s, h.late = t, NewServer(t, root), p.late
			h.s.Bubble = true
			r := open(t, h.s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			h.s.Script(h.decide)
			p.run(h, ctx, r)
		})
	})
	if !ok {
		var names []string
		for _, s := range h.steps {
			names = append(names, p.steps[s])
		}
		t.Errorf("%s (pauses of %v): packet %d was %v", strings.Join(names, "; "), h.pause, h.at, h.fate)
	}
}

// begin notes that the i-th step begins: packets count from the last but one.
func (h *history) begin(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts = h.counts || i >= len(h.steps)-2
}

func (h *history) decide(Request) Fate {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.counts {
		return Answer
	}
	h.packets++
	switch {
	case h.packets-1 > h.at && h.fate == Zombie && h.late == 0:
		h.s.RunZombies()
	case h.packets-1 == h.at:
		if h.fate == Zombie && h.late > 0 {
			time.AfterFunc(h.late, h.s.RunZombies)
		}
		return h.fate
	}
	return Answer
}

// A dataStep is an operation. A write is of four bytes that tell which it was.
type dataStep struct {
	name     string
	file     int
	off      int64
	truncate bool
	flush    bool
}

var dataSteps = []dataStep{
	{name: "A writes [0,4)"},
	{name: "B writes [2,6)", file: 1, off: 2},
	{name: "A writes [6,10), beside that", off: 6},
	{name: "A writes [100,104), far off", off: 100},
	{name: "A is cut to 3", off: 3, truncate: true},
	{name: "A is flushed", flush: true},
	{name: "B is flushed", file: 1, flush: true},
}

func playData(h *history, ctx context.Context, r remote.Remote) {
	var files [2]remote.File
	for i := range files {
		f, _, err := r.Open(ctx, "file", remote.FlagRead|remote.FlagWrite|remote.FlagCreate, 0o644)
		if err != nil {
			h.Fatal(err)
		}
		files[i] = f
	}
	var want []byte
	for i, step := range h.steps {
		h.begin(i)
		op := dataSteps[step]
		if err := op.do(ctx, files, i); err != nil {
			h.Errorf("%s: %v", op.name, err)
		}
		want = op.model(i, want)
		if got, err := readAll(ctx, files[1-op.file], len(want)+8); err != nil || got != string(want) {
			h.Errorf("after %s the other File reads %q, %v; want %q", op.name, got, err, want)
		}
		time.Sleep(h.pause)
	}
	for _, f := range files {
		if err := f.Close(ctx); err != nil {
			h.Errorf("Close: %v", err)
		}
	}
	h.s.RunZombies()
	if got, err := os.ReadFile(filepath.Join(h.s.Root, "file")); err != nil || string(got) != string(want) {
		h.Errorf("the server has %q, %v; want %q", got, err, want)
	}
}

func (op dataStep) do(ctx context.Context, files [2]remote.File, i int) (err error) {
	f := files[op.file]
	switch {
	case op.flush:
		_, err = f.Flush(ctx)
	case op.truncate:
		_, err = f.SetAttr(ctx, remote.Change{Fields: remote.SetSize, Size: op.off})
	default:
		_, err = f.WriteAt(ctx, stepData(i), op.off)
	}
	return err
}

func stepData(i int) []byte { return []byte(strings.Repeat(string(rune('1'+i)), 4)) }

// model is what the operation makes of the data.
func (op dataStep) model(i int, data []byte) []byte {
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
