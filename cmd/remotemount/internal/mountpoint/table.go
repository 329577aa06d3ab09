package mountpoint

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// An Entry is one line of the mount table.
type Entry struct {
	Major, Minor uint32 // Minor names the connection in /sys/fs/fuse/connections
	Mountpoint   string
	Type         string // fuse.sshfs
	Source       string
}

// FUSE reports whether a FUSE process is behind it.
func (e Entry) FUSE() bool { return e.Type == "fuse" || strings.HasPrefix(e.Type, "fuse.") }

// device is how the kernel names the filesystem.
func (e Entry) device() string { return fmt.Sprintf("%d:%d", e.Major, e.Minor) }

// Mounts reads the mount table. It touches no mountpoint.
func Mounts() ([]Entry, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	entries, err := parse(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return entries, err
}

// parse reads proc(5)'s mountinfo: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 -
// ext3 /dev/root rw". The optional fields before the dash vary in number.
func parse(r io.Reader) ([]Entry, error) {
	var entries []Entry
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		front, back, ok := strings.Cut(lines.Text(), " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 5 || len(b) < 2 {
			return nil, fmt.Errorf("mount table: line %q", lines.Text())
		}
		e := Entry{Mountpoint: unescape(f[4]), Type: b[0], Source: unescape(b[1])}
		if _, err := fmt.Sscanf(f[2], "%d:%d", &e.Major, &e.Minor); err != nil {
			return nil, fmt.Errorf("mount table: device %q", f[2])
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

// unescape undoes the kernel's \040 for blanks, tabs, line breaks and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// at gives the topmost mount on exactly that path.
func at(entries []Entry, path string) (Entry, bool) {
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Mountpoint == path {
			return entries[i], true
		}
	}
	return Entry{}, false
}

// above gives the FUSE mount that path lies below, if any.
func above(entries []Entry, path string) (Entry, bool) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if e, ok := at(entries, dir); ok {
			return e, e.FUSE()
		}
		if dir == filepath.Dir(dir) {
			return Entry{}, false
		}
	}
}

// maxLinks ends a chain of symbolic links, as the kernel's own bound does.
const maxLinks = 40

// Resolve makes a path absolute and free of symbolic links without touching what
// is mounted on it: the folder above is resolved, and the last name read as a
// link, only where nothing is mounted. A stalled mount would hold up an lstat of
// its root.
func Resolve(path string) (string, error) {
	entries, err := Mounts()
	if err != nil {
		return "", err
	}
	for range maxLinks {
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		if _, ok := at(entries, abs); ok {
			return abs, nil
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if err != nil {
			return "", err
		}
		abs = filepath.Join(dir, filepath.Base(abs))
		if _, ok := at(entries, abs); ok {
			return abs, nil
		}
		target, err := os.Readlink(abs)
		if err != nil { // no link
			_, err = os.Lstat(abs)
			return abs, err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return "", &os.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP}
}

// Covers tells what another FUSE mount shows that lies below the one of a device
// ("MAJOR:MINOR") at the same place: one that came while ours was being made.
func Covers(device, path string) (source string, yes bool) {
	entries, err := Mounts()
	if err != nil {
		return "", false
	}
	for _, e := range entries {
		switch {
		case e.Mountpoint != path || !e.FUSE():
		case e.device() == device:
			return source, yes
		default:
			source, yes = e.Source, true
		}
	}
	return "", false
}
