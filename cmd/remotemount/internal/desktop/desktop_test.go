package desktop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// bus starts a bus of the test's own, and gives its address.
func bus(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
			t.Fatal("dbus-daemon is not installed")
		}
		t.Skip("dbus-daemon is not installed")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	text := fmt.Sprintf(`<busconfig><type>session</type><listen>unix:path=%s/bus</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config-file="+config, "--nofork", "--print-address")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // what is wrong shows in Wait
		_ = cmd.Wait()         // killed
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// A shown is a notice as the desktop gets it.
type shown struct {
	app, title, text string
	urgency          byte
}

// server is a desktop's half.
type server struct{ got chan shown }

func (s server) Notify(app string, _ uint32, _, title, text string, _ []string, hints map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	urgency, _ := hints["urgency"].Value().(byte)
	s.got <- shown{app, title, text, urgency}
	return 1, nil
}

func TestShow(t *testing.T) {
	address := bus(t)
	if err := Show(context.Background(), address, Notice{}); err == nil {
		t.Error("a desktop without notices: no error")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := dbus.Connect(address, dbus.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	s := server{make(chan shown, 1)}
	if err := conn.Export(s, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName("org.freedesktop.Notifications", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	if err := Show(context.Background(), address, Notice{"A title", "<b>a & b</b>\xff", true}); err != nil {
		t.Fatal(err)
	}
	want := shown{"remotemount", "A title", "&lt;b&gt;a &amp; b&lt;/b&gt;\uFFFD", 2}
	if got := <-s.got; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A bus that takes the call and says nothing is given up.
func TestShowIsBounded(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := Show(ctx, "unix:path="+socket, Notice{}); err == nil || time.Since(began) > patience {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestAddress(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{}
	getenv := func(name string) string { return env[name] }
	if _, err := Address(getenv); !errors.Is(err, ErrNoBus) {
		t.Errorf("without anything: %v", err)
	}
	env["XDG_RUNTIME_DIR"] = dir
	if _, err := Address(getenv); !errors.Is(err, ErrNoBus) {
		t.Errorf("without a socket: %v", err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if got, err := Address(getenv); err != nil || !strings.HasPrefix(got, "unix:path=/") {
		t.Errorf("the runtime folder's: %q, %v", got, err)
	}
	env["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/elsewhere"
	if got, err := Address(getenv); err != nil || got != "unix:path=/elsewhere" {
		t.Errorf("the environment's: %q, %v", got, err)
	}
	for _, address := range []string{"tcp:host=example.org,port=1", "unixexec:path=/bin/sh", "autolaunch:"} {
		env["DBUS_SESSION_BUS_ADDRESS"] = address
		if got, err := Address(getenv); !errors.Is(err, ErrNoBus) {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
}
