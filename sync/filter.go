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
		line := strings.TrimSuffix(lines.Text(), "\r")
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // the mark that some editors begin with
		}
		if err := f.Exclude(line); err != nil {
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
	r.glob = brackets(literalBraces(p))
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

// classes are what a [:name:] in a bracket stands for.
var classes = map[string]string{
	"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": " \t", "cntrl": "\x00-\x1f\x7f",
	"digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
	"punct": "!-,./:-@\\[-`{-~\\-", "space": " \t-\r", "upper": "A-Z", "xdigit": "0-9A-Fa-f",
}

// brackets writes bracket expressions as doublestar reads them: with classes by name
// spelled out, and with a ] that stands first as a member.
func brackets(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '\\':
			b.WriteByte(p[i])
			if i++; i < len(p) {
				b.WriteByte(p[i])
			}
		case '[':
			text, n := bracket(p[i:])
			b.WriteString(text)
			i += n - 1
		default:
			b.WriteByte(p[i])
		}
	}
	return b.String()
}

// bracket reads the expression that p begins with, and tells its length. One that does
// not end is left as it is, and refused.
func bracket(p string) (text string, n int) {
	var b strings.Builder
	b.WriteByte('[')
	i := 1
	if i < len(p) && (p[i] == '!' || p[i] == '^') {
		b.WriteByte('!')
		i++
	}
	for first := true; i < len(p); first = false {
		if p[i] == ']' && !first {
			b.WriteByte(']')
			return b.String(), i + 1
		}
		member, length := bracketMember(p[i:])
		b.WriteString(member)
		i += length
	}
	return p, len(p)
}

func bracketMember(p string) (text string, n int) {
	switch {
	case strings.HasPrefix(p, "[:"):
		name, _, ok := strings.Cut(p[2:], ":]")
		if set := classes[name]; ok && set != "" {
			return set, len(name) + 4
		}
		return `\[`, 1
	case p[0] == '\\' && len(p) > 1:
		return p[:2], 2
	case p[0] == '[' || p[0] == ']':
		return `\` + p[:1], 1
	}
	return p[:1], 1
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
	if include, ok := f.decided(path, folder); ok {
		return include
	}
	return folder || !f.onlyIncludes() || f.inIncluded(path)
}

// KeepsAny reports whether a name may take part, be it a file's or a folder's.
func (f *Filter) KeepsAny(path string) bool { return f.Keeps(path, true) || f.Keeps(path, false) }

// decided is what the last rule that matches says.
func (f *Filter) decided(path string, folder bool) (include, ok bool) {
	for i := len(f.rules) - 1; i >= 0; i-- {
		if f.rules[i].matches(path, folder) {
			return f.rules[i].include, true
		}
	}
	return false, false
}

// inIncluded reports that a folder above was included by name, and with it what is in
// it.
func (f *Filter) inIncluded(path string) bool {
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		if include, ok := f.decided(path[:i], true); ok && include {
			return true
		}
	}
	return false
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
