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

// Descendants finds the children of a process, theirs, and so on.
func Descendants(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parents := map[int]int{}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		id, parent, err := parseStat(string(stat))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		parents[id] = parent
	}
	var found []int
	for id := range parents {
		for up := parents[id]; up != 0; up = parents[up] {
			if up == pid {
				found = append(found, id)
				break
			}
		}
	}
	return found, nil
}

// parseStat reads "pid (name) state ppid ..." of proc(5). The name may have
// blanks and parentheses in it.
func parseStat(stat string) (pid, parent int, err error) {
	id, _, _ := strings.Cut(stat, " ")
	if pid, err = strconv.Atoi(id); err != nil {
		return 0, 0, err
	}
	var state string
	_, err = fmt.Sscan(stat[strings.LastIndexByte(stat, ')')+1:], &state, &parent)
	return pid, parent, err
}
