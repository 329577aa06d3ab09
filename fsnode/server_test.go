package fsnode_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/remotemount/remotemount/fsnode"
	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// A mount is served by another process, this test binary again: a process that
// uses a mount it serves itself can deadlock. The test speaks to it in lines of
// JSON, a request and its answer.

const serverEnv = "FSNODE_TEST_SERVER"

func TestMain(m *testing.M) {
	if name, dir, ok := strings.Cut(os.Getenv(programEnv), ":"); ok {
		if err := program(name, dir); err != nil {
			fmt.Fprintln(os.Stderr, name, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if setup := os.Getenv(serverEnv); setup != "" {
		if err := serve(setup); err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// setup is what a test wants mounted.
type setup struct {
	Dir, Point  string
	AttrTimeout time.Duration
	WriteBehind bool
	Latency     time.Duration
	Options     []string

	ReadOnly, AllowOther, DefaultPermissions, MultiUser, FollowSymlinks bool

	UID, GID, Umask *uint32

	Contain   fsnode.Containment
	Transform bool
	MostNames int
}

// command is one request to the server, and its answer.
type command struct {
	Op, Path, To, Data string
	Errno              int
}

type reply struct {
	Err   string
	Errno int
	Calls map[string]int
	Stats fsnode.Stats
}

// obstacles fail or hold calls of the Remote.
type obstacles struct {
	mu    sync.Mutex
	errno map[string]syscall.Errno // guarded by mu
	gates map[string]chan struct{} // guarded by mu: calls wait until it is closed
}

func (o *obstacles) before(ctx context.Context, op, _ string) error {
	o.mu.Lock()
	errno, gate := o.errno[op], o.gates[op]
	o.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if errno != 0 {
		return errno
	}
	return nil
}

func serve(text string) error {
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	obst := &obstacles{errno: map[string]syscall.Errno{}, gates: map[string]chan struct{}{}}
	dir := remotetest.NewDir(s.Dir)
	dir.WriteBehind, dir.Latency, dir.Before = s.WriteBehind, s.Latency, obst.before
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	debug := os.Getenv("FSNODE_TEST_DEBUG") != ""
	if debug {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	m, err := fsnode.Mount(context.Background(), s.Point, fsnode.Config{
		Remote: dir, Source: "test:" + s.Dir, AttrTimeout: s.AttrTimeout,
		ReadOnly: s.ReadOnly, AllowOther: s.AllowOther, DefaultPermissions: s.DefaultPermissions,
		MultiUser: s.MultiUser, FollowSymlinks: s.FollowSymlinks,
		Contain: s.Contain, TransformSymlinks: s.Transform, Given: s.Point, MostNames: s.MostNames,
		UID: s.UID, GID: s.GID, Umask: s.Umask, Options: s.Options, Log: log, Debug: debug,
	})
	if err != nil {
		return err
	}
	fmt.Println(`{}`)
	in := json.NewDecoder(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		var c command
		if err := in.Decode(&c); err != nil {
			break // the test is over
		}
		if err := out.Encode(answer(m, dir, obst, c)); err != nil {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := m.Unmount(ctx); err != nil {
		return errors.Join(err, m.ForceUnmount())
	}
	return nil
}

func answer(m *fsnode.FS, dir *remotetest.Dir, obst *obstacles, c command) reply {
	err := run(m, dir, obst, c)
	r := reply{Calls: dir.Calls(), Stats: m.Stats()}
	if err != nil {
		r.Err = err.Error()
		var errno syscall.Errno
		if errors.As(err, &errno) {
			r.Errno = int(errno)
		}
	}
	return r
}

func run(m *fsnode.FS, dir *remotetest.Dir, obst *obstacles, c command) error {
	ctx := context.Background()
	side := m.Remote()
	switch c.Op {
	case "calls":
		return nil
	case "reset":
		dir.Reset()
		return nil
	case "fail":
		obst.mu.Lock()
		defer obst.mu.Unlock()
		obst.errno[c.Path] = syscall.Errno(c.Errno)
		return nil
	case "hold":
		obst.mu.Lock()
		defer obst.mu.Unlock()
		obst.gates[c.Path] = make(chan struct{})
		return nil
	case "let":
		obst.mu.Lock()
		defer obst.mu.Unlock()
		close(obst.gates[c.Path])
		delete(obst.gates, c.Path)
		return nil
	case "force":
		return m.ForceUnmount()
	case "unmount":
		_, err := m.Unmount(ctx)
		return err
	case "wait":
		m.Wait()
		return nil
	case "mkdir":
		_, err := side.Mkdir(ctx, c.Path, 0o755)
		return err
	case "remove":
		return side.Remove(ctx, c.Path)
	case "rmdir":
		return side.Rmdir(ctx, c.Path)
	case "rename":
		return side.Rename(ctx, c.Path, c.To, false)
	case "write":
		file, _, err := side.Open(ctx, c.Path, remote.FlagWrite|remote.FlagCreate|remote.FlagTruncate, 0o644)
		if err != nil {
			return err
		}
		_, err = file.WriteAt(ctx, []byte(c.Data), 0)
		return errors.Join(err, file.Close(ctx))
	}
	return fmt.Errorf("unknown command %q", c.Op)
}

// A served mount, from the test's side.
type served struct {
	setup
	t     testing.TB
	mnt   string // where it is mounted
	dir   string // what is mounted
	cmd   *exec.Cmd
	stdin io.Closer
	in    *json.Encoder
	out   *json.Decoder
	once  sync.Once
}

// need skips a test whose requirement is missing, where that is allowed.
func need(t testing.TB, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("REMOTEMOUNT_REQUIRE_ALL") == "1" {
		t.Fatalf("this test needs %s", what)
	}
	t.Skipf("this test needs %s", what)
}

// mount mounts a new folder as s says, and unmounts it with the test.
func mount(t testing.TB, s setup) *served {
	t.Helper()
	_, err := os.Stat("/dev/fuse")
	need(t, err == nil, "/dev/fuse")
	base := t.TempDir()
	if s.Dir == "" {
		s.Dir, s.Point = filepath.Join(base, "dir"), filepath.Join(base, "mnt")
		for _, dir := range []string{s.Dir, s.Point} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, s, exec.Command(os.Args[0]), string(text))
}

// start runs the server and waits until it has mounted.
func start(t testing.TB, s setup, cmd *exec.Cmd, text string) *served {
	t.Helper()
	cmd.Env = append(os.Environ(), serverEnv+"="+text)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &logged{t: t}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &served{
		setup: s, t: t, mnt: s.Point, dir: s.Dir, cmd: cmd, stdin: stdin,
		in: json.NewEncoder(stdin), out: json.NewDecoder(bufio.NewReader(stdout)),
	}
	t.Cleanup(m.end)
	var ready reply
	if err := m.out.Decode(&ready); err != nil {
		t.Fatalf("the server did not mount: %v", err)
	}
	return m
}

// end unmounts and checks that nothing is left.
func (m *served) end() { m.once.Do(m.finish) }

func (m *served) finish() {
	_ = m.stdin.Close()
	timer := time.AfterFunc(15*time.Second, func() { _ = m.cmd.Process.Kill() })
	defer timer.Stop()
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("server: %v", err)
	}
	if m.mounted() {
		m.t.Errorf("still mounted: %s", m.mnt)
		_ = syscall.Unmount(m.mnt, syscall.MNT_DETACH)
	}
}

// mounted reports whether the mount table has it.
func (m *served) mounted() bool {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Contains(string(table), " "+strings.ReplaceAll(m.mnt, " ", `\040`)+" ")
}

// ask has the server do something.
func (m *served) ask(c command) reply {
	m.t.Helper()
	var r reply
	if err := m.in.Encode(c); err != nil {
		m.t.Fatal(err)
	}
	if err := m.out.Decode(&r); err != nil {
		m.t.Fatalf("%s: %v", c.Op, err)
	}
	return r
}

// must is ask for what has to go well.
func (m *served) must(c command) reply {
	m.t.Helper()
	r := m.ask(c)
	if r.Err != "" {
		m.t.Fatalf("%s %s: %s", c.Op, c.Path, r.Err)
	}
	return r
}

// path is a file in the mount, and disk the same one behind it.
func (m *served) path(name string) string { return filepath.Join(m.mnt, name) }
func (m *served) disk(name string) string { return filepath.Join(m.dir, name) }

// logged is the server's standard error in the test's log.
type logged struct {
	t  testing.TB
	mu sync.Mutex
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(string(p)) {
		l.t.Log(strings.TrimRight(line, "\n"))
	}
	return len(p), nil
}
