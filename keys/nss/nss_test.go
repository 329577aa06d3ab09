package nss

import (
	"context"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeGetent puts a getent into PATH that knows what nobody else does, and tells what
// it was asked.
func fakeGetent(t *testing.T, script string) (asked func() string) {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/sh\necho \"$*\" >>" + filepath.Join(dir, "asked") + "\n" + script
	if err := os.WriteFile(filepath.Join(dir, "getent"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "asked")) // nothing was asked
		return strings.TrimSpace(string(text))
	}
}

const answers = `case "$1 $2" in
"ahosts nas.invalid") printf '127.0.0.1       STREAM nas.invalid\n127.0.0.1       DGRAM\n::1  STREAM\nfe80::1 STREAM\nnonsense\n' ;;
"passwd kim.ldap") echo 'kim.ldap:*:70017:70018:Kim Doe,,,:/home/ldap/kim:/bin/sh' ;;
"passwd 4711") echo 'other:*:4711:4711::/home/other:/bin/sh' ;;
"passwd broken") echo 'broken:*:x:y::/:/bin/sh' ;;
"group staff.ldap") echo 'staff.ldap:*:70018:kim.ldap' ;;
*) exit 2 ;;
esac
`

func TestHosts(t *testing.T) {
	asked := fakeGetent(t, answers)
	ctx := context.Background()
	if got, err := LookupHost(ctx, "nas.invalid"); err != nil || !slices.Equal(got, []string{"127.0.0.1", "::1"}) {
		t.Errorf("nas.invalid: %v, %v", got, err)
	}
	if got := asked(); got != "ahosts nas.invalid" {
		t.Errorf("asked %q", got)
	}
	if got, err := LookupHost(ctx, "nobody.invalid"); !NotFound(err) {
		t.Errorf("nobody.invalid: %v, %v; want Go's own error", got, err)
	}
}

// What Go finds by itself, and what begins with a dash, is nothing to ask.
func TestNotAsked(t *testing.T) {
	asked := fakeGetent(t, "echo '127.0.0.1 STREAM x'")
	if _, err := LookupHost(context.Background(), "127.0.0.1"); err != nil {
		t.Error(err)
	}
	if _, err := LookupUser("root"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"-s", "--help", "", "a\nb"} {
		if got := getent(context.Background(), "ahosts", name); got != nil {
			t.Errorf("%q: %v", name, got)
		}
	}
	if got := asked(); got != "" {
		t.Errorf("asked %q", got)
	}
}

func TestUsersAndGroups(t *testing.T) {
	fakeGetent(t, answers)
	u, err := LookupUser("kim.ldap")
	if err != nil || u.Uid != "70017" || u.Gid != "70018" || u.HomeDir != "/home/ldap/kim" || u.Name != "Kim Doe" {
		t.Errorf("kim.ldap: %+v, %v", u, err)
	}
	if g, err := LookupGroup("staff.ldap"); err != nil || g.Gid != "70018" {
		t.Errorf("staff.ldap: %+v, %v", g, err)
	}
	for _, name := range []string{"4711", "broken", "nobody.ldap"} { // a number that is somebody else's; no numbers; nobody
		if u, err := LookupUser(name); err == nil {
			t.Errorf("%s: %+v", name, u)
		}
	}
	me, err := Current()
	if err != nil || me.Username == "" {
		t.Errorf("current: %+v, %v", me, err)
	}
}

// The dialling of a host that only getent knows.
func TestDial(t *testing.T) {
	fakeGetent(t, answers)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for network, works := range map[string]bool{"tcp": true, "tcp4": true, "tcp6": false} {
		nc, err := Dial(context.Background(), &net.Dialer{}, network, "nas.invalid:"+port)
		if (err == nil) != works {
			t.Errorf("%s: %v", network, err)
		}
		if err == nil {
			_ = nc.Close()
		}
	}
}

// Without getent, or with one that fails, Go's own error stands.
func TestWithoutGetent(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := LookupHost(context.Background(), "nas.invalid"); !NotFound(err) {
		t.Errorf("host: %v", err)
	}
	if _, err := LookupUser("kim.ldap"); err != user.UnknownUserError("kim.ldap") {
		t.Errorf("user: %v", err)
	}
	if _, err := Dial(context.Background(), &net.Dialer{}, "tcp", "nas.invalid:22"); !NotFound(err) {
		t.Errorf("dial: %v", err)
	}
}

// A getent that hangs is given up with who asked.
func TestBounded(t *testing.T) {
	fakeGetent(t, "exec sleep 60")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if got := getent(ctx, "ahosts", "nas.invalid"); got != nil {
		t.Errorf("got %v", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
