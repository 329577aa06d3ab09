package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/serve"
)

// A keyFile is what --authorized-keys names. A regular file is read again when it has
// changed; anything else, a pipe above all, gives its keys only once.
type keyFile struct {
	path string
	log  *slog.Logger
	kept bool // it is no regular file

	mu   sync.Mutex
	keys []ssh.PublicKey // guarded by mu
	as   stamp           // of the file when it was read; guarded by mu
	told stamp           // of the file whose bad lines were told of; guarded by mu
}

// A stamp tells one content of a file from another.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

func stampOf(info fs.FileInfo) stamp {
	st := info.Sys().(*syscall.Stat_t)
	return stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// settled: what is written from now on gives the file another time.
func (s stamp) settled() bool {
	return time.Since(time.Unix(s.ctime.Unix())) > 2*time.Second && time.Since(time.Unix(s.mtime.Unix())) > 2*time.Second
}

// openKeyFile reads the file for the first time, when every line in it must be right.
func openKeyFile(path string, log *slog.Logger) (*keyFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	k := &keyFile{path: path, log: log, kept: !info.Mode().IsRegular()}
	k.keys, err = serve.ParseAuthorizedKeys(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// read gives the keys of the file as it is now.
func (k *keyFile) read() ([]ssh.PublicKey, error) {
	if k.kept {
		return k.keys, nil
	}
	f, err := os.OpenFile(k.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	keys, bad, err := k.from(f)
	if len(bad) > 0 {
		k.log.Warn("lines of the authorized keys are passed over", "file", k.path, "lines", len(bad), "err", bad[0])
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", k.path, err)
	}
	return keys, nil
}

// from reads an open file. bad are the lines that are to be told of.
func (k *keyFile) from(f *os.File) (keys []ssh.PublicKey, bad []error, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("it is a regular file no more")
	}
	now := stampOf(info)
	if now == k.as {
		return k.keys, nil, nil
	}
	keys, bad, err = serve.UsableAuthorizedKeys(f)
	if now == k.told {
		bad = nil
	}
	k.told = now
	if err == nil && now.settled() {
		k.keys, k.as = keys, now
	}
	return keys, bad, err
}
