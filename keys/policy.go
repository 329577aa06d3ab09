package keys

import (
	"fmt"
	"strings"
)

// Policy says what becomes of a host that no known_hosts file knows.
type Policy string

// The policies. Whatever the policy, a changed, revoked or wrongly pinned key
// is refused; only PolicyInsecure asks for no proof at all.
const (
	PolicyAuto     Policy = "auto"     // store the key on first contact, and say so
	PolicyAsk      Policy = "ask"      // show the fingerprint and ask
	PolicyStrict   Policy = "strict"   // refuse
	PolicyInsecure Policy = "insecure" // accept anything, and warn at each use
)

// ParsePolicy reads a policy as it is written in flags and files.
func ParsePolicy(s string) (Policy, error) {
	switch p := Policy(strings.ToLower(s)); p {
	case PolicyAuto, PolicyAsk, PolicyStrict, PolicyInsecure:
		return p, nil
	}
	return "", fmt.Errorf("host key policy %q: want auto, ask, strict or insecure", s)
}

// policyFromSSH is the meaning of StrictHostKeyChecking. "no" still refuses a
// changed key, as auto does; it never switches checking off here.
func policyFromSSH(value string) Policy {
	switch strings.ToLower(value) {
	case "yes":
		return PolicyStrict
	case "ask":
		return PolicyAsk
	case "accept-new", "no", "off":
		return PolicyAuto
	}
	return ""
}
