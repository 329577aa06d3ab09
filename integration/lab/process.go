package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// descendants finds the children of a process, theirs, and so on.
func descendants(pid int) (map[int]string, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	type process struct {
		parent int
		name   string
	}
	all := map[int]process{}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		// pid (name) state ppid ...: the name may have blanks and parentheses.
		id, rest, _ := strings.Cut(string(stat), " (")
		name, rest, _ := cutLast(rest, ") ")
		var p process
		p.name = name
		if _, err := fmt.Sscanf(rest, "%s %d", new(string), &p.parent); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if n, err := strconv.Atoi(id); err == nil {
			all[n] = p
		}
	}
	found := map[int]string{}
	for id := range all {
		for up := all[id].parent; up != 0; up = all[up].parent {
			if up == pid {
				found[id] = all[id].name
				break
			}
		}
	}
	return found, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
