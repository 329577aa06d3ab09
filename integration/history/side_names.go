package history

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// doNames does the steps about names and attributes.
func (s *side) doNames(step Step) outcome {
	fd, name, name2 := s.fds[step.FD], s.path(step.Name), s.path(step.Name2)
	switch step.Op {
	case "rename":
		return outcome{err: unix.Rename(name, name2)}
	case "link":
		return outcome{err: unix.Link(name, name2)}
	case "unlink":
		return outcome{err: unix.Unlink(name)}
	case "mkdir":
		return outcome{err: unix.Mkdir(name, 0o755)}
	case "rmdir":
		return outcome{err: unix.Rmdir(name)}
	case "list":
		return listed(name)
	case "lstat":
		var st unix.Stat_t
		return facts(&st, unix.Lstat(name, &st))
	case "look":
		var st unix.Stat_t
		return facts(&st, unix.Fstat(fd, &st))
	case "chmod":
		return outcome{err: unix.Chmod(name, step.Mode)}
	case "fchmod":
		return outcome{err: unix.Fchmod(fd, step.Mode)}
	case "utime":
		return outcome{err: unix.UtimesNanoAt(unix.AT_FDCWD, name, times(step.Len), 0)}
	case "futime":
		return outcome{err: futimens(fd, times(step.Len))}
	case "same":
		var a, b unix.Stat_t
		return same(&a, &b, first(unix.Lstat(name, &a), unix.Lstat(name2, &b)))
	case "fsame":
		var a, b unix.Stat_t
		return same(&a, &b, first(unix.Fstat(fd, &a), unix.Lstat(name, &b)))
	}
	return outcome{err: unix.ENOSYS}
}

func times(second int64) []unix.Timespec {
	return []unix.Timespec{{Sec: second}, {Sec: second}}
}

// futimens is futimens(3). That of package unix goes by /proc and another path.
func futimens(fd int, t []unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&t[0])), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func same(a, b *unix.Stat_t, err error) outcome {
	if err != nil {
		return outcome{err: err}
	}
	return outcome{text: fmt.Sprint(a.Ino == b.Ino)}
}

// longAgo is a second before which a time must have been set, and did not come by
// a change: those of changes are not compared, as the server makes them, later and
// in whole seconds.
const longAgo = 1_500_000_000

// facts are the attributes that can be compared. A folder has its size and its
// links from its filesystem.
func facts(st *unix.Stat_t, err error) outcome {
	if err != nil {
		return outcome{err: err}
	}
	changed := "now"
	if st.Mtim.Sec < longAgo {
		changed = fmt.Sprint(st.Mtim.Sec)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return outcome{text: fmt.Sprintf("folder, mode %#o", st.Mode&0o7777)}
	}
	return outcome{text: fmt.Sprintf("mode %#o, %d bytes, %d links, changed %s", st.Mode, st.Size, st.Nlink, changed)}
}

// listed are the names of a folder and their types.
func listed(dir string) outcome {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return outcome{err: cause(err)}
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	sort.Strings(names)
	return outcome{text: strings.Join(names, " ")}
}

func cause(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}
