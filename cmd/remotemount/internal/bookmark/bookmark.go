// Package bookmark puts folders into the list at the side of file managers and of file
// dialogs, and takes them out again: the file gtk-3.0/bookmarks, which GTK 3 and 4 read,
// and with them Nautilus, Thunar, Nemo, Caja and PCManFM.
//
// A line of it is the URI of a folder and, behind a blank, the name under which it
// shows. The file is the user's: what others wrote stays as it is, to the byte, and so do
// its mode, its owner, and a symbolic link to where it really is. It is replaced as a
// whole. Two of us at a time wait for each other; a file manager that writes it at the
// same moment knows nothing of that, and the last one wins.
package bookmark

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
)

// A File is the user's list.
type File struct{ path string }

// Open gives the list of the user whose environment getenv reads. Nothing is made on
// disk before the first Add.
func Open(getenv func(string) string) (*File, error) {
	base, err := config.Base(getenv)
	if err != nil {
		return nil, err
	}
	return &File{filepath.Join(base, "gtk-3.0", "bookmarks")}, nil
}

// CheckName says whether a bookmark may be called so; "" leaves the name to who shows it.
func CheckName(name string) error {
	if strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%q cannot be the name of a bookmark: it has control characters", name)
	}
	return nil
}

// Add puts a folder, of an absolute path, at the end of the list. It gives the line that
// was added, or "" when the list had the folder under whatever name.
func (f *File) Add(folder, name string) (line string, err error) {
	line = "file://" + escape(folder)
	if name != "" {
		line += " " + name
	}
	added := true
	err = f.edit(func(text []byte) []byte {
		if added = !has(text, folder); !added {
			return text
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		return append(text, line+"\n"...)
	})
	if err != nil || !added {
		return "", err
	}
	return line, nil
}

// Remove takes a line away. One that somebody has changed since is theirs, and stays.
func (f *File) Remove(line string) error {
	return f.edit(func(text []byte) []byte {
		for at := 0; at < len(text); {
			end := at + lineLength(text[at:])
			if string(bytes.TrimSuffix(text[at:end], []byte("\n"))) == line {
				return append(bytes.Clone(text[:at]), text[end:]...)
			}
			at = end
		}
		return text
	})
}

// lineLength is that of the first line of text, with its end.
func lineLength(text []byte) int {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		return i + 1
	}
	return len(text)
}

func has(text []byte, folder string) bool {
	for line := range strings.Lines(string(text)) {
		uri, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		escaped, local := strings.CutPrefix(uri, "file://")
		if path, err := url.PathUnescape(escaped); local && err == nil && filepath.Clean(path) == folder {
			return true
		}
	}
	return false
}

// escape is what GLib's g_filename_to_uri does to a path, so that the line is the one a
// file manager would write.
func escape(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.!~*'()/&=:@+$,", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// edit replaces the file by what change makes of its text, if that is another.
func (f *File) edit(change func(text []byte) []byte) (err error) {
	path, err := follow(f.path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if changed := change(bytes.Clone(text)); !bytes.Equal(changed, text) {
		return replace(path, changed)
	}
	return nil
}

// follow goes along symbolic links, to a file that need not be there.
func follow(path string) (string, error) {
	for range 40 {
		to, err := os.Readlink(path)
		switch {
		case errors.Is(err, syscall.EINVAL) || errors.Is(err, fs.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		case !filepath.IsAbs(to):
			to = filepath.Dir(path) + "/" + to // not cleaned: the folder may be a link, too
		}
		path = to
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
}

// lock lets one of us at a time edit what is in a folder.
func lock(dir string) (unlock func() error, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(os.NewSyscallError("flock "+dir, err), d.Close())
	}
	return d.Close, nil
}

// replace writes a file beside path, as the one there is, and renames it.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".bookmarks-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, likeBefore(f, path), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// likeBefore gives f the owner and the mode of what is at path, if anything is.
func likeBefore(f *os.File, path string) error {
	var old, now unix.Stat_t
	if err := unix.Stat(path, &old); err != nil {
		if err == unix.ENOENT {
			return nil
		}
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if err := unix.Fstat(int(f.Fd()), &now); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if old.Uid != now.Uid || old.Gid != now.Gid {
		if err := f.Chown(int(old.Uid), int(old.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(fs.FileMode(old.Mode & 0o777))
}
