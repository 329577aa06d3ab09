package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// Many programs at a time: each file holds one letter as often as it says, whoever
// reads it, and in the end what the cache tells is what is on the disk.
func TestManyAtATime(t *testing.T) {
	b := newBench(t, Config{AttrTimeout: 50 * time.Millisecond, Memory: 1 << 20, MaxEntries: 40}, func(d *remotetest.Dir) {
		d.Latency = 200 * time.Microsecond
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for d := range 4 {
		_, err := b.Mkdir(t.Context(), fmt.Sprint(d), 0o755)
		check(t, err)
	}
	var all sync.WaitGroup
	for seed := range uint64(8) {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 7))
			for ctx.Err() == nil {
				stress(ctx, t, b, rnd)
			}
		})
	}
	all.Wait()
	time.Sleep(60 * time.Millisecond)
	for d := range 4 {
		dir := fmt.Sprint(d)
		got, want := b.list(t, dir), listDisk(t, b.root+"/"+dir)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}

func stress(ctx context.Context, t *testing.T, b *bench, rnd *rand.Rand) {
	dir := fmt.Sprint(rnd.IntN(4))
	path := fmt.Sprintf("%s/%d", dir, rnd.IntN(20))
	if rnd.IntN(4) == 0 { // give up somewhere
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(1000))*time.Microsecond)
		defer cancel()
	}
	switch rnd.IntN(8) {
	case 0:
		_ = b.ReadDir(ctx, dir, func([]remote.Entry) error { return nil })
	case 1:
		_, _ = b.Lstat(ctx, path)
	case 2:
		_ = b.Rename(ctx, path, fmt.Sprintf("%d/%d", rnd.IntN(4), rnd.IntN(20)), false)
	case 3:
		_ = b.Remove(ctx, path)
	case 4, 5:
		f, _, err := b.Open(ctx, path, flagNew, 0o644)
		if err != nil {
			return
		}
		letter := string(rune('a' + rnd.IntN(26)))
		_, _ = f.WriteAt(ctx, []byte(strings.Repeat(letter, 1+rnd.IntN(100_000))), 0)
		_ = f.Close(context.Background())
	default:
		f, _, err := b.Open(ctx, path, remote.FlagRead, 0)
		if err != nil {
			return
		}
		p := make([]byte, 200_000)
		n, _ := f.ReadAt(ctx, p, 0)
		if n > 0 && strings.Trim(string(p[:n]), string(p[:1])) != "" {
			t.Errorf("%s: mixed content", path)
		}
		_ = f.Close(context.Background())
	}
}

// Close ends everything, whatever is under way.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		root := t.TempDir()
		dir := remotetest.NewDir(root)
		dir.Latency = time.Millisecond
		b := &bench{New(dir, fiveSeconds), dir, root}
		b.small(t, 5, 20)
		b.disk(t, "big", string(noise(8<<20)))
		f, _, err := b.Open(t.Context(), "big", remote.FlagRead, 0)
		check(t, err)
		readAll(t, f, 4<<20)
		var walker sync.WaitGroup
		walker.Go((&reader{bench: b}).walkUntilClosed)
		time.Sleep(5 * time.Millisecond)
		check(t, b.Close())
		_ = f.Close(t.Context())
		walker.Wait() // it closes what it has open
		if held := b.Stats().Bytes; held != 0 {
			t.Errorf("%d bytes held after Close", held)
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func (r *reader) walkUntilClosed() {
	ctx := context.Background()
	for d := range 5 {
		dir := fmt.Sprintf("d%03d", d)
		if r.ReadDir(ctx, dir, func([]remote.Entry) error { return nil }) != nil {
			return
		}
		for i := range 20 {
			f, _, err := r.Open(ctx, fmt.Sprintf("%s/f%04d", dir, i), remote.FlagRead, 0)
			if err != nil {
				return
			}
			_, _ = f.ReadAt(ctx, make([]byte, 10), 0)
			_ = f.Close(ctx)
		}
	}
}
