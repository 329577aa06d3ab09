// Package config keeps named remotes on disk: one TOML file each, readable by
// its owner alone, in $XDG_CONFIG_HOME/remotemount/remotes (or under ~/.config).
//
// A file a remote makes adding, editing and removing plain: a file appears whole
// (written beside and renamed or linked into place), two programs adding at the
// same time do not lose each other's work, and a broken file breaks one remote.
//
// Nothing secret is kept: a password comes from a file, a program, or the
// desktop's keyring that a remote may name.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A Store is the folder of named remotes.
type Store struct{ dir string }

// Open gives the store of the user whose environment getenv reads. Nothing is
// made on disk before the first Add.
func Open(getenv func(string) string) (*Store, error) {
	base, err := Base(getenv)
	if err != nil {
		return nil, err
	}
	return &Store{dir: filepath.Join(base, "remotemount", "remotes")}, nil
}

// Base is the user's folder for the settings of programs, by the XDG specification.
func Base(getenv func(string) string) (string, error) {
	if base := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(base) { // a relative one is ignored
		return base, nil
	}
	home := getenv("HOME")
	if home == "" {
		return "", errors.New("neither XDG_CONFIG_HOME nor HOME is set")
	}
	return filepath.Join(home, ".config"), nil
}

// Dir is where the files are.
func (s *Store) Dir() string { return s.dir }

// KeyDir is where keys lie that were made for, or given to, a named remote.
func (s *Store) KeyDir() string { return filepath.Join(filepath.Dir(s.dir), "keys") }

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

// CheckName says whether a remote may be called so.
func CheckName(name string) error {
	if !nameForm.MatchString(name) || strings.Contains(name, "..") {
		return fmt.Errorf("%q cannot be the name of a remote: up to 64 letters, digits, dots, dashes and underscores", name)
	}
	return nil
}

func (s *Store) file(name string) string { return filepath.Join(s.dir, name+".toml") }

// Has reports whether a remote of that name was added.
func (s *Store) Has(name string) bool {
	if CheckName(name) != nil {
		return false
	}
	_, err := os.Stat(s.file(name))
	return err == nil
}

// Get reads a remote; fs.ErrNotExist when there is none.
func (s *Store) Get(name string) (Remote, error) {
	if err := CheckName(name); err != nil {
		return Remote{}, err
	}
	text, err := os.ReadFile(s.file(name))
	if err != nil {
		return Remote{}, err
	}
	var r Remote
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&r); err != nil {
		return Remote{}, fmt.Errorf("%s: %w", s.file(name), explain(err))
	}
	if err := r.Check(); err != nil {
		return Remote{}, fmt.Errorf("%s: %w", s.file(name), err)
	}
	return r, nil
}

// explain puts the library's error about unknown settings into one line.
func explain(err error) error {
	var strict *toml.StrictMissingError
	if !errors.As(err, &strict) || len(strict.Errors) == 0 {
		return err
	}
	line, _ := strict.Errors[0].Position()
	return fmt.Errorf("line %d: unknown setting %q", line, strings.Join(strict.Errors[0].Key(), "."))
}

// Add keeps a new remote; fs.ErrExist when the name is taken.
func (s *Store) Add(name string, r Remote) error { return s.write(name, r, os.Link) }

// Replace keeps a remote over what was there.
func (s *Store) Replace(name string, r Remote) error { return s.write(name, r, os.Rename) }

func (s *Store) write(name string, r Remote, place func(from, to string) error) error {
	if err := errors.Join(CheckName(name), r.Check()); err != nil {
		return err
	}
	text, err := toml.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = place(f.Name(), s.file(name))
	}
	if rm := os.Remove(f.Name()); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

// Remove forgets a remote; fs.ErrNotExist when there is none.
func (s *Store) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return os.Remove(s.file(name))
}

// Names lists the remotes in order.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".toml"); ok && CheckName(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
