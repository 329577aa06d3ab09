package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// clockTicks is USER_HZ, which is 100 on every architecture Go runs on.
const clockTicks = 100

// tree is a process and what descends from it: sshfs has an ssh beside it.
func tree(pid int) []int {
	children, err := lab.Descendants(pid)
	if err != nil {
		return []int{pid}
	}
	return append(children, pid)
}

// cpu adds up the time of a process tree, in seconds, with that of children
// that have ended.
func cpu(pid int) float64 {
	var ticks uint64
	for _, p := range tree(pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue // ended
		}
		// utime, stime, cutime and cstime are fields 14 to 17 of proc(5); 3 is the
		// first behind the name.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, f := range fields[11:15] {
			if n, err := strconv.ParseUint(f, 10, 64); err == nil {
				ticks += n
			}
		}
	}
	return float64(ticks) / clockTicks
}

// peak adds up the most memory that each process of a tree has had, in MB.
func peak(pid int) float64 {
	var kb uint64
	for _, p := range tree(pid) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		if f := strings.Fields(rest); len(f) > 0 {
			if n, err := strconv.ParseUint(f[0], 10, 64); err == nil {
				kb += n
			}
		}
	}
	return float64(kb) / 1000 * 1.024
}

// watchPeak looks from time to time how much memory a tree has had, as long as it
// lives; what it gives ends that and tells.
func watchPeak(pid int) (highest func() float64) {
	stop, most := make(chan struct{}), make(chan float64)
	go func() {
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		found := peak(pid)
		for {
			select {
			case <-again.C:
				found = max(found, peak(pid))
			case <-stop:
				most <- found
				return
			}
		}
	}()
	return func() float64 {
		close(stop)
		return <-most
	}
}
