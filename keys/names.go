package keys

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/remotemount/remotemount/keys/sshconfig"
)

// Names of users and hosts can come from a link that somebody was sent, and end in
// a command that a shell reads: the %r, %h and %n of a ProxyCommand. What a shell
// would make something else of is refused, by the rules of OpenSSH 10.1's ssh.c.

// CheckUser says what is wrong with the name of a user on a server. A backslash
// may stand in it (DOMAIN\user), and an @.
func CheckUser(name string) error {
	switch {
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("user name %q begins with a dash", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("user name %q has a control character in it", name)
	case strings.ContainsAny(name, "'`\";&<>|(){}"):
		return fmt.Errorf("user name %q has a character in it that a shell would act on", name)
	case strings.Contains(name, " -"):
		return fmt.Errorf("user name %q has a dash after a blank", name)
	case strings.HasSuffix(name, `\`):
		return fmt.Errorf("user name %q ends with a backslash", name)
	}
	return nil
}

// CheckHost says what is wrong with the name or address of a host. A comma would make
// two hosts of it, in known_hosts and in ProxyJump.
func CheckHost(name string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }
	switch {
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("host name %q begins with a dash", name)
	case strings.ContainsFunc(name, bad) || strings.ContainsAny(name, "'`\"$\\;&<>|(){},"):
		return fmt.Errorf("%q is not the name of a host: there is a blank or a comma in it, or a character that a shell would act on", name)
	}
	return nil
}

// CheckJump says what is wrong with a list of jump hosts, [user@]host[:port] and
// commas between them.
func CheckJump(list string) error {
	if list == "" || list == "none" {
		return nil
	}
	for _, hop := range strings.Split(list, ",") {
		user, host, _, err := sshconfig.ParseHop(hop)
		if err == nil {
			err = CheckUser(user)
		}
		if err == nil {
			err = CheckHost(host)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// expandCommand puts tokens into a command that a shell is going to read: whatever
// a value came from, it must be a plain name. In a word without quotes even a
// dollar sign and no more would make words of its own: a$IFS-oOption.
func expandCommand(command string, tokens map[byte]string) (string, error) {
	for token, value := range tokens {
		if !strings.Contains(command, "%"+string(token)) {
			continue
		}
		if err := checkToken(token, value); err != nil {
			return "", fmt.Errorf("%%%c: %w", token, err)
		}
	}
	return sshconfig.Expand(command, tokens)
}

func checkToken(token byte, value string) error {
	switch token {
	case 'd': // the home folder is this machine's own
		return nil
	case 'j':
		return CheckJump(value)
	case 'r', 'u':
		if strings.Contains(value, "$") {
			return fmt.Errorf("user name %q has a character in it that a shell would act on", value)
		}
		return CheckUser(value)
	}
	return CheckHost(value)
}
