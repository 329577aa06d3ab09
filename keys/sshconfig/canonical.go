package sshconfig

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// canonicalize makes the host's name complete, as CanonicalizeHostname asks: the
// domains of CanonicalDomains are tried in turn, and a CNAME is followed where
// CanonicalizePermittedCNAMEs lets it be.
func (r *reader) canonicalize() error {
	c := r.config
	if a, err := netip.ParseAddr(c.host); err == nil {
		c.host = a.String()
		return nil
	}
	how := c.Value("canonicalizehostname")
	direct := none(c.Value("proxycommand")) && none(c.Value("proxyjump"))
	if how != "yes" && how != "always" || how == "yes" && !direct {
		return nil
	}
	c.Volatile = true
	if c.query.Lookup == nil {
		return nil
	}
	if strings.HasSuffix(c.host, ".") {
		return r.tryDomains(c.host, []string{""})
	}
	if strings.Count(c.host, ".") > r.maxDots() {
		return r.followOnly()
	}
	return r.tryDomains(c.host+".", c.List("canonicaldomains"))
}

func none(s string) bool { return s == "" || strings.EqualFold(s, "none") }

func (r *reader) maxDots() int {
	if n, err := strconv.Atoi(r.config.Value("canonicalizemaxdots")); err == nil {
		return n
	}
	return 1
}

func (r *reader) tryDomains(host string, domains []string) error {
	c := r.config
	for _, domain := range domains {
		if strings.EqualFold(domain, "none") {
			break
		}
		full := host
		if domain != "" {
			full += strings.TrimSuffix(domain, ".") + "."
		}
		cname, err := c.query.Lookup(r.ctx, full)
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		if err == nil {
			c.host = r.follow(strings.TrimSuffix(full, "."), cname)
			return nil
		}
	}
	if c.No("canonicalizefallbacklocal") {
		return fmt.Errorf("the host %s is in none of CanonicalDomains (CanonicalizeFallbackLocal no)", c.host)
	}
	return r.followOnly()
}

// followOnly is for a name that is left as it is, whose CNAME may still lead on.
func (r *reader) followOnly() error {
	c := r.config
	if len(c.List("canonicalizepermittedcnames")) == 0 {
		return nil
	}
	cname, err := c.query.Lookup(r.ctx, c.host)
	if err != nil {
		return r.ctx.Err() // that there is no such host is told by dialling it
	}
	c.host = r.follow(c.host, cname)
	return nil
}

// follow gives the name behind a CNAME that the rules permit, each of them
// "from:to" with lists of patterns.
func (r *reader) follow(host, cname string) string {
	cname = strings.ToLower(strings.TrimSuffix(cname, "."))
	if cname == "" || cname == host {
		return host
	}
	for _, rule := range r.config.List("canonicalizepermittedcnames") {
		from, to, ok := strings.Cut(rule, ":")
		if ok && matchList(host, from, true) && matchList(cname, to, true) {
			return cname
		}
	}
	return host
}
