package sshconfig

import (
	"strings"
	"sync"
)

// A keyword is how the values of a line are read.
type keyword struct {
	name  string // under which it is kept, where that is another; "-" for not at all
	adds  bool   // each line adds a value; otherwise the first counts
	parse func(line) ([]string, error)

	fits func(algorithm string) bool // there is such a one; nil where the values are no algorithms
}

func (k keyword) nameOr(own string) string {
	switch k.name {
	case "":
		return own
	case "-":
		return ""
	}
	return k.name
}

// known reports whether a word is a keyword at all.
func known(word string) bool {
	_, ok := keywords()[word]
	return ok || word == "host" || word == "match" || word == "include"
}

// keywords are all of OpenSSH's, with those of Debian's and Fedora's patches.
// Values of those that mean nothing to a mount are looked at too, since ssh
// refuses the file when they are wrong.
var keywords = sync.OnceValue(func() map[string]keyword {
	t := map[string]keyword{
		"hostname": {parse: one}, "user": {parse: one}, "port": {parse: port},
		"hostkeyalias": {parse: one}, "tag": {parse: one},
		"identityfile": {parse: one, adds: true}, "identityfile2": {name: "identityfile", parse: one, adds: true},
		"certificatefile": {parse: one, adds: true},
		"identityagent":   {parse: one}, "addkeystoagent": {parse: addKeys},
		"userknownhostsfile": {parse: aloneOrMany}, "globalknownhostsfile": {parse: aloneOrMany}, "revokedhostkeys": {parse: one},
		"knownhostscommand":     {parse: rest},
		"stricthostkeychecking": among("yes", "no", "ask", "accept-new", "off=no"),
		"hostkeyalgorithms":     algorithms(knownSignatures, true), "casignaturealgorithms": algorithms(knownSignatures, true),
		"hostbasedacceptedalgorithms": algorithms(knownSignatures, true), "hostbasedkeytypes": renamed("hostbasedacceptedalgorithms", algorithms(knownSignatures, true)),
		"pubkeyacceptedalgorithms": algorithms(knownSignatures, true), "pubkeyacceptedkeytypes": renamed("pubkeyacceptedalgorithms", algorithms(knownSignatures, true)),
		"ciphers": algorithms(knownCiphers, false), "macs": algorithms(knownMACs, false), "kexalgorithms": algorithms(knownKex, false),
		"requiredrsasize": {parse: number}, "rsaminsize": {name: "requiredrsasize", parse: number},
		"proxycommand": {parse: rest}, "proxyjump": {parse: jump},
		"bindaddress": {parse: one}, "bindinterface": {parse: one}, "addressfamily": among("any", "inet", "inet6"),
		"connecttimeout": {parse: seconds}, "connectionattempts": {parse: number},
		"serveraliveinterval": {parse: seconds}, "serveralivecountmax": {parse: number},
		"canonicalizehostname": among("yes", "no", "always"), "canonicaldomains": {parse: aloneOrMany},
		"canonicalizemaxdots": {parse: number}, "canonicalizepermittedcnames": {parse: rules},
		"numberofpasswordprompts": {parse: number}, "preferredauthentications": {parse: one},
		"pubkeyauthentication": among("yes", "no", "unbound", "host-bound"),
		"ignoreunknown":        {parse: one},
	}
	for _, name := range strings.Fields(flagKeywords) {
		t[name] = among("yes", "no")
	}
	for was, is := range map[string]string{
		"challengeresponseauthentication": "kbdinteractiveauthentication", "skeyauthentication": "kbdinteractiveauthentication",
		"tisauthentication": "kbdinteractiveauthentication", "keyboardinteractiveauthentication": "kbdinteractiveauthentication",
		"dsaauthentication": "pubkeyauthentication", "keepalive": "tcpkeepalive",
	} {
		t[was] = renamed(is, t[is])
	}
	for name, k := range map[string]keyword{
		"controlmaster": among("yes", "no", "auto", "ask", "autoask"), "controlpath": {parse: one}, "controlpersist": {parse: flagOrSeconds},
		"requesttty": among("yes", "no", "force", "auto"), "sessiontype": among("none", "subsystem", "default"),
		"tunnel":           among("yes", "no", "ethernet", "point-to-point"),
		"verifyhostkeydns": among("yes", "no", "ask"), "updatehostkeys": among("yes", "no", "ask"),
		"fingerprinthash": among("md5", "sha256"), "forwardx11timeout": {parse: seconds},
		"forwardagent": {parse: one}, "xauthlocation": {parse: one}, "pkcs11provider": {parse: one}, "smartcarddevice": {parse: one},
		"securitykeyprovider": {parse: one}, "refuseconnection": {parse: one}, "tunneldevice": {parse: one}, "localcommand": {parse: rest}, "remotecommand": {parse: rest},
		"rekeylimit": {parse: rekeyLimit}, "sendenv": {parse: names("")}, "setenv": {parse: names("=")},
		"syslogfacility": among("auth", "authpriv", "daemon", "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
		"loglevel":       among("quiet", "fatal", "error", "info", "verbose", "debug", "debug1", "debug2", "debug3"),
	} {
		k.name = "-"
		t[name] = k
	}
	for _, name := range strings.Fields(otherKeywords) {
		t[name] = keyword{name: "-", parse: anything}
	}
	return t
})

func renamed(name string, k keyword) keyword {
	k.name = name
	return k
}

const flagKeywords = `batchmode canonicalizefallbacklocal checkhostip clearallforwardings compression enableescapecommandline
enablesshkeysign exitonforwardfailure forkafterauthentication forwardx11 forwardx11trusted gatewayports gssapiauthentication
gssapidelegatecredentials gssapikeyexchange gssapirenewalforcesrekey gssapitrustdns hashknownhosts hostbasedauthentication
identitiesonly kbdinteractiveauthentication nohostauthenticationforlocalhost passwordauthentication permitlocalcommand
proxyusefdpass stdinnull streamlocalbindunlink tcpkeepalive visualhostkey`

// otherKeywords mean nothing to a mount, or are of old versions, and may have any
// value.
const otherKeywords = `afstokenpassing channeltimeout cipher compressionlevel dynamicforward escapechar fallbacktorsh
globalknownhostsfile2 gssapiclientidentity gssapikexalgorithms gssapiserveridentity ipqos kbdinteractivedevices
kerberosauthentication kerberostgtpassing localforward logverbose obscurekeystroketiming permitremoteopen protocol remoteforward
rhostsauthentication rhostsrsaauthentication rsaauthentication streamlocalbindmask
useprivilegedport useroaming usersh userknownhostsfile2 versionaddendum warnweakcrypto`
