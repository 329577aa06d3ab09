package options

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// numbers reads a file of sshfs's idmap=file: a name of this machine and the
// number that it has on the server, "name:number", one a line. The table leads
// from the server's numbers to ours.
func numbers(file string, ours func(name string) (*uint32, error)) (map[uint32]uint32, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	// Whoever can write to it makes files theirs.
	if info, err := os.Stat(file); err != nil || info.Mode().IsRegular() && info.Mode().Perm()&0o022 != 0 {
		return nil, errors.Join(err, fmt.Errorf("%s: others can write to it; chmod go-w mends that", file))
	}
	table := map[uint32]uint32{}
	for i, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, theirs, ok := strings.Cut(line, ":")
		number, err := number(strings.TrimSpace(theirs))
		if !ok || err != nil {
			return nil, fmt.Errorf("%s:%d: want name:number", file, i+1)
		}
		local, err := ours(strings.TrimSpace(name))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", file, i+1, name, err)
		}
		table[*number] = *local
	}
	return table, nil
}

// noMap: numbers that no file has are shown as they are (ignore), or files with them
// are refused (error).
func noMap(s *Settings, v string) error {
	if v != "ignore" && v != "error" {
		return fmt.Errorf("ignore or error")
	}
	s.NoMap = v
	return nil
}
