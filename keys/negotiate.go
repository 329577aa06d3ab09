package keys

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// A NegotiationError is a server with which there is nothing in common: it speaks
// SSH, and all its algorithms of one kind are switched off or not there here.
type NegotiationError struct {
	Keyword string   // of ssh_config: KexAlgorithms, HostKeyAlgorithms, Ciphers, MACs
	Server  []string // what the server has
	Helps   string   // one of those that is there and switched off; "" when there is none
	Err     error
}

func (e *NegotiationError) Unwrap() error { return e.Err }

func (e *NegotiationError) Error() string {
	what := map[string]string{
		"KexAlgorithms": "key exchange", "HostKeyAlgorithms": "kind of host key", "Ciphers": "cipher", "MACs": "MAC",
	}[e.Keyword]
	why := "and that is not known here"
	if e.Helps != "" {
		why = "and what is old is switched off here"
	}
	return fmt.Sprintf("there is no common %s: the server has only %s, %s", what, strings.Join(e.Server, ", "), why)
}

// Negotiation finds out whether a handshake failed for want of a common
// algorithm; nil when it did not.
func Negotiation(err error) *NegotiationError {
	var n *ssh.AlgorithmNegotiationError
	if !errors.As(err, &n) {
		return nil
	}
	keyword := "KexAlgorithms"
	for part, k := range map[string]string{"host key": "HostKeyAlgorithms", "cipher": "Ciphers", "MAC": "MACs"} {
		if strings.Contains(n.What, part) {
			keyword = k
		}
	}
	e := &NegotiationError{Keyword: keyword, Err: err}
	for _, name := range n.RequestedAlgorithms { // some are no algorithms, but tell what the server can besides
		if !strings.HasPrefix(name, "ext-info-") && !strings.HasPrefix(name, "kex-strict-") {
			e.Server = append(e.Server, printable(name))
		}
	}
	for _, l := range new(chosenAlgorithms).choices() {
		if l.keyword != keyword {
			continue
		}
		for _, name := range e.Server {
			if e.Helps == "" && slices.Contains(l.supported, name) {
				e.Helps = name
			}
		}
	}
	return e
}
