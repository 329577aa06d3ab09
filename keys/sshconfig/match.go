package sshconfig

import (
	"errors"
	"fmt"
	"net/netip"
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

// match is Match: all its criteria must hold.
func (r *reader) match(l line, s source) (bool, error) {
	result, rest := true, l.rest
	for n := 0; ; n++ {
		word, after, err := cutWord(rest)
		switch {
		case err != nil:
			return false, err
		case word == "" || word[0] == '#':
			if n == 0 {
				return false, errors.New("match: there is no criterion")
			}
			return result && !s.never, nil
		}
		name, negated := strings.CutPrefix(strings.ToLower(word), "!")
		if name == "all" {
			if n > 1 || after != "" && after[0] != '#' {
				return false, errors.New("match: all stands alone")
			}
			return result && !negated && !s.never, nil
		}
		var arg string
		if !alone(name) {
			if arg, after, err = cutWord(after); err != nil {
				return false, err
			}
			if arg == "" || arg[0] == '#' {
				return false, fmt.Errorf("match: %s needs a value", name)
			}
		}
		rest = after
		holds, err := r.criterion(name, arg, result && !s.never)
		if errors.Is(err, errLacking) {
			if result && !s.never {
				r.skip(fmt.Sprintf("%s:%d", s.file, l.number), "Match "+name)
			}
			return false, nil // what follows may belong to it
		}
		if err != nil {
			return false, err
		}
		result = result && holds != negated
	}
}

// alone are the criteria without a value.
func alone(name string) bool { return name == "canonical" || name == "final" }

var errLacking = errors.New("this criterion is not known here")

// criterion judges one criterion; asked tells whether its answer still counts.
func (r *reader) criterion(name, arg string, asked bool) (bool, error) {
	tokens, err := r.tokens()
	if err != nil {
		return false, err
	}
	switch name {
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
	case "localnetwork":
		return r.localNetwork(arg)
	case "exec":
		return r.exec(arg, tokens, asked)
	}
	return false, errLacking
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
