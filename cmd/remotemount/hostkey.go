package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/keys"
)

func hostkeyCommand() *cli.Command {
	file := hostFlags("known-hosts", "ssh-config")
	where := hostFlags("known-hosts", "ssh-config", "port")
	reach := hostFlags("known-hosts", "ssh-config", "port", "jump", "bind-address", "identity", "timeout")
	return &cli.Command{
		Name:  "hostkey",
		Usage: "see and decide which servers are trusted",
		Subcommands: []*cli.Command{
			{Name: "scan", Usage: "show the keys a server has, and whether they are known", UsageText: "remotemount hostkey scan HOST",
				Flags: reach, Action: hostkeyScan},
			{Name: "list", Usage: "list the keys on file, and the hosts that are disabled", UsageText: "remotemount hostkey list",
				Flags: file, Action: hostkeyList},
			{Name: "show", Usage: "show what is known of one host", UsageText: "remotemount hostkey show HOST",
				Flags: where, Action: hostkeyShow},
			{Name: "accept", Usage: "trust a host's key, after comparing its fingerprint", UsageText: "remotemount hostkey accept HOST [--fingerprint SHA256:...]",
				Flags:  append(slices.Clone(reach), &cli.StringFlag{Name: "fingerprint", Usage: "accept only the key with this `FINGERPRINT`, without asking"}),
				Action: hostkeyAccept},
			{Name: "forget", Usage: "forget a host's keys; the next contact is a first one", UsageText: "remotemount hostkey forget HOST",
				Flags: where, Action: hostkeyForget},
		},
	}
}

// hostFlags picks some of the connection flags.
func hostFlags(names ...string) []cli.Flag {
	return slices.DeleteFunc(connectionFlags(), func(f cli.Flag) bool { return !slices.Contains(names, f.Names()[0]) })
}

// hostTarget reads a HOST: a named remote, any REMOTE, a bare host, or
// "[host]:port" as known_hosts and our messages write it.
func hostTarget(c *cli.Context, host string) (target, error) {
	said, err := connectionFrom(c)
	if err != nil {
		return target{}, err
	}
	if rest, ok := strings.CutPrefix(host, "["); ok {
		name, port, found := strings.Cut(rest, "]:")
		var n int
		if _, err := fmt.Sscanf(port, "%d", &n); found && err == nil && fmt.Sprint(n) == port {
			return bareTarget(host, address.Address{Host: name, Port: n}, said), nil
		}
	}
	if isNamed(host) || strings.Contains(host, ":") {
		return newTarget(host, said)
	}
	user, name, found := strings.Cut(host, "@")
	if !found {
		user, name = "", host
	}
	return bareTarget(host, address.Address{User: user, Host: name}, said), nil
}

func bareTarget(given string, at address.Address, said config.Connection) target {
	return target{given: given, at: at, said: said, user: at.User, host: at.Host, port: first(said.Port, at.Port), conn: said}
}

// A hostClient is the client for the host a verb names.
type hostClient struct {
	*keys.Client
	target target
}

func newHostClient(c *cli.Context) (*hostClient, error) {
	args, err := arguments(c, "HOST")
	if err != nil {
		return nil, err
	}
	t, err := hostTarget(c, args[0])
	if err != nil {
		return nil, err
	}
	client, err := keys.NewClient(c.Context, t.clientConfig(newPrompter(), keyNotes(c)))
	if err != nil {
		return nil, t.explainSettings(err)
	}
	return &hostClient{client, t}, nil
}

// scan asks the server.
func (h *hostClient) scan(ctx context.Context) ([]ssh.PublicKey, error) {
	shown, err := h.ScanHostKeys(ctx)
	if err != nil {
		return nil, h.target.explain(err, h.Settings().HostKeyName)
	}
	return shown, nil
}

// unknown is for a host of which nothing is on file.
func (h *hostClient) unknown(name, otherwise string) error {
	return fail(exitFailed, fmt.Errorf("nothing is on file for %s", name), first(h.target.portHint(), otherwise))
}

// scanTime bounds a scan, which makes three connections.
func scanTime(c *cli.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, first(time.Duration(duration(c, "timeout")), 30*time.Second))
	return ctx, func() { cancel(); stop() }
}

func hostkeyScan(c *cli.Context) error {
	client, err := newHostClient(c)
	if err != nil {
		return err
	}
	ctx, stop := scanTime(c)
	defer stop()
	shown, err := client.scan(ctx)
	if err != nil {
		return err
	}
	name := client.Settings().HostKeyName
	known, err := client.Hosts().Lookup(name)
	if err != nil {
		return err
	}
	out := &printer{c.App.Writer, nil}
	for _, key := range shown {
		out.say("%s  %s  (%s)\n", name, keys.Describe(key), standing(key, known))
	}
	return out.err
}

// standing is how a key that was shown compares with what is on file.
func standing(key ssh.PublicKey, known []keys.KnownHost) string {
	plain := false
	for _, k := range known {
		same := string(k.Key.Marshal()) == string(key.Marshal())
		switch {
		case same && k.Revoked:
			return "revoked"
		case same && !k.Authority:
			return "known"
		case !k.Revoked && !k.Authority && k.Key.Type() == key.Type():
			return "ANOTHER KEY IS ON FILE"
		case !k.Revoked && !k.Authority:
			plain = true
		}
	}
	if plain {
		return "not on file; the host is known by a key of another type"
	}
	return "not known"
}

// knownFiles is what is on file, for verbs without a host.
func knownFiles(c *cli.Context) (*keys.KnownHosts, error) {
	said, err := connectionFrom(c)
	if err != nil {
		return nil, err
	}
	t := target{host: "localhost", conn: said}
	config := t.clientConfig(nil, keyNotes(c))
	config.Agent = "none"
	client, err := keys.NewClient(c.Context, config)
	if err != nil {
		return nil, err
	}
	return client.Hosts(), nil
}

func hostkeyList(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	hosts, err := knownFiles(c)
	if err != nil {
		return err
	}
	known, err := hosts.List()
	if err != nil {
		return err
	}
	disabled, err := hosts.Disabled()
	if err != nil {
		return err
	}
	out := &printer{c.App.Writer, nil}
	for _, d := range disabled {
		out.disabled(&d)
	}
	for _, k := range known {
		out.known(k)
	}
	return out.err
}

func (p *printer) known(k keys.KnownHost) {
	hosts, mark := k.Hosts, ""
	if strings.HasPrefix(hosts, "|") {
		hosts = "(hashed)"
	}
	if k.Authority {
		mark = "  authority"
	}
	if k.Revoked {
		mark = "  revoked"
	}
	p.say("%s  %s  %s:%d%s\n", oneLine(hosts), keys.Describe(k.Key), oneLine(k.File), k.Line, mark)
}

func (p *printer) disabled(d *keys.DisabledHost) {
	p.say("%s  DISABLED since %s: its key was %s and changed to %s\n",
		oneLine(d.Name), d.Since.Local().Format(time.DateTime), strings.Join(d.Old, " or "), ssh.FingerprintSHA256(d.New))
}

func hostkeyShow(c *cli.Context) error {
	client, err := newHostClient(c)
	if err != nil {
		return err
	}
	name := client.Settings().HostKeyName
	known, err := client.Hosts().Lookup(name)
	if err != nil {
		return err
	}
	d, err := client.Hosts().DisabledHost(name)
	if err != nil {
		return err
	}
	if d == nil && len(known) == 0 {
		return client.unknown(name, "remotemount hostkey scan "+client.target.hostWords(name, name, true))
	}
	out := &printer{c.App.Writer, nil}
	if d != nil {
		out.disabled(d)
	}
	for _, k := range known {
		out.known(k)
	}
	return out.err
}

func hostkeyForget(c *cli.Context) error {
	client, err := newHostClient(c)
	if err != nil {
		return err
	}
	name := client.Settings().HostKeyName
	d, err := client.Hosts().DisabledHost(name)
	if err != nil {
		return err
	}
	n, err := client.Hosts().Forget(name)
	if err != nil {
		return err
	}
	if n == 0 && d == nil {
		return client.unknown(name, "remotemount hostkey list")
	}
	_, err = fmt.Fprintf(c.App.ErrWriter, "remotemount: %s is forgotten (%d on file); the next contact is a first one\n", name, n)
	return err
}

var errNotAccepted = errors.New("not accepted; nothing was changed")
