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

// inside knows two such works: random FILE THREADS COUNT SEED, through one descriptor,
// and random-each, through one for each thread.
func inside(args []string) error {
	if len(args) != 5 || args[0] != "random" && args[0] != "random-each" {
		return fmt.Errorf("inside %q", args)
	}
	threads, err1 := strconv.Atoi(args[2])
	count, err2 := strconv.Atoi(args[3])
	seed, err3 := strconv.Atoi(args[4])
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	var all sync.WaitGroup
	results := make([]error, threads)
	read := func(f *os.File, i int) { results[i] = randomReads(f, uint64(seed+i), count/threads) }
	if args[0] == "random" {
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		for i := range threads {
			all.Go(func() { read(f, i) })
		}
		all.Wait()
		return errors.Join(append(results, f.Close())...)
	}
	for i := range threads {
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		all.Go(func() {
			read(f, i)
			results[i] = errors.Join(results[i], f.Close())
		})
	}
	all.Wait()
	return errors.Join(results...)
}

// randomReads reads blocks of 4 KiB at places that are the same in every run.
func randomReads(f *os.File, seed uint64, count int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	places := rand.New(rand.NewPCG(1, seed))
	block := make([]byte, 4096)
	for range count {
		if _, err := f.ReadAt(block, places.Int64N(info.Size()/4096)*4096); err != nil {
			return err
		}
	}
	return nil
}
