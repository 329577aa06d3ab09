package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/nearest"
)

// A target is a REMOTE with everything that was said about how to reach it:
// flags before what stands in REMOTE itself, that before the named remote.
type target struct {
	given    string            // REMOTE as it was given
	at       address.Address   // the same, taken apart
	said     config.Connection // what was said besides, without what a named remote knows
	user     string            // "" for ssh_config and the local name to decide
	host     string
	port     int // 0 for ssh_config to decide
	dir      string
	conn     config.Connection
	here     string // the working directory of who gave it; commands are run there
	batch    bool   // nobody is asked
	secret   string // a password read from standard input
	stdin    []byte // what --identity - reads
	replaces bool   // by moving the old file aside, where the server cannot otherwise
	whoami   bool   // the remote user's number is to be found at login
	memory   int64  // for data written and not yet acknowledged; 0 is the pool's own bound
}

func newTarget(given string, said config.Connection) (target, error) {
	store, err := config.Open(getenv)
	if err != nil {
		return target{}, err
	}
	a, err := address.Parse(given, store.Has)
	if err != nil {
		return target{}, nearName(err, store)
	}
	t := target{given: given, at: a, said: said, conn: said}
	t.here, _ = os.Getwd() // removed: then commands run where we are
	if a.Name != "" {
		named, err := readRemote(store, a.Name)
		if err != nil {
			return target{}, err
		}
		at, err := address.Parse(named.Address, nil)
		if err != nil {
			return target{}, fmt.Errorf("remote %s: %w", a.Name, err)
		}
		// What the address of a named remote says goes before its settings.
		base := config.Connection{User: at.User, Port: at.Port}.Over(named.Connection)
		at.Path = address.Join(at.Path, a.Path)
		a, t.conn = at, said.Over(base)
		a.User, a.Port = base.User, base.Port
	}
	t.host, t.dir = a.Host, a.Path
	t.user, t.port = first(said.User, a.User), first(said.Port, a.Port)
	return t, nil
}

// nearName looks whether what is no REMOTE is nearly the name of one.
func nearName(err error, store *config.Store) error {
	var syntax *address.SyntaxError
	if !errors.As(err, &syntax) || strings.ContainsAny(syntax.Text, ":/") {
		return err
	}
	names, listErr := store.Names()
	if listErr != nil {
		return err // what is wrong with the store is not what was asked
	}
	if n := nearest.Find(syntax.Text, names); n != "" {
		return usageHint(err.Error(), "did you mean "+n+"?")
	}
	return err
}

func readRemote(store *config.Store, name string) (config.Remote, error) {
	r, err := store.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, fail(exitUsage, fmt.Errorf("no remote %q was added", name), "remotemount remote list")
	}
	if err != nil {
		return r, fmt.Errorf("remote %s: %w", name, err)
	}
	return r, nil
}

func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// keyringName is under which name the password is kept.
func (t target) keyringName() string {
	name := t.host
	if t.port != 0 && t.port != 22 {
		name = net.JoinHostPort(t.host, strconv.Itoa(t.port))
	}
	if t.user != "" {
		name = t.user + "@" + name
	}
	return name
}
