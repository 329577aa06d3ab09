package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// lockFile opens a file that several processes change, and locks it. Another
// process may have replaced it by rename between open and lock (ssh-keygen -R,
// rewriteFile): then the lock is on a file nobody reads any more, and it is
// opened again. Closing the file gives the lock back.
func lockFile(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		here, err1 := os.Stat(path)
		ours, err2 := f.Stat()
		if err1 == nil && err2 == nil && os.SameFile(here, ours) {
			return f, nil
		}
		if err := errors.Join(err2, f.Close()); err != nil {
			return nil, err
		}
		if err1 != nil && !errors.Is(err1, fs.ErrNotExist) {
			return nil, err1
		}
	}
}

// realPath follows symbolic links, so that replacing a file by rename keeps the
// link a person made in its place.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// errNotKept is for a file that holds nothing, as /dev/null does.
var errNotKept = errors.New("it is no regular file, and keeps nothing")

// updateLines changes a file of lines under its lock. change gets the whole
// content and returns what is to be there. Pure additions are appended in one
// write; anything else is written beside and renamed over, so that a reader
// never sees half a file. A file in which nothing is to change is only read, and
// not made: it may be one that we cannot write to.
func updateLines(path string, change func(old []byte) ([]byte, error)) (err error) {
	path = realPath(path)
	if old, err := os.ReadFile(path); err == nil || errors.Is(err, fs.ErrNotExist) {
		if content, err := change(old); err != nil || bytes.Equal(content, old) {
			return err
		}
	}
	f, err := lockFile(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, &fs.PathError{Op: "write", Path: path, Err: errNotKept})
	}
	old, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	content, err := change(old)
	if err != nil || bytes.Equal(content, old) {
		return err
	}
	if added, ok := bytes.CutPrefix(content, old); ok {
		if _, err := f.Write(added); err != nil {
			return err
		}
		return f.Sync()
	}
	return replaceFile(path, content, f)
}

func replaceFile(path string, content []byte, old *os.File) (err error) {
	info, err := old.Stat()
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// appendLine is old with one more line, on a line of its own even when the last
// one was left unfinished.
func appendLine(old []byte, line string) []byte {
	out := bytes.Clone(old)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	return append(out, line+"\n"...)
}

// dropLines is old without the lines whose number is in gone.
func dropLines(old []byte, gone map[int]bool) []byte {
	var out []byte
	n := 0
	for line := range bytes.Lines(old) {
		n++
		if !gone[n] {
			out = append(out, line...)
		}
	}
	return out
}

// withoutName is a known_hosts file in which the given lines no longer speak of
// the host.
func withoutName(old []byte, lines []knownLine, name string) []byte {
	hosts := map[int]string{}
	for _, l := range lines {
		hosts[l.line] = l.hosts
	}
	var out []byte
	n := 0
	for line := range bytes.Lines(old) {
		n++
		was, ok := hosts[n]
		if !ok {
			out = append(out, line...)
			continue
		}
		if rest := patternsWithout(was, name); rest != "" {
			out = append(out, bytes.Replace(line, []byte(was), []byte(rest), 1)...)
		}
	}
	return out
}

// patternsWithout takes a host out of a list of patterns: its own name is
// removed, and a wildcard gets an exception. Empty means that no host is left.
func patternsWithout(patterns, name string) string {
	if strings.HasPrefix(patterns, "|") {
		return ""
	}
	var rest []string
	positive := false
	for pattern := range strings.SplitSeq(patterns, ",") {
		if strings.EqualFold(pattern, name) {
			continue
		}
		rest = append(rest, pattern)
		positive = positive || !strings.HasPrefix(pattern, "!")
	}
	if !positive {
		return ""
	}
	left := knownLine{hosts: strings.Join(rest, ",")}
	if left.matches(name) {
		left.hosts += ",!" + name
	}
	return left.hosts
}

// knownHostsLine is a line for a key, with the host hashed if wanted.
func knownHostsLine(name string, key ssh.PublicKey, hashed bool) string {
	if hashed {
		salt := make([]byte, 20)
		_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
		name = "|1|" + base64.StdEncoding.EncodeToString(salt) +
			"|" + base64.StdEncoding.EncodeToString(hashHost(salt, name))
	}
	return name + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}
