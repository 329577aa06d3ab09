package history

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// childEnv has the folders of a child of these tests.
const childEnv = "REMOTEMOUNT_TEST_HISTORY"

func TestMain(m *testing.M) {
	dirs := strings.Split(os.Getenv(childEnv), ":")
	if len(dirs) < 3 {
		os.Exit(m.Run())
	}
	if err := Serve(os.Stdin, os.Stdout, Folders{dirs[0], dirs[1], dirs[2]}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// processes are two whose "mount" is the folder of the server.
func processes(t *testing.T) (list []*Process, server string) {
	t.Helper()
	server, local := t.TempDir(), t.TempDir()
	for range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{server, local, server}, ":"))
		p, err := Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		list = append(list, p)
	}
	return list, server
}

// TestLocalFolders pins that the judge finds nothing wrong with a folder that is
// right.
func TestLocalFolders(t *testing.T) {
	for name, random := range map[string]func(uint64) []Step{"data": Random, "names": RandomNames} {
		t.Run(name, func(t *testing.T) { playLocally(t, random) })
	}
}

func playLocally(t *testing.T, random func(uint64) []Step) {
	both, _ := processes(t)
	steps := 0
	for seed := uint64(1); steps < 3000; seed++ {
		h := random(seed)
		steps += len(h)
		found, err := Play(both, fmt.Sprint("h", seed), h)
		if err != nil {
			t.Fatal(err)
		}
		if found != nil {
			t.Fatalf("seed %d: %v in\n%s", seed, found, Format(h))
		}
	}
}

// TestFindsDifferences plays histories in a folder that somebody spoils in the
// middle of each.
func TestFindsDifferences(t *testing.T) {
	both, server := processes(t)
	for i, c := range []struct{ file, content, last, says string }{
		{"a", "0123456789", "A pread 0 0 10", "10 bytes differ"},
		{"a", "0123", "A fstat 0", "4 instead of 10"},
		{"a", "0123", "A pread 0 0 10", "4 bytes instead of 10"},
		{"a", "0123456789", "A mmap 0 0 0 10 rdonly\nA load 0 0 10", "10 bytes differ"},
		{"a", "", "A mmap 0 0 0 10 rdonly\nA load 0 0 10", "SIGBUS: true instead of false"},
		{"a", "0123", "A pause 1", "the server's a: 4 bytes instead of 10"},
		{"a", "0123", "A there-same a", "4 bytes instead of 10"},
		{"b", "", "A open 1 b rdonly", `error "none" instead of "no such file or directory"`},
		{"b", "", "A pause 1", "the server's folder: \"a b\" instead of \"a\""},
	} {
		name := fmt.Sprint("h", i)
		said := orders(t, both, []string{"begin " + name, "make"}, "A open 0 a rdwr,create\nA pwrite 0 0 10 1", nil)
		if err := os.WriteFile(filepath.Join(server, name, c.file), []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		said += orders(t, both, nil, c.last, []string{"end", "judge"})
		if !strings.Contains(said, c.says) {
			t.Errorf("%q: the judge says %q, want %q", c.last, said, c.says)
		}
	}
}

// orders has the first process do orders, a script, and orders, and gives what
// differed.
func orders(t *testing.T, both []*Process, before []string, script string, after []string) (said string) {
	t.Helper()
	steps, err := Parse(script)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		before = append(before, s.String())
	}
	for _, order := range append(before, after...) {
		differs, err := both[0].order(order)
		if err != nil {
			t.Fatal(err)
		}
		said += differs
	}
	return said
}

func TestScript(t *testing.T) {
	for seed := range uint64(400) {
		random := Random
		if seed%2 == 1 {
			random = RandomNames
		}
		h := random(seed)
		if !slices.Equal(h, random(seed)) {
			t.Fatalf("seed %d makes two histories", seed)
		}
		back, err := Parse(Format(h))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(h, back) {
			t.Fatalf("seed %d: read back as\n%s", seed, Format(back))
		}
	}
	for _, bad := range []string{"A", "1 close 0", "A shut 0", "A close", "A close 9", "A open 0 a rw", "A pread 0 x 1"} {
		if _, err := Parse("# comment\n" + bad); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestOrigin(t *testing.T) {
	b := make([]byte, 1000)
	fill(b, 77)
	for _, c := range []struct {
		bytes []byte
		says  string
	}{
		{b[13:], "what seed 77 wrote, from its byte 13 on"},
		{make([]byte, 5), "zeros"},
		{[]byte{1, 2}, "0102"},
	} {
		if got := origin(c.bytes); got != c.says {
			t.Errorf("%q, want %q", got, c.says)
		}
	}
	other := slices.Clone(b)
	other[500] ^= 1
	if got := difference(other, b); !strings.HasPrefix(got, "1 bytes differ, between 500 and 500") {
		t.Error(got)
	}
	if got := difference(b, b); got != "" {
		t.Error(got)
	}
}

// TestShrink shortens a history that fails for two of its steps.
func TestShrink(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	steps := Stretch(r.Int64N, Step{Op: "pwrite"}, 4, 1)
	fails := func(h []Step) bool {
		has := func(seed uint64) bool { return slices.ContainsFunc(h, func(s Step) bool { return s.Seed == seed }) }
		return has(5) && has(22)
	}
	short := Shrink(steps, time.Now().Add(time.Minute), fails)
	if len(short) != 2 || !fails(short) {
		t.Errorf("shortened to\n%s", Format(short))
	}
	if again := Shrink(steps, time.Now(), fails); len(again) != len(steps) {
		t.Errorf("shortened after the deadline")
	}
}
