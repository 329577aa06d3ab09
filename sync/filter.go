package sync

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A Filter chooses names by patterns with the meaning of gitignore(5): the last
// pattern that matches decides; a pattern with a slash before its end is
// anchored at the root of the sync, another matches at any depth; one that ends
// in a slash matches folders only; nothing inside an excluded folder is looked
// at. "!" before a pattern includes again, which is what Include does.
//
// A Filter of inclusions alone excludes every file they do not match, and folders
// are made only where such a file lies.
type Filter struct {
	rules   []rule
	exclude bool // there is an excluding rule
}

type rule struct {
	include bool
	folder  bool // matches folders only
	glob    string
}

// Exclude adds a pattern of gitignore's kind. Blank lines and comments add
// nothing.
func (f *Filter) Exclude(pattern string) error { return f.add(pattern, false) }

// Include adds a pattern that lets names through again.
func (f *Filter) Include(pattern string) error { return f.add(pattern, true) }

// ExcludeFrom adds the patterns of a file, one a line.
func (f *Filter) ExcludeFrom(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if err := f.Exclude(strings.TrimSuffix(lines.Text(), "\r")); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

func (f *Filter) add(pattern string, include bool) error {
	p := trimSpaces(pattern)
	if p == "" || p[0] == '#' {
		return nil
	}
	if p[0] == '!' {
		include, p = !include, p[1:]
	}
	r, err := parseRule(p)
	if err != nil {
		return fmt.Errorf("%w: pattern %q: %w", ErrUsage, pattern, err)
	}
	r.include = include
	f.rules = append(f.rules, r)
	f.exclude = f.exclude || !include
	return nil
}

func parseRule(p string) (rule, error) {
	var r rule
	if r.folder = strings.HasSuffix(p, "/"); r.folder {
		p = strings.TrimRight(p, "/")
	}
	anchored := strings.Contains(p, "/")
	p = strings.TrimPrefix(p, "/")
	if p == "" {
		return r, doublestar.ErrBadPattern
	}
	if !anchored {
		p = "**/" + p
	}
	if strings.HasSuffix(p, "/**") { // all that is inside, not the folder itself
		p += "/*"
	}
	r.glob = literalBraces(p)
	if !doublestar.ValidatePattern(r.glob) {
		return r, doublestar.ErrBadPattern
	}
	return r, nil
}

// literalBraces takes from '{' the meaning that gitignore does not give it.
func literalBraces(p string) string {
	var b strings.Builder
	escaped := false
	for _, c := range []byte(p) {
		if !escaped && (c == '{' || c == '}') {
			b.WriteByte('\\')
		}
		escaped = c == '\\' && !escaped
		b.WriteByte(c)
	}
	return b.String()
}

// trimSpaces removes trailing spaces that are not escaped.
func trimSpaces(p string) string {
	for strings.HasSuffix(p, " ") && !strings.HasSuffix(p, `\ `) {
		p = p[:len(p)-1]
	}
	return p
}

// Keeps reports whether a name takes part in the sync. Its folders are known to.
func (f *Filter) Keeps(path string, folder bool) bool {
	if f == nil {
		return true
	}
	for i := len(f.rules) - 1; i >= 0; i-- {
		if f.rules[i].matches(path, folder) {
			return f.rules[i].include
		}
	}
	return folder || !f.onlyIncludes()
}

// onlyIncludes reports whether what no rule names is excluded.
func (f *Filter) onlyIncludes() bool {
	return f != nil && len(f.rules) > 0 && !f.exclude
}

func (r rule) matches(path string, folder bool) bool {
	if r.folder && !folder {
		return false
	}
	ok, err := doublestar.Match(r.glob, path)
	return err == nil && ok
}
