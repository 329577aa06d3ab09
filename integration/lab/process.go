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

// A Process is one that runs, with its arguments.
type Process struct {
	PID  int
	Args []string
}

// Processes finds those with the Lab's HOME in their environment.
func (l *Lab) Processes() ([]Process, error) {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !strings.Contains("\x00"+string(env), "\x00HOME="+l.Home+"\x00") {
			continue // ended, or another user's
		}
		dir := filepath.Dir(path)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it may have ended now
		found = append(found, Process{pid, strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")})
	}
	return found, nil
}

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
