package keys

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hostKeyAlgorithms is our order of host key types: Ed25519 first, as OpenSSH,
// and nothing that rests on SHA-1 unless HostKeyAlgorithms asks for it.
func hostKeyAlgorithms() []string {
	order := []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
	supported := ssh.SupportedAlgorithms().HostKeys
	return slices.DeleteFunc(order, func(a string) bool { return !slices.Contains(supported, a) })
}

// algorithmsOf gives the signature algorithms of a key type.
func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{keyType}
}

// chooseAlgorithms applies a list as ssh_config writes it: "a,b" replaces the
// defaults, "+a" adds, "-a" removes, "^a" puts first; '*' and '?' are wildcards
// for "-". Names the library lacks are given back in unknown.
func chooseAlgorithms(spec, defaults, supported []string) (chosen, unknown []string) {
	if len(spec) == 0 {
		return defaults, nil
	}
	names := slices.Clone(spec)
	mode := byte(0)
	if first := names[0]; first != "" && strings.ContainsRune("+-^", rune(first[0])) {
		mode, names[0] = first[0], first[1:]
	}
	if mode == '-' {
		return slices.DeleteFunc(slices.Clone(defaults), func(a string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return matchWildcard(n, a) })
		}), nil
	}
	known := slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		lacks := !slices.Contains(supported, n)
		if lacks {
			unknown = append(unknown, n)
		}
		return lacks
	})
	switch mode {
	case '+':
		chosen = slices.Concat(defaults, known)
	case '^':
		chosen = slices.Concat(known, defaults)
	default:
		chosen = known
	}
	return unique(chosen), unknown
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

func supportedHostKeys() []string {
	return slices.Concat(ssh.SupportedAlgorithms().HostKeys, ssh.InsecureAlgorithms().HostKeys)
}

func supportedCiphers() []string {
	return slices.Concat(ssh.SupportedAlgorithms().Ciphers, ssh.InsecureAlgorithms().Ciphers)
}

// keyTypeName is how people call a key type.
func keyTypeName(t string) string {
	switch {
	case t == ssh.KeyAlgoRSA:
		return "RSA"
	case t == ssh.KeyAlgoED25519:
		return "ED25519"
	case strings.HasPrefix(t, "ecdsa-"):
		return "ECDSA"
	case t == keyTypeDSA:
		return "DSA"
	}
	return t
}
