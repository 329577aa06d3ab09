package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func env(t testing.TB, dir string) func(string) string {
	t.Helper()
	return func(name string) string {
		if name == "XDG_RUNTIME_DIR" {
			return dir
		}
		return ""
	}
}

// listen gives a mount's socket, and a client that finds it.
func listen(t testing.TB, base, mountpoint string, unmount func(context.Context, bool) (Unmounted, error)) (*Server, *Client) {
	t.Helper()
	getenv := env(t, base)
	dir, err := RuntimeDir(getenv)
	if err != nil {
		t.Fatal(err)
	}
	reconnect := func(ctx context.Context, ask Ask) Reconnected {
		if ask != nil {
			text, err := ask(ctx, Question{Text: "Code?", Echo: true})
			if second, _ := ask(ctx, Question{Text: "Again?"}); err == nil {
				return Reconnected{Hint: text + second}
			}
		}
		return Reconnected{Error: "refused", Hint: "mend it", Code: 3}
	}
	s, err := Listen(Config{Dir: dir, Mountpoint: mountpoint, Unmount: unmount, Reconnect: reconnect, Status: func() Status {
		return Status{Mountpoint: mountpoint, Remote: `h:"x"`, State: "connected", Connections: 2, Operations: map[string]Operation{"READ": {Calls: 3, Errors: 1}}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return s, &Client{dirs: []string{dir}}
}

func TestStatus(t *testing.T) {
	for _, depth := range []int{1, 12} { // the second is too long for a socket address
		base := filepath.Join(t.TempDir(), strings.Repeat("long-name/", depth))
		if err := os.MkdirAll(base, 0o700); err != nil {
			t.Fatal(err)
		}
		_, c := listen(t, base, "/mnt/a", nil)
		got, err := c.Status(t.Context(), "/mnt/a")
		if err != nil || got.Mountpoint != "/mnt/a" || got.Connections != 2 || got.PID != os.Getpid() {
			t.Errorf("depth %d: %+v, %v", depth, got, err)
		}
		if _, err := c.Status(t.Context(), "/mnt/b"); !errors.Is(err, ErrNone) {
			t.Errorf("depth %d: no mount there: %v", depth, err)
		}
	}
}

func TestReconnect(t *testing.T) {
	_, c := listen(t, t.TempDir(), "/mnt/a", nil)
	if got, err := c.Reconnect(t.Context(), "/mnt/a", nil); err != nil || got != (Reconnected{Error: "refused", Hint: "mend it", Code: 3}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Reconnect(t.Context(), "/mnt/b", nil); !errors.Is(err, ErrNone) {
		t.Errorf("no mount there: %v", err)
	}
}

// A login's questions come over the socket, and its answers go back.
func TestReconnectAsks(t *testing.T) {
	_, c := listen(t, t.TempDir(), "/mnt/a", nil)
	var asked []Question
	got, err := c.Reconnect(t.Context(), "/mnt/a", func(_ context.Context, q Question) (string, error) {
		asked = append(asked, q)
		return fmt.Sprint("answer", len(asked)), nil
	})
	if err != nil || got.Hint != "answer1answer2" || len(asked) != 2 || asked[0] != (Question{Text: "Code?", Echo: true}) {
		t.Errorf("%+v, %v, asked %+v", got, err, asked)
	}
	got, err = c.Reconnect(t.Context(), "/mnt/a", func(context.Context, Question) (string, error) { return "", ErrNobody })
	if err != nil || got.Code != 3 {
		t.Errorf("with nobody to ask: %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = c.Reconnect(ctx, "/mnt/a", func(ctx context.Context, _ Question) (string, error) {
		cancel() // Ctrl-C at the question
		<-ctx.Done()
		return "", ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("given up at the question: %v", err)
	}
}

func TestAllRemovesTheDead(t *testing.T) {
	base := t.TempDir()
	_, c := listen(t, base, "/mnt/a", nil)
	dead := filepath.Join(c.dirs[0], socketName("/mnt/dead"))
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: dead}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Close(fd); err != nil {
		t.Fatal(err)
	}
	all, err := c.All(t.Context())
	if err != nil || len(all) != 1 || all[0].Mountpoint != "/mnt/a" {
		t.Errorf("All: %+v, %v", all, err)
	}
	if _, err := os.Lstat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead socket: %v", err)
	}
}

// A mount may be killed after it was asked, and before or after it has read that.
func TestStatusOfOneThatIsDying(t *testing.T) {
	for name, dies := range map[string]func(net.Conn){
		"unread": func(net.Conn) {},
		"read":   func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := net.Listen("unix", filepath.Join(dir, socketName("/mnt/a")))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					dies(conn)
					_ = conn.Close()
				}
			}()
			c := &Client{dirs: []string{dir}}
			if _, err := c.Status(t.Context(), "/mnt/a"); !errors.Is(err, ErrNone) {
				t.Errorf("Status: %v, want ErrNone", err)
			}
			if all, err := c.All(t.Context()); len(all) != 0 || err != nil {
				t.Errorf("All: %v, %v, want none", all, err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
}

func TestUnmount(t *testing.T) {
	var forced bool
	_, c := listen(t, t.TempDir(), "/mnt/a", func(_ context.Context, force bool) (Unmounted, error) {
		if forced = force; force {
			return Unmounted{Device: "0:7", InUse: 2}, nil
		}
		return Unmounted{}, fmt.Errorf("unmount /mnt/a: %w", syscall.EBUSY)
	})
	_, err := c.Unmount(t.Context(), "/mnt/a", false)
	if !errors.Is(err, syscall.EBUSY) || err.Error() != "unmount /mnt/a: device or resource busy" {
		t.Errorf("busy: %v", err)
	}
	if got, err := c.Unmount(t.Context(), "/mnt/a", true); err != nil || !forced || got != (Unmounted{"0:7", 2}) {
		t.Errorf("forced: %v, %v, %v", got, err, forced)
	}
	if _, err := c.Unmount(t.Context(), "/mnt/b", true); !errors.Is(err, ErrNone) {
		t.Errorf("none there: %v", err)
	}
}

// A mount that begins while the old one on the same point ends keeps its socket.
func TestTakeOver(t *testing.T) {
	base := t.TempDir()
	old, c := listen(t, base, "/mnt/a", nil)
	listen(t, base, "/mnt/a", nil)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context(), "/mnt/a"); err != nil {
		t.Errorf("the new one does not answer: %v", err)
	}
}

func TestRuntimeDirRefuses(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "remotemount")
	if err := os.Symlink("/etc", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := RuntimeDir(env(t, base)); err == nil {
		t.Error("a symbolic link was taken")
	}
	if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700), os.Chmod(dir, 0o750)); err != nil {
		t.Fatal(err)
	}
	if _, err := RuntimeDir(env(t, base)); err == nil {
		t.Error("a folder open to the group was taken")
	}
	if os.Getuid() != 0 {
		return
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 12345, -1)); err != nil {
		t.Fatal(err)
	}
	if _, err := RuntimeDir(env(t, base)); err == nil {
		t.Error("a folder of somebody else's was taken")
	}
}

func TestMetrics(t *testing.T) {
	var b strings.Builder
	s := Status{Mountpoint: "/m", Remote: "h:\"\\\n", State: "away", BytesRead: 7, Operations: map[string]Operation{"READ": {3, 1}}, Cache: map[string]int64{"hits": 4}}
	if err := s.WriteMetrics(&b); err != nil {
		t.Fatal(err)
	}
	labels := `{mountpoint="/m",remote="h:\"\\\n"`
	for _, line := range []string{
		"remotemount_state" + labels + `,state="away"} 1`,
		"remotemount_state" + labels + `,state="connected"} 0`,
		"remotemount_read_bytes_total" + labels + `} 7`,
		"remotemount_operations_total" + labels + `,operation="READ"} 3`,
		"remotemount_operation_errors_total" + labels + `,operation="READ"} 1`,
		"remotemount_cache" + labels + `,name="hits"} 4`,
		"# TYPE remotemount_requests_total counter",
	} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("%s\nis not in\n%s", line, b.String())
		}
	}
}
