package options

import (
	"fmt"
	"sort"
	"strings"
	"sync"
)

// sshOptions are ssh_config's names. Those that concern how the server is
// reached and who we are go to the SSH side as they are; those about terminals,
// forwarding and the like mean nothing to a mount.
func sshOptions() map[string]option {
	t := map[string]option{
		"IdentityFile": {needed, func(s *Settings, v string) error { s.Identities = append(s.Identities, v); return nil }, "", ""},
		"User":         text(func(s *Settings) *string { return &s.User }),
		"Port":         {needed, port, "", ""},
		"UserKnownHostsFile": {needed, func(s *Settings, v string) error {
			s.KnownHosts = append(s.KnownHosts, strings.Fields(v)...)
			return nil
		}, "", ""},
		"StrictHostKeyChecking": {needed, strictHostKeyChecking, "", ""},
		"ProxyJump":             text(func(s *Settings) *string { return &s.Jump }),
		"BindAddress":           text(func(s *Settings) *string { return &s.BindAddress }),
		"BatchMode":             {needed, func(s *Settings, v string) error { s.Batch = v == "yes"; return nil }, "", ""},
	}
	for _, name := range strings.Fields(sshHandedOn) {
		t[name] = option{needed, func(s *Settings, v string) error {
			if s.SSH == nil {
				s.SSH = map[string]string{}
			}
			if before, said := s.SSH[name]; said && name == "CertificateFile" {
				v = before + "\n" + v // there may be several
			}
			s.SSH[name] = v
			return nil
		}, "", ""}
	}
	for _, name := range strings.Fields(sshMeaningless) {
		t[name] = option{value: needed}
	}
	return t
}

// sshHandedOn are settings that the package keys understands.
const sshHandedOn = `AddKeysToAgent AddressFamily BindInterface CASignatureAlgorithms CanonicalDomains CanonicalizeFallbackLocal
CanonicalizeHostname CanonicalizeMaxDots CanonicalizePermittedCNAMEs CertificateFile ChallengeResponseAuthentication Ciphers ConnectTimeout
GlobalKnownHostsFile HashKnownHosts HostKeyAlgorithms HostKeyAlias HostName IdentitiesOnly IdentityAgent KbdInteractiveAuthentication
KexAlgorithms MACs NoHostAuthenticationForLocalhost NumberOfPasswordPrompts PasswordAuthentication PreferredAuthentications
ProxyCommand PubkeyAcceptedAlgorithms PubkeyAcceptedKeyTypes PubkeyAuthentication RequiredRSASize RevokedHostKeys
ServerAliveCountMax ServerAliveInterval Tag`

const sshMeaningless = `Compression CompressionLevel ControlMaster ControlPath ControlPersist ForwardAgent ForwardX11
ForwardX11Trusted TCPKeepAlive LogLevel CheckHostIP VisualHostKey ConnectionAttempts RekeyLimit GSSAPIAuthentication
GSSAPIDelegateCredentials UpdateHostKeys Protocol ClearAllForwardings ExitOnForwardFailure PermitLocalCommand
RequestTTY VerifyHostKeyDNS IPQoS SendEnv HostbasedAuthentication`

var sshNames = sync.OnceValue(func() []string {
	var names []string
	for name := range sshOptions() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
})

// strictHostKeyChecking: ssh's "no" lets a changed key pass. Here it is refused
// all the same, and only the policy insecure, said as such, lets it pass.
func strictHostKeyChecking(s *Settings, v string) error {
	policy := map[string]string{"yes": "strict", "ask": "ask", "accept-new": "auto", "no": "auto", "off": "auto"}[v]
	if policy == "" {
		return fmt.Errorf("yes, ask, accept-new or no")
	}
	s.HostKeyPolicy = policy
	return nil
}
