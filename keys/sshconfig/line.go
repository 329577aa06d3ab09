package sshconfig

import (
	"errors"
	"strings"
)

const blanks = " \t\r\n"

var errQuotes = errors.New("a quote is not closed")

// A line is one line of a file: a keyword, what stands after it, and that taken
// apart into words.
type line struct {
	number  int
	keyword string
	rest    string
	args    []string
}

// parseLine takes a line apart; a comment or an empty line has no keyword.
func parseLine(text string, number int) (line, error) {
	l := line{number: number}
	text = strings.TrimRight(text, blanks+"\f")
	text = strings.TrimLeft(text, blanks)
	if text == "" || text[0] == '#' {
		return l, nil
	}
	word, rest, err := cutWord(text)
	if err != nil {
		return l, err
	}
	l.keyword, l.rest = strings.ToLower(word), strings.TrimLeft(rest, blanks)
	if l.rest == "" {
		return l, errors.New(l.keyword + ": there is no value")
	}
	l.args, err = splitWords(l.rest)
	return l, err
}

// cutWord takes the first word off, as ssh reads keywords and the criteria of
// Match: it ends at blanks with at most one "=" among them, and double quotes go.
func cutWord(s string) (word, rest string, err error) {
	end := strings.IndexAny(s, blanks+`"=`)
	if end < 0 {
		return s, "", nil
	}
	if s[end] == '"' {
		closing := strings.IndexByte(s[end+1:], '"')
		if closing < 0 {
			return "", "", errQuotes
		}
		closing += end + 1
		return s[:end] + s[end+1:closing], strings.TrimLeft(s[closing+1:], blanks), nil
	}
	rest = strings.TrimLeft(s[end+1:], blanks)
	if s[end] != '=' && strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], blanks)
	}
	return s[:end], rest, nil
}

// splitWords cuts at blanks outside quotes, single or double, and takes the
// backslash from before a quote, a backslash, and a blank outside quotes. A word
// that begins with # begins a comment.
func splitWords(s string) ([]string, error) {
	var words []string
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] == '#' {
			return words, nil
		}
		word, n, err := oneWord(s)
		if err != nil {
			return nil, err
		}
		words, s = append(words, word), s[n:]
	}
}

// oneWord gives the first word, and how many bytes it takes.
func oneWord(s string) (string, int, error) {
	var word strings.Builder
	quote := byte(0)
	i := 0
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
			i++
			word.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t'):
			return word.String(), i, nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			word.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", 0, errQuotes
	}
	return word.String(), i, nil
}
