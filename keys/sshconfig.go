package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// The format is ssh_config(5)'s. Of Host and Match, only Host chooses here: a
// Match block is skipped as a whole, since what it tests (a command, a network,
// the canonical name) is not ours to run.

// An sshOptions is what the files say of one host: for each keyword, in lower
// case, the arguments of each line in order of appearance. The first line
// counts, except for keywords that add up.
type sshOptions map[string][][]string

// first gives the arguments of the line that counts.
func (o sshOptions) first(keyword string) []string {
	if lines := o[keyword]; len(lines) > 0 {
		return lines[0]
	}
	return nil
}

// value gives the one argument of the line that counts, or "".
func (o sshOptions) value(keyword string) string {
	if args := o.first(keyword); len(args) > 0 {
		return args[0]
	}
	return ""
}

func (o sshOptions) yes(keyword string) bool {
	v := strings.ToLower(o.value(keyword))
	return v == "yes" || v == "true"
}

// maxInclude bounds the depth of Include, as ssh's.
const maxInclude = 16

// An sshReader collects the options for one host.
type sshReader struct {
	host    string
	home    string
	options sshOptions
	log     *slog.Logger
}

// readSSHConfig reads the files for a host as it was typed. A missing file is
// empty, unless it was asked for by name.
func readSSHConfig(config, host, home string, log *slog.Logger) (sshOptions, error) {
	r := &sshReader{host: strings.ToLower(host), home: home, options: sshOptions{}, log: log}
	if config == "none" {
		return r.options, nil
	}
	if config != "" {
		return r.options, r.file(expandHome(config, home), filepath.Join(home, ".ssh"), 0)
	}
	for _, file := range []string{filepath.Join(home, ".ssh/config"), "/etc/ssh/ssh_config"} {
		if err := r.file(file, filepath.Dir(file), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return r.options, nil
}

func (r *sshReader) file(path, folder string, depth int) error {
	if depth > maxInclude {
		return fmt.Errorf("%s: Include goes too deep", path)
	}
	data, err := readTrusted(path)
	if err != nil {
		return err
	}
	applies := true
	for i, text := range strings.Split(string(data), "\n") {
		keyword, args, err := parseConfigLine(text)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		switch keyword {
		case "":
		case "host":
			applies = matchHostPatterns(args, r.host)
		case "match":
			applies = len(args) == 1 && strings.EqualFold(args[0], "all")
			if !applies {
				r.log.Debug("a Match block of ssh_config is ignored", "file", path, "line", i+1)
			}
		case "include":
			if applies {
				if err := r.include(args, folder, depth); err != nil {
					return err
				}
			}
		default:
			if applies {
				r.option(keyword, args, path, i+1)
			}
		}
	}
	return nil
}

func (r *sshReader) option(keyword string, args []string, path string, line int) {
	if len(args) == 0 {
		r.log.Debug("an option of ssh_config has no value", "option", keyword, "file", path, "line", line)
		return
	}
	if !usedOptions[keyword] {
		r.log.Debug("an option of ssh_config is ignored", "option", keyword, "file", path, "line", line)
		return
	}
	r.options[keyword] = append(r.options[keyword], args)
}

func (r *sshReader) include(patterns []string, folder string, depth int) error {
	for _, pattern := range patterns {
		pattern = expandHome(pattern, r.home)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(folder, pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return fmt.Errorf("include %s: %w", pattern, err)
		}
		for _, file := range files {
			if err := r.file(file, folder, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// readTrusted reads a configuration file, and refuses one that others can
// write: it can name programs to run.
func readTrusted(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s: others can write to this file (mode %04o), which ssh does not accept either", path, info.Mode().Perm())
	}
	return os.ReadFile(path)
}

// parseConfigLine splits "Keyword arg arg", "Keyword=arg" and quoted arguments.
// A comment or an empty line gives no keyword.
func parseConfigLine(text string) (keyword string, args []string, err error) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return "", nil, nil
	}
	end := strings.IndexAny(text, " \t=")
	if end < 0 {
		return strings.ToLower(text), nil, nil
	}
	keyword = strings.ToLower(text[:end])
	rest := strings.TrimLeft(text[end:], " \t")
	rest = strings.TrimPrefix(rest, "=")
	if keyword == "proxycommand" {
		return keyword, []string{strings.TrimSpace(rest)}, nil
	}
	args, err = splitArguments(rest)
	return keyword, args, err
}

func splitArguments(s string) ([]string, error) {
	var args []string
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] == '#' {
			return args, nil
		}
		if s[0] == '"' {
			end := strings.IndexByte(s[1:], '"')
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			args, s = append(args, s[1:1+end]), s[end+2:]
			continue
		}
		end := strings.IndexAny(s, " \t")
		if end < 0 {
			end = len(s)
		}
		args, s = append(args, s[:end]), s[end:]
	}
}

// matchHostPatterns is ssh's: one negated match takes the host out.
func matchHostPatterns(patterns []string, host string) bool {
	found := false
	for _, p := range patterns {
		negated := strings.HasPrefix(p, "!")
		if !matchWildcard(strings.ToLower(strings.TrimPrefix(p, "!")), host) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}
