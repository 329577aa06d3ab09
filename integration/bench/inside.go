package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
)

// insideArg makes this program do a work that the shell cannot, as the user and
// away from the measuring process.
const insideArg = "inside"

// inside knows one such work: random FILE THREADS COUNT.
func inside(args []string) error {
	if len(args) != 4 || args[0] != "random" {
		return fmt.Errorf("inside %q", args)
	}
	threads, err1 := strconv.Atoi(args[2])
	count, err2 := strconv.Atoi(args[3])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return randomReads(args[1], threads, count)
}

// randomReads reads blocks of 4 KiB at places that are the same in every run.
func randomReads(path string, threads, count int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	var all sync.WaitGroup
	results := make([]error, threads)
	for i := range threads {
		all.Go(func() {
			places := rand.New(rand.NewPCG(1, uint64(i)))
			block := make([]byte, 4096)
			for range count / threads {
				at := places.Int64N(info.Size()/4096) * 4096
				if _, err := f.ReadAt(block, at); err != nil {
					results[i] = err
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(append(results, f.Close())...)
}
