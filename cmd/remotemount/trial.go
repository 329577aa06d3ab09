package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
)

// A trial is a change that programs make, tried on the server.
type trial struct {
	what string
	try  func(ctx context.Context, s scratch) error
}

// scratch is a folder of ours on the server, for trials.
type scratch struct {
	remote.Remote
	dir string
}

func (s scratch) at(name string) string { return remote.Join(s.dir, name) }

// write makes a file as programs do, and gives what the server says of it.
func (s scratch) write(ctx context.Context, name, data string) (remote.Attr, error) {
	f, a, err := s.Open(ctx, s.at(name), remote.FlagWrite|remote.FlagCreate|remote.FlagExclusive, 0o600)
	if err != nil {
		return a, err
	}
	_, err = f.WriteAt(ctx, []byte(data), 0)
	return a, errors.Join(err, f.Close(ctx))
}

func (s scratch) read(ctx context.Context, f remote.File) (string, error) {
	buf := make([]byte, 64)
	n, err := f.ReadAt(ctx, buf, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return string(buf[:n]), err
}

var errOtherwise = errors.New("the server says that it worked, and something else came of it")

func was(ok bool) error {
	if ok {
		return nil
	}
	return errOtherwise
}

// trials are in the order in which each finds what it needs.
func trials() []trial {
	return []trial{
		{"a new file for its owner alone", func(ctx context.Context, s scratch) error {
			a, err := s.write(ctx, "file", "one")
			return errors.Join(err, was(err != nil || a.Perm() == 0o600))
		}},
		{"chmod", func(ctx context.Context, s scratch) error {
			a, err := s.SetAttr(ctx, s.at("file"), remote.Change{Fields: remote.SetMode, Mode: 0o640})
			return errors.Join(err, was(err != nil || a.Perm() == 0o640))
		}},
		{"setting times", func(ctx context.Context, s scratch) error {
			const when = 1_000_000_001 // odd: there are filesystems of even seconds
			a, err := s.SetAttr(ctx, s.at("file"), remote.Change{Fields: remote.SetAtime | remote.SetMtime, Atime: when, Mtime: when})
			return errors.Join(err, was(err != nil || a.Mtime == when))
		}},
		{"changing a part of a file", func(ctx context.Context, s scratch) error {
			f, _, err := s.Open(ctx, s.at("file"), remote.FlagRead|remote.FlagWrite, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(ctx, []byte("w"), 1)
			_, flushed := f.Flush(ctx)
			text, read := s.read(ctx, f)
			return errors.Join(err, flushed, read, f.Close(ctx), was(read != nil || text == "owe"))
		}},
		{"renaming over a file", func(ctx context.Context, s scratch) error {
			if _, err := s.write(ctx, "newer", "two"); err != nil {
				return err
			}
			return s.Rename(ctx, s.at("newer"), s.at("file"), false)
		}},
		{"symbolic links", func(ctx context.Context, s scratch) error {
			if _, err := s.Symlink(ctx, "leads/there", s.at("link")); err != nil {
				return err
			}
			to, err := s.ReadLink(ctx, s.at("link"))
			return errors.Join(err, was(err != nil || to == "leads/there"))
		}},
		{"hard links", func(ctx context.Context, s scratch) error {
			_, err := s.Link(ctx, s.at("file"), s.at("hard"))
			return err
		}},
		{"names of 255 bytes", func(ctx context.Context, s scratch) error {
			_, err := s.write(ctx, strings.Repeat("n", 255), "")
			return err
		}},
		{"listing", func(ctx context.Context, s scratch) error {
			return s.ReadDir(ctx, s.dir, func([]remote.Entry) error { return nil })
		}},
	}
}

// scratchParting is how long a scratch folder may take to remove after a signal.
const scratchParting = 10 * time.Second

// tryChanges makes a folder on the server, tries in it what programs do, tells how that
// went, and removes the folder.
func tryChanges(ctx context.Context, r remote.Remote, told func(what string, err error)) (err error) {
	s := scratch{r, ".remotemount-trial-" + strings.ToLower(rand.Text()[:12])}
	if _, err := s.Mkdir(ctx, s.dir, 0o700); err != nil {
		told("making a folder", err)
		return nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), scratchParting)
		defer cancel()
		if rerr := s.remove(ctx); rerr != nil {
			err = errors.Join(err, fmt.Errorf("the folder %s could not be removed from the server: %w", s.dir, rerr))
		}
	}()
	for _, t := range trials() {
		err := t.try(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		told(t.what, err)
		if errors.Is(err, syscall.ETIMEDOUT) {
			return err
		}
	}
	return nil
}

func (s scratch) remove(ctx context.Context) error {
	var names []string
	err := s.ReadDir(ctx, s.dir, func(entries []remote.Entry) error {
		for _, e := range entries {
			names = append(names, e.Name)
		}
		return nil
	})
	for _, name := range names {
		err = errors.Join(err, s.Remove(ctx, s.at(name)))
	}
	return errors.Join(err, s.Rmdir(ctx, s.dir))
}

// showChanges says what came of trials, if they were asked for, and what was learned of
// the server by them and before.
func showChanges(ctx context.Context, p *pool.Pool, write bool, say func(mark, step, format string, args ...any)) error {
	var err error
	if write {
		var works []string
		err = tryChanges(ctx, p, func(what string, err error) {
			if err == nil {
				works = append(works, what)
				return
			}
			say("warn", "tried", "%s: %v", what, errorText(err))
		})
		if len(works) > 0 {
			say("ok", "tried", "works: %s", strings.Join(works, ", "))
		}
	} else {
		say("-", "changes", "not tried; --write tries them in a folder on the server, which it removes again")
	}
	for _, k := range p.Status().Quirks {
		say("warn", "server", "%s", k)
	}
	return err
}

// errorText is an error without the name of a folder that is gone when it is read.
func errorText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
