package sync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// The test binary runs itself to have a process that can be killed.
const (
	killedLocal  = "REMOTEMOUNT_TEST_LOCAL"
	killedRemote = "REMOTEMOUNT_TEST_REMOTE"
	killedHow    = "REMOTEMOUNT_TEST_OPTIONS" // as JSON
)

func TestMain(m *testing.M) {
	if os.Getenv(killedLocal) != "" {
		if err := toBeKilled(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func toBeKilled() error {
	dir := remotetest.NewDir(os.Getenv(killedRemote))
	dir.WriteBehind = true
	dir.Latency = 300 * time.Microsecond
	local := os.Getenv(killedLocal)
	var o Options
	if err := json.Unmarshal([]byte(os.Getenv(killedHow)), &o); err != nil {
		return err
	}
	r, err := New(Config{Options: o, Local: local, Remote: dir, Pair: "test " + local})
	if err != nil {
		return err
	}
	_, err = r.Run(context.Background())
	return err
}

// A run is killed at a random moment, again and again. At every moment each name
// holds a whole version, and in the end all is there and nothing is left over.
func TestKilledAtRandomMoments(t *testing.T) {
	for _, mode := range []Mode{Push, Pull} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newPairing(t, Options{Mode: mode})
			from, to := p.local, p.remote
			if mode == Pull {
				from, to = to, from
			}
			rnd := rand.New(rand.NewPCG(3, uint64(mode)))
			for i := range 25 {
				killedFiles(t, from, to, i)
				before := versions(t, to)
				killRun(t, p.options, p.local, p.remote, time.Duration(30+rnd.IntN(120))*time.Millisecond)
				wholeVersions(t, from, to, before)
			}
			p.clean()
			sameTrees(t, p.local, p.remote, true)
			noTemps(t, p.local, p.remote)
		})
	}
}

// killedFiles makes new versions of small files and of a large one.
func killedFiles(t *testing.T, from, to string, round int) {
	t.Helper()
	for i := range 40 {
		put(t, from, fmt.Sprintf("d%d/small%d", i/10, i), fmt.Sprintf("round %d %s", round, pattern(byte(i), i*50)), old+int64(round))
	}
	if round%5 == 0 {
		put(t, from, "large", string(pattern(byte(round), 12<<20+round)), old+int64(round))
	}
}

// killRun begins a run in another process and kills it after a time.
func killRun(t testing.TB, o Options, local, remote string, after time.Duration) {
	t.Helper()
	how, err := json.Marshal(o)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedLocal+"="+local, killedRemote+"="+remote, killedHow+"="+string(how))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && (!errors.As(err, &exit) || exit.Exited()) {
		t.Fatalf("the run failed before it was killed: %v: %s", err, &said)
	}
}

// wholeVersions checks that each name has the version it had before or the new
// one.
func wholeVersions(t *testing.T, from, to string, before map[string]version) {
	t.Helper()
	source := versions(t, from)
	for path, v := range versions(t, to) {
		if strings.HasPrefix(filepath.Base(path), tempPrefix) {
			continue
		}
		if v != source[path] && v != before[path] {
			t.Fatalf("%s is neither the old version nor the new: %d bytes", path, len(v.text))
		}
	}
	for path := range before {
		if strings.HasPrefix(filepath.Base(path), tempPrefix) {
			continue
		}
		if _, err := os.Lstat(filepath.Join(to, path)); err != nil {
			t.Fatalf("%s is gone", path)
		}
	}
}
