package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/nearest"
	"github.com/remotemount/remotemount/keys"
)

// A hint is a command to paste. It must reach the same remote, so what was said of
// the way to it is said again.

// again is this remote for another verb: REMOTE, and the flags that were given.
func (t target) again() string { return commandWords(t.at.String(), t.said) }

func commandWords(remote string, flags config.Connection) string {
	flags.Retry = 0 // only mount and remote have it
	words := append([]string{remote}, flags.Flags()...)
	for i, w := range words {
		words[i] = shellQuote(w)
	}
	return strings.Join(words, " ")
}

// above is the place to look for a folder that is not there: the server's root, or
// where the user lands. What a named remote knows is said out where its own folder
// would be in the way.
func (t target) above() string {
	at, flags := t.at, t.said
	at.Path = ""
	if strings.HasPrefix(t.dir, "/") {
		at.Path = "/"
	} else if at.Name != "" {
		at = address.Address{Host: t.host, User: t.user}
		flags = t.conn
		flags.User, flags.Port = "", t.port
	}
	return commandWords(at.String(), flags)
}

// folderHint is a next step when the remote folder is not there.
func (t target) folderHint() string {
	return first(t.portHint(), "remotemount browse "+t.above()+" lists what is there")
}

// portHint is for who wrote the port where the folder begins, as host:2222 or
// host:2222:folder.
func (t target) portHint() string {
	end := strings.IndexAny(t.at.Path+"/", ":/")
	port, err := address.ParsePort(t.at.Path[:end])
	if err != nil || t.port != 0 || t.at.Name != "" {
		return ""
	}
	at, flags := t.at, t.said
	at.Path, flags.Port = strings.TrimPrefix(t.at.Path[end:], ":"), port
	return fmt.Sprintf("a port is given by --port, not after the colon: %s", commandWords(at.String(), flags))
}

// explain is explain for an error of this remote: with its name, and with hints that
// can be pasted. key is the name under which its host key is kept.
func (t target) explain(err error, key string) *failure {
	f := explain(err)
	f.err = fmt.Errorf("%s: %w", t.given, err)
	f.hint = strings.ReplaceAll(f.hint, "doctor REMOTE", "doctor "+t.again())
	var h *keys.HostKeyError
	var dns *net.DNSError
	switch {
	case errors.As(err, &h) && h.Kind == keys.HostKeyUnknown && t.conn.SSH["HostKeyAlias"] != "":
		f.hint = "compare the fingerprint with the administrator's, then give --host-key " + h.New
	case errors.As(err, &h):
		f.hint = hostKeyHint(h, t.hostWords(h.Host, key, h.Kind == keys.HostKeyUnknown))
	case f.code == exitUnreachable || f.code == exitAuth:
		f.hint = first(t.portHint(), f.hint)
	}
	if errors.As(err, &dns) && dns.IsNotFound {
		f.hint = first(t.nameHint(), f.hint)
	}
	return f
}

// hostWords is a host for the verb hostkey: with the files that its key is looked for
// in, and the way to it if it has to be asked and is not one on the way.
func (t target) hostWords(host, key string, ask bool) string {
	flags := []string{"known-hosts", "ssh-config"}
	if ask && host == key {
		flags = append(flags, "jump", "bind-address", "identity")
		if t.aliased(key) {
			host, flags = t.given, append(flags, "port")
		}
	}
	words := append([]string{host}, t.conn.Flags(flags...)...)
	for i, w := range words {
		words[i] = shellQuote(w)
	}
	return strings.Join(words, " ")
}

// aliased: the name under which the key is kept is none to connect to.
func (t target) aliased(key string) bool {
	name := strings.TrimPrefix(key, "[")
	return t.at.Name != "" || !strings.HasPrefix(name, t.host)
}

// nameHint is for a host that does not exist, and is nearly the name of a remote.
func (t target) nameHint() string {
	store, err := config.Open(getenv)
	if err != nil {
		return "" // what is wrong with the store is not what was asked
	}
	names, err := store.Names()
	if n := nearest.Find(t.host, names); err == nil && t.at.Name == "" && n != "" {
		return "did you mean " + address.Address{Name: n, Path: t.at.Path}.String() + "?"
	}
	return ""
}

var errNoFolder = errors.New("is not there on the server")

// explainConnect is about a connection that was not made.
func (l *link) explainConnect(err error) error {
	err, t := withoutPreface(err), l.target
	where := first(t.dir, ".")
	switch what := folderError(err); {
	case errors.Is(what, syscall.ENOENT):
		return fail(exitFailed, fmt.Errorf("%s: the folder %s %w", t.given, where, errNoFolder), t.folderHint())
	case errors.Is(what, syscall.ENOTDIR):
		return fail(exitFailed, fmt.Errorf("%s: %s is not a folder on the server", t.given, where), t.folderHint())
	case errors.Is(what, syscall.EACCES):
		return fail(exitFailed, fmt.Errorf("%s: the server does not let this user into %s", t.given, where), "remotemount browse "+t.above()+" lists what may be seen")
	}
	return l.explain(err)
}

// folderError is what is wrong with the folder on the server, or nil.
func folderError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p
	}
	return nil
}

// explain is explain for an error of this link.
func (l *link) explain(err error) *failure { return l.target.explain(err, l.settings().HostKeyName) }

// looksRemote reports whether a word can only be a REMOTE: it is a URL, has a colon
// where a path on this machine would not, or is a remote that was added.
func looksRemote(word string) bool {
	before, _, colon := strings.Cut(word, ":")
	return colon && before != "" && !strings.ContainsAny(before, "/~") && before[0] != '.' || strings.HasPrefix(before, "[") || isNamed(word)
}
