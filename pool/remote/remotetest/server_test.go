package remotetest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remotemount/remotemount/pool/sftp3"
)

// dial is a client on a connection of its own.
func dial(t testing.TB, s *Server) (*sftp3.Client, *Conn) {
	t.Helper()
	c, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return begin(t, c), c
}

func begin(t testing.TB, c *Conn) *sftp3.Client {
	t.Helper()
	ch, err := c.OpenSFTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client, err := sftp3.New(t.Context(), ch, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func mkdir(c *sftp3.Client, path string) *sftp3.Call {
	return c.StartMkdir(path, sftp3.Attrs{Flags: sftp3.AttrPermissions, Permissions: 0o755})
}

func exists(root, path string) bool {
	_, err := os.Lstat(filepath.Join(root, path))
	return err == nil
}

func TestServerFates(t *testing.T) {
	for _, tt := range []struct {
		fate     Fate
		answered bool // and so the connection lives
		executed bool
	}{
		{Answer, true, true},
		{CutBefore, false, false},
		{CutAfter, false, true},
		{Zombie, false, false},
	} {
		t.Run(tt.fate.String(), func(t *testing.T) {
			s := NewServer(t, t.TempDir())
			c, conn := dial(t, s)
			trap := s.Next("MKDIR", "dir", tt.fate)
			err := mkdir(c, "dir").WaitStatus(t.Context())
			<-trap.Sprung()
			if (err == nil) != tt.answered {
				t.Errorf("the answer: %v, want one: %v", err, tt.answered)
			}
			if !tt.answered {
				<-conn.Done()
			}
			if exists(s.Root, "dir") != tt.executed || s.Succeeded("MKDIR", "dir") == 1 != tt.executed {
				t.Errorf("executed: %v, want %v", exists(s.Root, "dir"), tt.executed)
			}
		})
	}
}

// What a zombie session has received is executed when the test says so, on the
// handles that it had.
func TestServerZombies(t *testing.T) {
	s := NewServer(t, t.TempDir())
	c, _ := dial(t, s)
	h, err := c.StartOpen("file", sftp3.OpenWrite|sftp3.OpenCreate, sftp3.Attrs{}).WaitHandle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	trap := s.Next("WRITE", "file", Zombie)
	c.StartWrite(h, []byte("late"), 0, func(error) {})
	<-trap.Sprung()
	if got, err := os.ReadFile(filepath.Join(s.Root, "file")); err != nil || len(got) != 0 {
		t.Errorf("before: %q, %v", got, err)
	}
	s.RunZombies()
	if got, err := os.ReadFile(filepath.Join(s.Root, "file")); err != nil || string(got) != "late" {
		t.Errorf("after: %q, %v", got, err)
	}
	if list := s.Requests(); !list[len(list)-1].Late {
		t.Errorf("the last request is not late: %+v", list[len(list)-1])
	}
}

func TestServerHoldsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, t.TempDir())
		c, conn := dial(t, s)
		other := begin(t, conn)
		trap := s.Next("MKDIR", "dir", Hold)
		held := mkdir(c, "dir")
		<-trap.Sprung()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := c.StartRmdir("none").WaitStatus(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the next request of the session: %v, want it to wait", err)
		}
		if _, err := other.StartStat("dir").WaitAttrs(t.Context()); err != nil {
			t.Errorf("another session: %v", err)
		}
		trap.Release()
		if err := held.WaitStatus(t.Context()); err != nil {
			t.Errorf("released: %v", err)
		}
	})
}

func TestServerAnswersBehind(t *testing.T) {
	s := NewServer(t, t.TempDir())
	c, _ := dial(t, s)
	trap := s.Next("MKDIR", "first", Behind)
	first, second := mkdir(c, "first"), mkdir(c, "second")
	<-trap.Sprung()
	if err := second.WaitStatus(t.Context()); err != nil {
		t.Error(err)
	}
	if err := first.WaitStatus(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server that is not OpenSSH's executes what came together backwards, so that
// a client which relies on the order is caught.
func TestServerForeignOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, foreign := range []bool{false, true} {
			s := NewServer(t, t.TempDir())
			want := "second"
			if foreign {
				s.Identification, want = "SSH-2.0-Other_1.0", "first!"
			}
			c, _ := dial(t, s)
			h, err := c.StartOpen("file", sftp3.OpenWrite|sftp3.OpenCreate, sftp3.Attrs{}).WaitHandle(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.StartWrite(h, []byte("first!"), 0, func(error) {})
			c.StartWrite(h, []byte("second"), 0, func(error) {})
			if err := c.StartClose(h).WaitStatus(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(s.Root, "file")); err != nil || string(got) != want {
				t.Errorf("foreign %v: %q, %v; want %q", foreign, got, err, want)
			}
		}
	})
}

// Requests sent together are one flight, a request that waits for an answer is
// the next.
func TestServerFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, t.TempDir())
		s.Latency = 100 * time.Millisecond
		start := time.Now()
		c, _ := dial(t, s)
		if took, want := time.Since(start), (6+3+1+1)*s.Latency; took != want {
			t.Errorf("a dial, a session, INIT and limits took %v, want %v", took, want)
		}
		s.Forget()
		a, b := mkdir(c, "a"), mkdir(c, "a/b")
		for _, call := range []*sftp3.Call{a, b, mkdir(c, "a/b/c")} {
			if err := call.WaitStatus(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := mkdir(c, "d").WaitStatus(t.Context()); err != nil {
			t.Fatal(err)
		}
		var flights []int
		for _, r := range s.Requests() {
			flights = append(flights, r.Flight)
		}
		if want := []int{1, 1, 1, 2}; !slices.Equal(flights, want) {
			t.Errorf("flights %v, want %v", flights, want)
		}
	})
}

func TestServerStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, t.TempDir())
		c, conn := dial(t, s)
		before := conn.LastByte()
		s.Stall(true)
		call := mkdir(c, "dir")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := conn.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ping: %v", err)
		}
		if _, err := s.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Connect: %v", err)
		}
		if exists(s.Root, "dir") || conn.LastByte() != before {
			t.Error("bytes moved")
		}
		s.Stall(false)
		if err := call.WaitStatus(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if got := conn.LastByte().Sub(before); got != time.Hour {
			t.Errorf("LastByte is %v later, want 1h", got)
		}
	})
}

func TestServerLimits(t *testing.T) {
	s := NewServer(t, t.TempDir())
	s.MaxConnections, s.MaxSessions = 2, 1
	_, one := dial(t, s)
	_, two := dial(t, s)
	if _, err := s.Connect(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a third connection: %v", err)
	}
	if _, err := one.OpenSFTP(t.Context()); err == nil {
		t.Error("a second session was opened")
	}
	s.CutAll()
	<-one.Done()
	<-two.Done()
	if _, err := one.OpenSFTP(t.Context()); err == nil {
		t.Error("a session on a dead connection was opened")
	}
	s.Refuse(io.ErrUnexpectedEOF)
	if _, err := s.Connect(t.Context()); err != io.ErrUnexpectedEOF {
		t.Errorf("refused: %v", err)
	}
	if now, most, dials := s.Connections(); now != 0 || most != 2 || dials != 4 {
		t.Errorf("%d connections now, %d at most, %d dials; want 0, 2, 4", now, most, dials)
	}
}

// Ending a session gives its handles back, and its place on the connection.
func TestServerSessionEnds(t *testing.T) {
	s := NewServer(t, t.TempDir())
	s.MaxSessions = 1
	c, conn := dial(t, s)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for s.Sessions() > 0 {
		time.Sleep(time.Millisecond)
	}
	next := begin(t, conn)
	if err := mkdir(next, "dir").WaitStatus(t.Context()); err != nil {
		t.Error(err)
	}
	if got := s.Requests(); got[len(got)-1].Session == got[0].Session {
		t.Error("two sessions have one number")
	}
}

func TestServerFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, t.TempDir())
		c, conn := dial(t, s)
		s.Freeze()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := mkdir(c, "dir").WaitStatus(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request: %v, want it to wait", err)
		}
		if err := conn.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ping: %v, want it to wait", err)
		}
		other, _ := dial(t, s)
		if err := mkdir(other, "other").WaitStatus(t.Context()); err != nil {
			t.Errorf("a new connection: %v", err)
		}
		conn.Abort()
		<-conn.Done()
		if exists(s.Root, "dir") {
			t.Error("a request of a frozen connection was executed")
		}
	})
}

func TestServerHonoursModes(t *testing.T) {
	s := NewServer(t, t.TempDir())
	s.HonourModes(true)
	c, _ := dial(t, s)
	readOnly := sftp3.Attrs{Flags: sftp3.AttrPermissions, Permissions: 0o444}
	open := func(flags uint32) error {
		_, err := c.StartOpen("file", flags, readOnly).WaitHandle(t.Context())
		return err
	}
	if err := open(sftp3.OpenWrite | sftp3.OpenCreate | sftp3.OpenExclusive); err != nil {
		t.Errorf("creating: %v", err)
	}
	if err := open(sftp3.OpenRead); err != nil {
		t.Errorf("reading: %v", err)
	}
	var status *sftp3.StatusError
	if err := open(sftp3.OpenWrite); !errors.As(err, &status) || status.Code != sftp3.StatusPermissionDenied {
		t.Errorf("writing: %v, want it refused", err)
	}
}
