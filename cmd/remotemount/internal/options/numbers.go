package options

import (
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

// noMap: numbers that no file has are shown as they are, which is "ignore". With
// "error" sshfs fails for such files; here they are left as well, since a folder
// with one of them could not be listed.
func noMap(_ *Settings, v string) error {
	if v != "ignore" && v != "error" {
		return fmt.Errorf("ignore or error")
	}
	return nil
}
