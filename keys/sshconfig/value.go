package sshconfig

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
)

var (
	errNoValue = errors.New("there is no value")
	errMore    = errors.New("there is more than one value")
)

// one takes one value.
func one(l line) ([]string, error) {
	switch {
	case len(l.args) == 0 || l.args[0] == "":
		return nil, errNoValue
	case len(l.args) > 1:
		return nil, errMore
	}
	return l.args, nil
}

func anything(line) ([]string, error) { return []string{""}, nil }

// rest takes the line as it stands, quotes and all: it is a command.
func rest(l line) ([]string, error) {
	if l.rest == "" {
		return nil, errNoValue
	}
	return []string{strings.TrimLeft(l.rest, blanks+"=")}, nil
}

// among takes one of several words, in any case of letters; "off=no" means no.
// Where yes is among them, true and false are too.
func among(words ...string) keyword {
	meaning, names := map[string]string{}, []string{}
	for _, w := range words {
		from, to, ok := strings.Cut(w, "=")
		if !ok {
			to = from
		}
		meaning[from], names = to, append(names, from)
	}
	if meaning["yes"] != "" {
		meaning["true"], meaning["false"] = "yes", "no"
	}
	return keyword{parse: func(l line) ([]string, error) {
		v, err := one(l)
		if err != nil {
			return nil, err
		}
		value, ok := meaning[strings.ToLower(v[0])]
		if !ok {
			return nil, fmt.Errorf("%q is none of %s", v[0], strings.Join(names, ", "))
		}
		return []string{value}, nil
	}}
}

func number(l line) ([]string, error) {
	v, err := one(l)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(v[0], 10, 32)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%q is not a number", v[0])
	}
	return []string{strconv.FormatInt(n, 10)}, nil
}

// port also takes the name of a service.
func port(l line) ([]string, error) {
	v, err := one(l)
	if err != nil {
		return nil, err
	}
	n, err := net.LookupPort("tcp", v[0])
	if err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("%q is no port", v[0])
	}
	return []string{strconv.Itoa(n)}, nil
}

// seconds reads a time as sshd_config(5) has it: 90, 1m30, 2h. With ssh "none"
// is as if the line were not there.
func seconds(l line) ([]string, error) {
	v, err := one(l)
	if err != nil || v[0] == "none" {
		return nil, err
	}
	n, ok := parseTime(v[0])
	if !ok {
		return nil, fmt.Errorf("%q is no time such as 90 or 1m30s", v[0])
	}
	return []string{strconv.Itoa(n)}, nil
}

func parseTime(text string) (int, bool) {
	units := map[byte]int{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}
	total := 0
	for text != "" {
		digits := 0
		for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
			digits++
		}
		n, err := strconv.Atoi(text[:digits])
		if err != nil {
			return 0, false
		}
		unit := 1
		if text = text[digits:]; text != "" {
			if unit = units[text[0]|0x20]; unit == 0 {
				return 0, false
			}
			text = text[1:]
		}
		if n > (math.MaxInt32-total)/unit {
			return 0, false
		}
		total += n * unit
	}
	return total, true
}

func flagOrSeconds(l line) ([]string, error) {
	if v, err := among("yes", "no").parse(l); err == nil {
		return v, nil
	}
	return seconds(l)
}

// addKeys is AddKeysToAgent: yes, no, ask, or confirm with or without a time, or
// a time.
func addKeys(l line) ([]string, error) {
	if len(l.args) == 2 && strings.EqualFold(l.args[0], "confirm") {
		if n, ok := parseTime(l.args[1]); ok {
			return []string{"confirm", strconv.Itoa(n)}, nil
		}
	}
	if v, err := among("yes", "no", "ask", "confirm").parse(l); err == nil {
		return v, nil
	}
	return seconds(l)
}

// names takes names of variables, which have a "=" in them or must not.
func names(equals string) func(line) ([]string, error) {
	return func(l line) ([]string, error) {
		for _, a := range l.args {
			if strings.Contains(a, "=") != (equals != "") {
				return nil, fmt.Errorf("%q is wrong here", a)
			}
		}
		return l.args, nil
	}
}

// rekeyLimit is a number of bytes, and perhaps a time after it.
func rekeyLimit(l line) ([]string, error) {
	if len(l.args) == 0 || len(l.args) > 2 {
		return nil, errors.New("it takes a size and perhaps a time")
	}
	size := strings.ToUpper(l.args[0])
	if _, err := strconv.ParseUint(strings.TrimRight(size, "KMG"), 10, 63); err != nil && size != "DEFAULT" {
		return nil, fmt.Errorf("%q is no size", l.args[0])
	}
	if len(l.args) == 2 && !strings.EqualFold(l.args[1], "none") {
		if _, ok := parseTime(l.args[1]); !ok {
			return nil, fmt.Errorf("%q is no time", l.args[1])
		}
	}
	return l.args, nil
}

// aloneOrMany takes any number of values, or "none" and nothing else.
func aloneOrMany(l line) ([]string, error) {
	for _, a := range l.args {
		switch {
		case a == "":
			return nil, errNoValue
		case strings.EqualFold(a, "none") && len(l.args) > 1:
			return nil, errors.New("none stands alone")
		}
	}
	if len(l.args) == 0 {
		return nil, errNoValue
	}
	return l.args, nil
}

// rules are those of CanonicalizePermittedCNAMEs.
func rules(l line) ([]string, error) {
	v, err := aloneOrMany(l)
	if err != nil || strings.EqualFold(v[0], "none") {
		return v, err
	}
	for _, rule := range v {
		if from, to, ok := strings.Cut(rule, ":"); rule != "*" && (!ok || from == "" || to == "") {
			return nil, fmt.Errorf("%q is no rule such as *.a.example:*.b.example", rule)
		}
	}
	return v, nil
}

// jump is ProxyJump: hosts between commas, or none.
func jump(l line) ([]string, error) {
	text, _, _ := strings.Cut(strings.TrimLeft(l.rest, blanks+"="), "#")
	text = strings.TrimRight(text, blanks)
	if strings.EqualFold(text, "none") {
		return []string{"none"}, nil
	}
	for _, hop := range strings.Split(text, ",") {
		if _, _, _, err := ParseHop(hop); err != nil {
			return nil, err
		}
	}
	return []string{text}, nil
}

// ParseHop reads a jump host: [user@]host[:port], [user@][v6]:port, or
// ssh://[user@]host[:port]. The port is 0 when not said.
func ParseHop(text string) (user, host string, port int, err error) {
	bad := func(why string) (string, string, int, error) {
		return "", "", 0, fmt.Errorf("jump host %q: %s", text, why)
	}
	rest := strings.TrimSpace(text)
	if uri, ok := strings.CutPrefix(rest, "ssh://"); ok {
		rest = strings.TrimSuffix(uri, "/")
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		if user, rest = rest[:i], rest[i+1:]; user == "" {
			return bad("nothing stands before the @")
		}
	}
	host = rest
	if h, p, serr := net.SplitHostPort(rest); serr == nil {
		host = h
		if port, err = net.LookupPort("tcp", p); err != nil || port < 1 {
			return bad("bad port")
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" || strings.HasPrefix(host, "-") || strings.HasPrefix(user, "-") {
		return bad("want [user@]host[:port]")
	}
	return user, host, port, nil
}
