package sshconfig

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// matchHost is Host: one negated match takes the host out.
func (r *reader) matchHost(patterns []string) (bool, error) {
	found, out := false, false
	for _, p := range patterns {
		if p == "" {
			return false, errors.New("host: a pattern is empty")
		}
		pattern, negated := strings.CutPrefix(p, "!")
		if out || !Wildcard(pattern, r.host) {
			continue
		}
		found, out = true, negated
	}
	return found && !out, nil
}

// sshVersion is what Match version is held against: the ssh whose files are read here.
const sshVersion = "OpenSSH_10.2"

// A criterion is one of those of a Match.
type criterion struct {
	name    string
	negated bool
	arg     string
}

// misread: the older reading left a quote or a backslash in it that was none of the value.
func (c criterion) misread() bool {
	if c.name == "exec" {
		return strings.HasSuffix(c.arg, `\`)
	}
	return strings.ContainsAny(c.arg, `'\`)
}

// match is Match: all its criteria must hold.
func (r *reader) match(l line, s source) (bool, error) {
	list, err := criteria(byDelimiters(l.rest))
	if err != nil || slices.ContainsFunc(list, criterion.misread) { // since version 9.9 ssh reads quotes here as in other lines
		if again, aerr := criteria(listed(l.args)); aerr == nil {
			list, err = again, nil
		}
	}
	var lacking *lackingError
	if err != nil && !errors.As(err, &lacking) {
		return false, err
	}
	result := !s.never
	for _, c := range list {
		holds, err := r.holds(c, result)
		if err != nil {
			return false, err
		}
		result = result && holds != c.negated
	}
	if lacking != nil && result {
		r.skip(fmt.Sprintf("%s:%d", s.file, l.number), "Match "+lacking.name)
	}
	return result && lacking == nil, nil
}

// A lackingError is a criterion that is not known here. What follows may belong to it.
type lackingError struct{ name string }

func (e *lackingError) Error() string { return "match: there is no criterion " + e.name }

// A wordReader gives the next word of a line, if there is one.
type wordReader func() (word string, ok bool, err error)

// byDelimiters reads words as ssh did up to version 9.8.
func byDelimiters(rest string) wordReader {
	return func() (word string, ok bool, err error) {
		if ok = rest != ""; ok {
			word, rest, err = cutWord(rest)
		}
		return word, ok, err
	}
}

// listed gives words that were taken apart already.
func listed(words []string) wordReader {
	return func() (word string, ok bool, err error) {
		if ok = len(words) > 0; ok {
			word, words = words[0], words[1:]
		}
		return word, ok, nil
	}
}

// criteria reads those of a line, up to one that is not known.
func criteria(next wordReader) ([]criterion, error) {
	var list []criterion
	for {
		word, more, err := next()
		if err != nil {
			return nil, err
		}
		if !more || word == "" || word[0] == '#' {
			break
		}
		c, err := readCriterion(word, next)
		if err != nil {
			return list, err
		}
		if c.name == "all" {
			after, more, err := next()
			if len(list) > 1 || err != nil || more && !strings.HasPrefix(after, "#") {
				return nil, errors.New("match: all stands alone")
			}
			return append(list, c), nil
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("match: there is no criterion")
	}
	return list, nil
}

// readCriterion reads what a word begins: the value is behind a "=" in it, or the next
// word.
func readCriterion(word string, next wordReader) (c criterion, err error) {
	word, c.negated = strings.CutPrefix(word, "!")
	name, value, given := strings.Cut(word, "=")
	c.name, c.arg = strings.ToLower(name), value
	if alone(c.name) && !given {
		return c, nil
	}
	if !takesValue(c.name) {
		return c, &lackingError{c.name}
	}
	if !given {
		c.arg, given, err = next()
	}
	empty := c.arg == "" && c.name != "tagged" && c.name != "command"
	if err == nil && (!given || empty || strings.HasPrefix(c.arg, "#")) {
		err = fmt.Errorf("match: %s needs a value", c.name)
	}
	return c, err
}

// alone are the criteria without a value.
func alone(name string) bool { return name == "all" || name == "canonical" || name == "final" }

func takesValue(name string) bool {
	return slices.Contains(strings.Fields("host originalhost user localuser tagged command sessiontype version localnetwork exec"), name)
}

// holds judges one criterion; asked tells whether its answer still counts.
func (r *reader) holds(c criterion, asked bool) (bool, error) {
	tokens, err := r.tokens()
	if err != nil {
		return false, err
	}
	arg := c.arg
	switch c.name {
	case "canonical":
		return r.final, nil
	case "final":
		r.wantFinal = r.wantFinal || !r.final
		return r.final, nil
	case "host":
		return matchList(tokens['h'], arg, true), nil
	case "originalhost":
		return matchList(tokens['n'], arg, true), nil
	case "user":
		return matchList(tokens['r'], arg, false), nil
	case "localuser":
		return matchList(tokens['u'], arg, false), nil
	case "tagged":
		return matchList(r.config.Value("tag"), arg, false), nil
	case "command": // as ssh -s HOST sftp would have it
		return matchList("sftp", arg, false), nil
	case "sessiontype":
		return matchList("subsystem", arg, false), nil
	case "version":
		return matchList(sshVersion, arg, false), nil
	case "localnetwork":
		return r.localNetwork(arg)
	case "exec":
		return r.exec(arg, tokens, asked)
	}
	return true, nil // all
}

func (r *reader) exec(command string, tokens map[byte]string, asked bool) (bool, error) {
	r.config.Volatile = true
	whole, err := Expand(command, tokens)
	q := r.config.query
	if err != nil || !asked || q.Exec == nil {
		return false, err
	}
	if answer, known := r.ran[whole]; known {
		return answer, nil
	}
	answer, err := q.Exec(r.ctx, command, tokens)
	if err != nil {
		return false, fmt.Errorf("match exec %q: %w", command, err)
	}
	r.ran[whole] = answer
	return answer, nil
}

// localNetwork: one of this machine's addresses is in one of the networks.
func (r *reader) localNetwork(list string) (bool, error) {
	r.config.Volatile = true
	var networks []netip.Prefix
	for _, text := range strings.Split(list, ",") {
		network, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil {
			network, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return false, fmt.Errorf("match localnetwork: %q is no network such as 192.168.0.0/16", text)
		}
		networks = append(networks, network)
	}
	if r.config.query.LocalAddresses == nil {
		return false, nil
	}
	addresses, err := r.config.query.LocalAddresses()
	if err != nil {
		return false, fmt.Errorf("match localnetwork: %w", err)
	}
	for _, a := range addresses {
		for _, n := range networks {
			if n.Contains(a.Unmap()) {
				return true, nil
			}
		}
	}
	return false, nil
}

// matchList holds a text against patterns between commas: one negated match
// takes it out. With fold, letters are compared in lower case.
func matchList(text, list string, fold bool) bool {
	if fold {
		text, list = strings.ToLower(text), strings.ToLower(list)
	}
	found := false
	for _, p := range strings.Split(list, ",") {
		pattern, negated := strings.CutPrefix(p, "!")
		switch {
		case !Wildcard(pattern, text):
		case negated:
			return false
		default:
			found = true
		}
	}
	return found
}

// Wildcard holds a text against a pattern with * and ?. It takes no longer than
// the product of both lengths.
func Wildcard(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
