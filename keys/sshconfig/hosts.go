package sshconfig

import (
	"context"
	"slices"
	"strings"
)

// A Named is a host that a Host line names in full, without a pattern.
type Named struct {
	Name     string
	Unusable []string // keywords in its blocks that cannot be kept to, or are not known
}

// Hosts lists the hosts that the user's files of a query name, in their order; Host, Exec
// and Lookup of the query do not matter. What stands in blocks of Match is none. The
// system's files name hosts for everybody, and some that are none: with systemd .host.
func Hosts(ctx context.Context, q Query) ([]Named, error) {
	q.Host, q.Exec, q.Lookup = "", nil, nil
	c := &Config{query: q, values: map[string][]string{}}
	r := &reader{ctx: ctx, config: c, unknown: map[string]bool{}, ran: map[string]bool{}, named: &[]Named{}}
	if err := r.files(); err != nil {
		return nil, err
	}
	return *r.named, nil
}

// collect takes the names of a block that begins with Host.
func (r *reader) collect(block []line, s source) {
	if r.named == nil || !s.user || block[0].keyword != "host" {
		return
	}
	var unusable []string
	for _, l := range block {
		value := strings.ToLower(l.rest)
		if !known(l.keyword) || slices.Contains(strings.Fields(unusableKeywords), l.keyword) && value != "no" && value != "none" {
			unusable = appendNew(unusable, l.keyword)
		}
	}
	for _, name := range block[0].args {
		if name == "" || strings.ContainsAny(name, "*?!") {
			continue
		}
		at := slices.IndexFunc(*r.named, func(n Named) bool { return n.Name == name })
		if at < 0 {
			at = len(*r.named)
			*r.named = append(*r.named, Named{Name: name})
		}
		for _, u := range unusable {
			(*r.named)[at].Unusable = appendNew((*r.named)[at].Unusable, u)
		}
	}
}

// unusableKeywords are those whose work only ssh itself can do, and without which a
// login may fail.
const unusableKeywords = `gssapiauthentication hostbasedauthentication knownhostscommand pkcs11provider
proxyusefdpass securitykeyprovider smartcarddevice verifyhostkeydns`
