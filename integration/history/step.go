package history

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Step is one thing that a process does. Which fields count depends on Op; see
// syntax.
type Step struct {
	Process  int // 0 is A
	Op       string
	FD       int    // a place in the process's own table of descriptors
	Map      int    // a place in its table of mappings
	Name     string // of a file, relative to the history's folder
	Name2    string // the other one of a rename and its like
	Off, Len int64
	To       int    // of a copy: the descriptor it goes to
	At       int64  // and the place there
	Seed     uint64 // of the bytes written
	Flags    int    // of open, or from where to seek
	Mode     uint32 // of chmod
}

// Places in the tables of a process.
const places = 4

// syntax has for every operation the fields that follow it in a script.
var syntax = map[string][]string{
	"open":     {"fd", "name", "flags"},
	"close":    {"fd"},
	"flush":    {"fd"}, // closes a duplicate, which is what FUSE calls a flush
	"fsync":    {"fd"},
	"read":     {"fd", "len"},
	"write":    {"fd", "len", "seed"},
	"pread":    {"fd", "off", "len"},
	"pwrite":   {"fd", "off", "len", "seed"},
	"seek":     {"fd", "off", "flags"},
	"fstat":    {"fd"},
	"stat":     {"name"},
	"truncate": {"name", "len"},
	"resize":   {"fd", "len"},                    // ftruncate
	"copy":     {"fd", "off", "to", "at", "len"}, // copy_file_range
	"mmap":     {"map", "fd", "off", "len", "flags"},
	"load":     {"map", "off", "len"},
	"store":    {"map", "off", "len", "seed"}, // cut off at the end of the file
	"msync":    {"map"},
	"munmap":   {"map"},
	"pause":    {"len"}, // milliseconds

	"rename": {"name", "name2"},
	"link":   {"name", "name2"},
	"unlink": {"name"},
	"mkdir":  {"name"},
	"rmdir":  {"name"},
	"list":   {"name"},
	"lstat":  {"name"}, // all that SFTP tells of a file, and how many links it has
	"look":   {"fd"},   // the same by descriptor
	"chmod":  {"name", "mode"},
	"fchmod": {"fd", "mode"},
	"utime":  {"name", "len"}, // the second it was changed in
	"futime": {"fd", "len"},
	"same":   {"name", "name2"}, // whether they are one file
	"fsame":  {"fd", "name"},

	// Done on the server itself, as another machine would.
	"there-make":   {"name", "len", "seed"},
	"there-append": {"name", "len", "seed"},
	"there-same":   {"name"}, // compares
}

// flagNames are the words for Flags.
var flagNames = []struct {
	name string
	flag int
}{
	{"rdonly", unix.O_RDONLY}, {"wronly", unix.O_WRONLY}, {"rdwr", unix.O_RDWR},
	{"create", unix.O_CREAT}, {"excl", unix.O_EXCL}, {"trunc", unix.O_TRUNC}, {"append", unix.O_APPEND},
}

// String is the step as a line of a script: the process, the operation, its
// fields.
func (s Step) String() string {
	words := []string{string(rune('A' + s.Process)), s.Op}
	for _, field := range syntax[s.Op] {
		words = append(words, s.word(field))
	}
	return strings.Join(words, " ")
}

func (s *Step) word(field string) string {
	switch field {
	case "fd":
		return strconv.Itoa(s.FD)
	case "map":
		return strconv.Itoa(s.Map)
	case "to":
		return strconv.Itoa(s.To)
	case "name":
		return s.Name
	case "name2":
		return s.Name2
	case "mode":
		return fmt.Sprintf("%#o", s.Mode)
	case "at":
		return strconv.FormatInt(s.At, 10)
	case "off":
		return strconv.FormatInt(s.Off, 10)
	case "len":
		return strconv.FormatInt(s.Len, 10)
	case "seed":
		return strconv.FormatUint(s.Seed, 10)
	}
	return formatFlags(s.Flags)
}

func formatFlags(flags int) string {
	var words []string
	for _, f := range flagNames {
		access := f.flag <= unix.O_ACCMODE
		if access && flags&unix.O_ACCMODE == f.flag || !access && flags&f.flag != 0 {
			words = append(words, f.name)
		}
	}
	return strings.Join(words, ",")
}

// Format writes steps as a script.
func Format(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(s.String() + "\n")
	}
	return b.String()
}

// Parse reads a script: a step a line, blank lines and what follows a # ignored.
func Parse(script string) ([]Step, error) {
	var steps []Step
	for i, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func parseStep(line string) (Step, error) {
	words := strings.Fields(line)
	if len(words) < 2 || len(words[0]) != 1 || words[0][0] < 'A' || words[0][0] > 'Z' {
		return Step{}, fmt.Errorf("%q does not begin with a process and an operation", line)
	}
	s := Step{Process: int(words[0][0] - 'A'), Op: words[1]}
	fields, known := syntax[s.Op]
	if !known {
		return Step{}, fmt.Errorf("no operation %q", s.Op)
	}
	if words = words[2:]; len(words) != len(fields) {
		return Step{}, fmt.Errorf("%s has %d fields (%s), not %d", s.Op, len(fields), strings.Join(fields, " "), len(words))
	}
	for i, field := range fields {
		if err := s.set(field, words[i]); err != nil {
			return Step{}, fmt.Errorf("%s: %s %q: %w", s.Op, field, words[i], err)
		}
	}
	return s, nil
}

func (s *Step) set(field, word string) (err error) {
	switch field {
	case "fd":
		s.FD, err = parsePlace(word)
	case "map":
		s.Map, err = parsePlace(word)
	case "to":
		s.To, err = parsePlace(word)
	case "name":
		s.Name = word
	case "name2":
		s.Name2 = word
	case "mode":
		var mode uint64
		mode, err = strconv.ParseUint(word, 0, 12)
		s.Mode = uint32(mode)
	case "at":
		s.At, err = strconv.ParseInt(word, 10, 64)
	case "off":
		s.Off, err = strconv.ParseInt(word, 10, 64)
	case "len":
		s.Len, err = strconv.ParseInt(word, 10, 64)
	case "seed":
		s.Seed, err = strconv.ParseUint(word, 10, 32)
	default:
		s.Flags, err = parseFlags(word)
	}
	return err
}

func parsePlace(word string) (int, error) {
	n, err := strconv.Atoi(word)
	if err == nil && (n < 0 || n >= places) {
		err = fmt.Errorf("not one of the places 0 to %d", places-1)
	}
	return n, err
}

func parseFlags(text string) (int, error) {
	flags := 0
next:
	for _, word := range strings.Split(text, ",") {
		for _, f := range flagNames {
			if f.name == word {
				flags |= f.flag
				continue next
			}
		}
		return 0, errors.New("no such flag")
	}
	return flags, nil
}
