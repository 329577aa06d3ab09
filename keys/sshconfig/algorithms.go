package sshconfig

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// The names that OpenSSH has or had, up to version 10, with those of Red Hat's patches.
// A list with another is refused in the user's files, as ssh refuses it: a slip of the
// pen would otherwise weaken a connection without a word. In the system's files it is
// left out: they are made for the ssh of this machine, which may be newer than we are.
const (
	knownCiphers = `3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr aes128-gcm@openssh.com
aes256-gcm@openssh.com chacha20-poly1305@openssh.com rijndael-cbc@lysator.liu.se`
	knownMACs = `hmac-sha1 hmac-sha1-96 hmac-sha2-256 hmac-sha2-512 hmac-md5 hmac-md5-96 umac-64@openssh.com umac-128@openssh.com
hmac-sha1-etm@openssh.com hmac-sha1-96-etm@openssh.com hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com
hmac-md5-etm@openssh.com hmac-md5-96-etm@openssh.com umac-64-etm@openssh.com umac-128-etm@openssh.com`
	knownKex = `diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group14-sha256 diffie-hellman-group16-sha512
diffie-hellman-group18-sha512 diffie-hellman-group-exchange-sha1 diffie-hellman-group-exchange-sha256 ecdh-sha2-nistp256
ecdh-sha2-nistp384 ecdh-sha2-nistp521 curve25519-sha256 curve25519-sha256@libssh.org sntrup761x25519-sha512
sntrup761x25519-sha512@openssh.com mlkem768x25519-sha256 mlkem768nistp256-sha256 mlkem1024nistp384-sha384`
	knownSignatures = `ssh-ed25519 ssh-ed25519-cert-v01@openssh.com sk-ssh-ed25519@openssh.com sk-ssh-ed25519-cert-v01@openssh.com
ecdsa-sha2-nistp256 ecdsa-sha2-nistp256-cert-v01@openssh.com ecdsa-sha2-nistp384 ecdsa-sha2-nistp384-cert-v01@openssh.com
ecdsa-sha2-nistp521 ecdsa-sha2-nistp521-cert-v01@openssh.com sk-ecdsa-sha2-nistp256@openssh.com
sk-ecdsa-sha2-nistp256-cert-v01@openssh.com webauthn-sk-ecdsa-sha2-nistp256@openssh.com ssh-dss ssh-dss-cert-v01@openssh.com
ssh-rsa ssh-rsa-cert-v01@openssh.com rsa-sha2-256 rsa-sha2-256-cert-v01@openssh.com rsa-sha2-512
rsa-sha2-512-cert-v01@openssh.com ssh-xmss@openssh.com ssh-xmss-cert-v01@openssh.com`
)

// algorithms is a list "a,b", or what "+a", "-a*" and "^a" change of the
// defaults. Wildcards are for names that are taken away, and for signatures.
func algorithms(names string, wildcards bool) keyword {
	all := strings.Fields(names)
	k := keyword{fits: func(name string) bool {
		return slices.Contains(all, name) || wildcards && slices.ContainsFunc(all, func(a string) bool { return Wildcard(name, a) })
	}}
	k.parse = func(l line) ([]string, error) {
		v, err := one(l)
		if err != nil || v[0][0] == '-' {
			return v, err
		}
		_, list := cutMode(v[0])
		for _, name := range list {
			if !k.fits(name) {
				return nil, fmt.Errorf("there is no algorithm %q", name)
			}
		}
		return v, nil
	}
	return k
}

func cutMode(list string) (mode string, names []string) {
	rest := strings.TrimLeft(list[:1], "+^") + list[1:]
	return list[:len(list)-len(rest)], strings.Split(rest, ",")
}

// leaveOut takes the algorithms out of a line of the system's that are not known here.
// Nothing is left of it when there are no others.
func (r *reader) leaveOut(l line, k keyword, s source) (line, bool) {
	if k.fits == nil || s.user || len(l.args) != 1 || l.args[0] == "" || l.args[0][0] == '-' {
		return l, true
	}
	var keep, strange []string
	mode, names := cutMode(l.args[0])
	for _, name := range names {
		if k.fits(name) {
			keep = append(keep, name)
		} else {
			strange = append(strange, name)
		}
	}
	if where := fmt.Sprintf("%s:%d", s.file, l.number); len(strange) > 0 && !r.unknown[where] {
		r.unknown[where] = true
		level := slog.LevelInfo
		if len(keep) == 0 {
			level = slog.LevelWarn // the whole line is without effect
		}
		r.config.query.Log.Log(r.ctx, level, "algorithms of the system's ssh_config are left out: they are not known here",
			"at", where, "option", l.keyword, "names", strange)
	}
	l.args = []string{mode + strings.Join(keep, ",")}
	return l, len(keep) > 0
}

// Choose applies such a list to the defaults. What is not supported is left out,
// and named in lacking.
func Choose(list string, defaults, supported []string) (chosen, lacking []string) {
	if list == "" {
		return defaults, nil
	}
	mode := list[0]
	if strings.IndexByte("+-^", mode) >= 0 {
		list = list[1:]
	}
	patterns := strings.Split(list, ",")
	if mode == '-' {
		return slices.DeleteFunc(slices.Clone(defaults), func(a string) bool {
			return slices.ContainsFunc(patterns, func(p string) bool { return Wildcard(p, a) })
		}), nil
	}
	var named []string
	for _, p := range patterns {
		before := len(named)
		for _, a := range supported {
			if Wildcard(p, a) {
				named = append(named, a)
			}
		}
		if len(named) == before {
			lacking = append(lacking, p)
		}
	}
	switch mode {
	case '+':
		return unique(slices.Concat(defaults, named)), lacking
	case '^':
		return unique(slices.Concat(named, defaults)), lacking
	}
	return unique(named), lacking
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// Ordered puts names into the order in which OpenSSH has them, which is the order
// that a wildcard chooses in; names that it has not come last.
func Ordered(names []string) []string {
	all := strings.Fields(knownCiphers + " " + knownMACs + " " + knownKex + " " + knownSignatures)
	place := func(name string) int {
		if i := slices.Index(all, name); i >= 0 {
			return i
		}
		return len(all)
	}
	out := unique(names)
	slices.SortStableFunc(out, func(a, b string) int { return place(a) - place(b) })
	return out
}
