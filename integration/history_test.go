package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/history"
	"github.com/remotemount/remotemount/integration/lab"
)

// A setting is what histories are played on: a server, and how it is mounted.
type setting struct {
	name   string
	server func(testing.TB, *site) server
	root   bool // mounted by root, where the tests run as root
	flags  []string
	pairs  int           // of processes that play histories beside each other; 0 is one
	cuts   time.Duration // between cuts of the link, once something went over it; 0 is none
}

// settings are those that every history about data is played on.
var settings = []setting{
	{name: "ordered", server: openSSH},
	{name: "ordered, nothing kept", server: openSSH, root: true, flags: []string{"--attr-timeout", "0"}},
	{name: "ordered, 20 ms", server: farOpenSSH, pairs: 4},
	{name: "serve", server: serving, root: true},
	{name: "foreign", server: foreign},
	{name: "foreign, nothing kept", server: foreign, root: true, flags: []string{"--attr-timeout", "0"}},
}

// cutSettings are those in which connections break. Random histories alone are played
// on them: what comes of a cut is another matter each time.
var cutSettings = []setting{
	{name: "ordered, cut", server: openSSH, cuts: 500 * time.Millisecond},
	{name: "ordered, 20 ms, cut", server: farOpenSSH, cuts: 2 * time.Second, pairs: 4}, // a login takes a second on a busy machine
}

// A stage is a mount in a setting, with processes for histories.
type stage struct {
	*site
	server server
	played int
}

// newStage mounts a setting.
func newStage(t testing.TB, in setting) *stage {
	t.Helper()
	users, err := lab.Users()
	if err != nil {
		missing(t, err.Error())
	}
	u := users[len(users)-1]
	if in.root {
		u = users[0]
	}
	s := newSite(t, u)
	must(t, s.Mkdir("local", 0o755))
	st := &stage{site: s, server: in.server(t, s)}
	if in.cuts == 0 {
		s.mountAt(t, st.server.port, st.remoteOf(), s.point, in.flags...)
		return st
	}
	l := linkTo(t, st.server)
	st.server.port = l.Port()
	s.mountAt(t, st.server.port, st.remoteOf(), s.point, in.flags...)
	t.Cleanup(l.CutEvery(in.cuts, 2000)) // not while it is mounted or unmounted
	return st
}

func (st *stage) remoteOf() string { return st.sshd.User + "@127.0.0.1:" + st.server.path }

// processes starts the two processes of a history, each with the mountpoint it
// works in. They end with t.
func (st *stage) processes(t testing.TB, points ...string) []*history.Process {
	t.Helper()
	var list []*history.Process
	for _, point := range points {
		cmd := st.childJob(t, "history")
		cmd.Env = append(cmd.Env, historyPoint+"="+point)
		p, err := history.Start(cmd)
		must(t, err)
		t.Cleanup(func() {
			if err := p.Close(); err != nil && !t.Failed() {
				t.Error(err)
			}
		})
		list = append(list, p)
	}
	return list
}

// childJob is the command of a helper process for a job in the lab; see
// inside_test.go.
func (s *site) childJob(t testing.TB, name string) *exec.Cmd {
	t.Helper()
	program := s.Path("inside.test")
	must(t, copyProgram(s.Lab))
	cmd := s.Command(context.Background(), program, "-test.run=^TestInside$")
	cmd.Env = append(cmd.Env, insideEnv+"="+name, insideDir+"="+s.Dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// historyPoint names the mountpoint of a process of a history.
const historyPoint = "REMOTEMOUNT_TEST_POINT"

func init() { jobs["history"] = historyJob }

func historyJob(t *testing.T, dir string) {
	must(t, history.Serve(os.Stdin, os.Stdout, history.Folders{
		Mount: os.Getenv(historyPoint), Local: filepath.Join(dir, "local"), Server: filepath.Join(dir, "remote"),
	}))
}

// play plays a history on a stage, in folders that no other history has.
func (st *stage) play(processes []*history.Process, steps []history.Step) (*history.Difference, error) {
	st.played++
	return history.Play(processes, fmt.Sprintf("h%d", st.played), steps)
}
