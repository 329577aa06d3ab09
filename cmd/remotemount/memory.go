package main

import (
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"
)

const (
	// besidesData is what the program may take besides the data it holds: its own code
	// and stacks, what x/crypto/ssh has under way, and garbage.
	besidesData = 40 << 20

	// ofName is what a name takes that the cache and the kernel know: measured with
	// find and ls -lR on 200,000 names.
	ofName = 400

	keepMemoryEvery = 5 * time.Second

	// spareMemory is how much an idle mount may have of the machine for nothing.
	spareMemory = 16 << 20
)

// limitMemory bounds the heap, and lets it grow slowly: x/crypto/ssh copies each
// packet into fresh memory. A read of 1 GiB costs the same 1.7 s of CPU with GOGC
// at 25, 60 and 150, and takes 130, 170 and 250 MB at its peak.
func limitMemory(cacheMemory int64) {
	if limitsMemory() {
		debug.SetGCPercent(60)
		debug.SetMemoryLimit(first(cacheMemory, defaultCacheMemory) + besidesData)
	}
	// Secrets typed by the user are in memory: no core dump of them.
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) // lowering is always allowed
}

// limitsMemory reports whether the user leaves that to us.
func limitsMemory() bool { return getenv("GOGC") == "" && getenv("GOMEMLIMIT") == "" }

// keepMemory lets the heap grow by what names take, and gives memory back when the
// mount has come to rest: the garbage collector alone would do so minutes later.
func (r *running) keepMemory() {
	if !limitsMemory() {
		return
	}
	tick := time.NewTicker(keepMemoryEvery)
	defer tick.Stop()
	var before int64
	gaveBack := false
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		cached, kernel := r.cache.Stats(), r.fs.Stats()
		names := ofName * (cached.Entries + int64(kernel.Nodes))
		debug.SetMemoryLimit(r.m.cacheMemory() + besidesData + names)
		done := cached.Hits + cached.Misses + kernel.BytesRead + kernel.BytesWritten
		atRest := done == before
		before = done
		if !atRest {
			gaveBack = false
		} else if !gaveBack && heap() > cached.Bytes+names+spareMemory {
			debug.FreeOSMemory()
			gaveBack = true
		}
	}
}

// heap is what the heap has of the machine's memory, garbage included.
func heap() (n int64) {
	sample := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(sample)
	for _, s := range sample {
		n += int64(s.Value.Uint64())
	}
	return n
}
