package remotetest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// RunCuts holds a Remote to what the contract says of lost connections: each
// operation with its request dropped before it was executed, dropped after, held
// back, and executed late; then what must not be taken for ours; then, in bubbles, what
// is executed late of a file that was closed meanwhile.
//
// open makes the Remote on connections of s.Connect, and ends it with t. It may
// set fields of s before that; a foreign Identification and a Latency are worth
// runs of their own. The Remote must dial again by itself, and have a timeout of
// a few seconds or more: no test waits for it to pass. Subtests run in parallel.
func RunCuts(t *testing.T, open func(t testing.TB, s *Server) remote.Remote) {
	t.Helper()
	t.Run("fates", func(t *testing.T) {
		for _, row := range cutRows() {
			t.Run(row.name, func(t *testing.T) {
				for _, f := range cutFates() {
					if row.noLate && f.late {
						continue
					}
					t.Run(f.name, func(t *testing.T) {
						t.Parallel()
						f.run(newCut(t, open), row)
					})
				}
			})
		}
	})
	t.Run("cases", func(t *testing.T) {
		for _, c := range cutCases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.test(newCut(t, open))
			})
		}
	})
	t.Run("late", func(t *testing.T) {
		for _, c := range lateCases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { c.test(newCut(t, open)) })
			})
		}
	})
}

// A cut is one Remote whose connections are going to be.
type cut struct {
	Fixture
	*testing.T
	s *Server
}

func newCut(t *testing.T, open func(t testing.TB, s *Server) remote.Remote) *cut {
	s := NewServer(t, t.TempDir())
	return &cut{Fixture: Fixture{Remote: open(t, s), Path: s.Root, Capabilities: OpenSSH()}, T: t, s: s}
}

// A cutRow is one operation, and the request it stands on. prepare sets the
// scene, with every connection whole, and gives the operation and what must be
// true afterwards.
type cutRow struct {
	name    string
	kind    string // as for Server.Next
	path    string
	once    bool // the request must not succeed twice
	noLate  bool // nothing is promised when it is executed after the second try
	prepare func(c *cut) (do func() error, check func())
}

// A cutFate is a way for a request to be lost.
type cutFate struct {
	name string
	late bool // the request is executed when all is over
	run  func(c *cut, row cutRow)
}

func cutFates() []cutFate {
	return []cutFate{
		{"dropped before it was executed", false, func(c *cut, row cutRow) { c.lose(row, CutBefore, nil) }},
		{"dropped after it was executed", false, func(c *cut, row cutRow) { c.lose(row, CutAfter, nil) }},
		{"held", false, func(c *cut, row cutRow) { c.held(row) }},
		{"executed after the second try", true, func(c *cut, row cutRow) { c.lose(row, Zombie, nil) }},
		{"executed just ahead of the second try", false, func(c *cut, row cutRow) { c.lose(row, Zombie, c.s.RunZombies) }},
	}
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// lose plays a row whose request is lost. ahead is called when the request comes
// for the second time.
func (c *cut) lose(row cutRow, fate Fate, ahead func()) {
	c.Helper()
	do, check := row.prepare(c)
	c.s.Forget()
	trap := c.s.Next(row.kind, row.path, fate)
	if ahead != nil {
		c.s.Ahead(row.kind, row.path, Answer, ahead)
	}
	if err := c.within(do); err != nil {
		c.Errorf("a false error: %v", err)
	}
	c.met(trap, row)
	c.s.Disarm()
	c.s.RunZombies()
	c.finish(row, check)
}

// held plays a row whose answer comes late.
func (c *cut) held(row cutRow) {
	c.Helper()
	do, check := row.prepare(c)
	c.s.Forget()
	trap := c.s.Next(row.kind, row.path, Hold)
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case <-trap.Sprung():
	case err := <-done:
		c.Fatalf("done without %s of %q: %v", row.kind, row.path, err)
	case <-time.After(patience):
		c.Fatalf("%s of %q did not come", row.kind, row.path)
	}
	select {
	case err := <-done:
		c.Errorf("done before its answer came: %v", err)
		trap.Release()
	case <-time.After(50 * time.Millisecond):
		trap.Release()
		if err := c.within(func() error { return <-done }); err != nil {
			c.Errorf("a false error: %v", err)
		}
	}
	c.finish(row, check)
}

func (c *cut) finish(row cutRow, check func()) {
	c.Helper()
	if n := c.s.Succeeded(row.kind, row.path); row.once && n > 1 {
		c.Errorf("%s of %q was done %d times", row.kind, row.path, n)
	}
	check()
}

// within runs do, which must end.
func (c *cut) within(do func() error) error {
	c.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		c.Fatal("it does not end")
		return nil
	}
}

// met makes sure that a request has met its trap: otherwise a test has shown
// nothing.
func (c *cut) met(trap *Trap, row cutRow) {
	c.Helper()
	select {
	case <-trap.Sprung(): // perhaps only after the operation on another connection
	case <-time.After(5 * time.Second):
		c.Fatalf("%s of %q was never sent: %+v", row.kind, row.path, c.s.Requests())
	}
}

// file opens a file of the Remote for the length of the test.
func (c *cut) file(path string, flag remote.OpenFlag) remote.File {
	c.Helper()
	f, _ := mustOpen(c.T, c.Remote, path, flag)
	return f
}
