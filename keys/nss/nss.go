// Package nss finds hosts, users and groups also where only the machine's name
// service switch knows them: nas.local by multicast DNS, people of an LDAP.
//
// A program without the C library cannot call its modules. Go's own resolver, and
// /etc/passwd and /etc/group, are asked first; when they know no such name, getent(1)
// is, which belongs to the C library and asks all modules. It is given a bounded time,
// and a name that begins with a dash is never passed on. Where there is no getent, and
// when it knows nothing either, Go's own error stands.
package nss

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience bounds a question to getent: a module may wait for a server that is away.
const patience = 10 * time.Second

// maxAnswer bounds what is read of an answer: a group may have many members.
const maxAnswer = 1 << 20

// getent gives the lines of an answer; none when nothing is known.
func getent(ctx context.Context, database, key string) []string {
	if key == "" || strings.HasPrefix(key, "-") || strings.ContainsAny(key, "\x00\n") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "getent", database, key)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &limited{&out, maxAnswer}
	if cmd.Run() != nil {
		return nil // not there, or it knows nothing: the error of who asked before stands
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

// A limited writer takes so many bytes, and then fails.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, io.ErrShortWrite
	}
	return l.w.Write(p)
}

// LookupHost finds the addresses of a host.
func LookupHost(ctx context.Context, host string) ([]string, error) {
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if NotFound(err) {
		if more := Addresses(ctx, host); len(more) > 0 {
			return more, nil
		}
	}
	return found, err
}

// NotFound tells whether Go's resolver has found that there is no such host. What it
// says of a name below .local is never the last word: those are not for the DNS
// (RFC 6762), whose servers refuse them, or are away where there is no other network.
func NotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && (dns.IsNotFound || strings.HasSuffix(strings.TrimSuffix(dns.Name, "."), ".local"))
}

// Addresses are those that getent alone knows of a host.
func Addresses(ctx context.Context, host string) []string {
	var out []string
	for _, line := range getent(ctx, "ahosts", host) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		ip, err := netip.ParseAddr(word)
		if err != nil || ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "" || slices.Contains(out, word) {
			continue // a link-local address without its interface leads nowhere
		}
		out = append(out, word)
	}
	return out
}

// Current is who runs this process. Go takes $USER for the name where /etc/passwd has
// none, which anybody may set.
func Current() (*user.User, error) {
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err == nil {
		return u, nil
	}
	if u := passwd(strconv.Itoa(os.Getuid()), func(u *user.User) string { return u.Uid }); u != nil {
		return u, nil
	}
	return user.Current()
}

// LookupUser finds a user by name.
func LookupUser(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		if u := passwd(name, func(u *user.User) string { return u.Username }); u != nil {
			return u, nil
		}
	}
	return u, err
}

// passwd reads the one line of passwd(5) that is about the key: getent takes names and
// numbers, and a name may be all digits.
func passwd(key string, is func(*user.User) string) *user.User {
	for _, line := range getent(context.Background(), "passwd", key) {
		f := strings.Split(line, ":")
		if len(f) < 7 || !isNumber(f[2]) || !isNumber(f[3]) {
			continue
		}
		name, _, _ := strings.Cut(f[4], ",")
		if u := (&user.User{Username: f[0], Uid: f[2], Gid: f[3], Name: name, HomeDir: f[5]}); is(u) == key {
			return u
		}
	}
	return nil
}

// LookupGroup finds the number of a group by its name.
func LookupGroup(name string) (*user.Group, error) {
	g, err := user.LookupGroup(name)
	var unknown user.UnknownGroupError
	if errors.As(err, &unknown) {
		for _, line := range getent(context.Background(), "group", name) {
			if f := strings.Split(line, ":"); len(f) >= 3 && f[0] == name && isNumber(f[2]) {
				return &user.Group{Gid: f[2], Name: name}, nil
			}
		}
	}
	return g, err
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 32)
	return err == nil
}

// Dial connects to host:port, also of a host that only getent knows, whose addresses
// are tried in their order.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	nc, err := d.DialContext(ctx, network, address)
	host, port, splitErr := net.SplitHostPort(address)
	if !NotFound(err) || splitErr != nil || ctx.Err() != nil {
		return nc, err
	}
	var failed error
	addresses := Addresses(ctx, host)
	for i, ip := range addresses {
		nc, dialErr := dialOne(ctx, d, network, net.JoinHostPort(ip, port), i == len(addresses)-1)
		if dialErr == nil {
			return nc, nil
		}
		if a := (*net.AddrError)(nil); !errors.As(dialErr, &a) { // not of another family than the network
			failed = errors.Join(failed, fmt.Errorf("%s: %w", host, dialErr))
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, err
}

// dialOne leaves time for the next address where there is one.
func dialOne(ctx context.Context, d *net.Dialer, network, address string, last bool) (net.Conn, error) {
	if !last {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience/2)
		defer cancel()
	}
	return d.DialContext(ctx, network, address)
}
