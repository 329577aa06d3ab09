package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// maxDepth bounds Include, as ssh's; maxFile is far above any file people write.
const (
	maxDepth = 16
	maxFile  = 4 << 20
)

// A reader collects the options of one host.
type reader struct {
	ctx       context.Context
	config    *Config
	host      string // that Host and Match see: as typed, in the second reading the canonical one
	final     bool   // this is the second reading
	wantFinal bool
	unknown   map[string]bool // said once
	ran       map[string]bool // what commands of Match exec answered
	named     *[]Named        // where hosts are collected; nil: they are not
}

// A source is where lines come from.
type source struct {
	file   string
	folder string // that relative names of Include start at
	user   bool   // the user's own files, where ~ has a meaning
	named  bool   // by -F
	depth  int
	never  bool // in a block that does not count: read for its mistakes alone
}

// file reads one file, a block at a time.
func (r *reader) file(path string, s source) error {
	if s.depth > maxDepth {
		return fmt.Errorf("%s: Include goes too deep", path)
	}
	data, err := readTrusted(path, s.named)
	if err != nil {
		return err
	}
	s.file = path
	var block []line
	for i, text := range strings.Split(string(data), "\n") {
		l, err := parseLine(text, i+1)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		if l.keyword == "host" || l.keyword == "match" {
			if err := r.block(block, s); err != nil {
				return err
			}
			block = nil
		}
		if l.keyword != "" {
			block = append(block, l)
		}
	}
	return r.block(block, s)
}

// block reads the lines from one Host or Match to the next.
func (r *reader) block(lines []line, s source) error {
	if len(lines) == 0 {
		return nil
	}
	r.collect(lines, s)
	first := lines[0].keyword
	applies := !s.never && (first == "host" || first == "match" || !r.lacks(lines, s))
	for _, l := range lines {
		var err error
		switch l.keyword {
		case "host":
			applies, err = r.matchHost(l.args)
			applies = applies && !s.never && !r.lacks(lines, s)
		case "match":
			applies, err = r.match(l, s)
			applies = applies && !r.lacks(lines, s)
		case "include":
			inner := s
			inner.never = !applies
			err = r.include(l.args, inner)
		default:
			err = r.option(l, s, applies)
		}
		var at *atLine
		if err != nil && !errors.As(err, &at) {
			err = &atLine{fmt.Errorf("%s:%d: %w", s.file, l.number, err)}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// An atLine is an error that names its file and line already.
type atLine struct{ err error }

func (e *atLine) Error() string { return e.err.Error() }
func (e *atLine) Unwrap() error { return e.err }

// lacks reports whether a block has a keyword that is not known here.
func (r *reader) lacks(lines []line, s source) bool {
	ignore := r.config.Value("ignoreunknown")
	for _, l := range lines {
		if l.keyword == "ignoreunknown" && ignore == "" && len(l.args) > 0 {
			ignore = l.args[0]
		}
		if known(l.keyword) || ignore != "" && matchList(l.keyword, ignore, true) {
			continue
		}
		r.skip(fmt.Sprintf("%s:%d", s.file, l.number), l.keyword)
		return true
	}
	return false
}

// skip says once why a block does not count.
func (r *reader) skip(where, what string) {
	if !r.unknown[where] {
		r.unknown[where] = true
		r.config.query.Log.Warn("a block of ssh_config does not count: it has something that is not known here",
			"at", where, "what", what, "hint", "IgnoreUnknown names what may be passed over")
	}
}

// option keeps the value of a line. It is looked at also where it does not
// count: a mistake is a mistake.
func (r *reader) option(l line, s source, applies bool) error {
	k, ok := keywords()[l.keyword]
	if ok {
		l, ok = r.leaveOut(l, k, s)
	}
	if !ok {
		return nil
	}
	values, err := k.parse(l)
	if err != nil {
		return fmt.Errorf("%s: %w", l.keyword, err)
	}
	if !applies {
		return nil
	}
	if l.keyword == "refuseconnection" && r.named == nil {
		return fmt.Errorf("RefuseConnection: this connection is not to be made: %s", values[0])
	}
	r.set(k.nameOr(l.keyword), k, values)
	return nil
}

// set keeps the first value, or one more of a keyword that adds up.
func (r *reader) set(name string, k keyword, values []string) {
	have := r.config.values
	switch {
	case name == "" || values == nil:
	case name == "proxyjump" && (have["proxycommand"] != nil || have["proxyjump"] != nil):
	case name == "proxycommand" && isJump(have["proxyjump"]):
	case k.adds:
		for _, v := range values {
			have[name] = appendNew(have[name], v)
		}
	case have[name] == nil:
		have[name] = values
	}
}

// isJump: a ProxyJump that was set leaves no room for a ProxyCommand, but "none"
// does.
func isJump(value []string) bool { return value != nil && !strings.EqualFold(value[0], "none") }

func appendNew(list []string, v string) []string {
	for _, have := range list {
		if have == v {
			return list
		}
	}
	return append(list, v)
}

// commandLine reads one option as ssh's -o has it.
func (r *reader) commandLine(text string) error {
	l, err := parseLine(text, 0)
	switch {
	case err != nil:
	case l.keyword == "host" || l.keyword == "match" || l.keyword == "include":
		err = errors.New("it stands in files alone")
	case l.keyword == "":
	case !known(l.keyword):
		err = errors.New("there is no such option of ssh")
	default:
		err = r.option(l, source{user: true}, true)
	}
	if err != nil {
		return fmt.Errorf("option %q: %w", text, err)
	}
	return nil
}

func (r *reader) include(patterns []string, s source) error {
	s.depth++
	s.named = false
	for _, pattern := range patterns {
		if pattern == "" {
			return errors.New("include: a name is empty")
		}
		pattern, err := r.includePath(pattern, s)
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) { // ~name finds nothing, as with glob(3)
			continue
		}
		if err != nil {
			return err
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("include %s: %w", pattern, err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); hidden(file, pattern) || err == nil && info.IsDir() {
				continue
			}
			if err := r.file(file, s); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (r *reader) includePath(pattern string, s source) (string, error) {
	if strings.HasPrefix(pattern, "~") && !s.user {
		return "", fmt.Errorf("include %s: the system's file has no home folder", pattern)
	}
	tokens, err := r.tokens()
	if err == nil {
		pattern, err = Expand(pattern, tokens)
	}
	if err == nil {
		pattern, err = expandEnvironment(pattern)
	}
	if err == nil {
		pattern, err = ExpandHome(pattern, r.config.query.Home)
	}
	if err != nil {
		return "", fmt.Errorf("include %s: %w", pattern, err)
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(s.folder, pattern)
	}
	return filepath.Clean(pattern), nil
}

// hidden reports whether a wildcard found a name that begins with a dot. With glob(3)
// none does: editors leave such files behind.
func hidden(file, pattern string) bool {
	patterns := strings.Split(pattern, "/")
	for i, name := range strings.Split(file, "/") {
		if strings.HasPrefix(name, ".") && i < len(patterns) && !strings.HasPrefix(strings.TrimPrefix(patterns[i], `\`), ".") {
			return true
		}
	}
	return false
}

// readTrusted reads a file that can name programs to run. One that was named by
// -F is the user's own doing, as with ssh; but root does not take other people's.
func readTrusted(path string, named bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is a folder")}
	}
	if err := trust(path, info, named); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxFile:
		return nil, fmt.Errorf("%s: larger than %d MiB, which no configuration is", path, maxFile>>20)
	case bytes.IndexByte(data, 0) >= 0:
		return nil, fmt.Errorf("%s: there is a NUL in it, so it is no configuration", path)
	}
	return data, nil
}
