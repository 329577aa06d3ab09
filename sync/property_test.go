package sync

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A world makes random trees and random changes to them.
type world struct {
	t   testing.TB
	rnd *rand.Rand
	at  int64 // the clock of the changes
	n   int
}

func (w *world) path() string {
	parts := make([]string, 1+w.rnd.IntN(3))
	for i := range parts {
		parts[i] = string(rune('a' + w.rnd.IntN(5)))
	}
	return strings.Join(parts, "/")
}

// change does one random thing below a root: a new version, a link, a folder.
// Versions differ in size and in content.
func (w *world) change(root string) {
	full := filepath.Join(root, w.path())
	if os.MkdirAll(filepath.Dir(full), 0o755) != nil {
		return // a file is in the way
	}
	w.at += int64(1 + w.rnd.IntN(2))
	w.n++
	switch w.rnd.IntN(10) {
	case 0:
		must(w.t, ignoreExist(os.Mkdir(full, 0o755)))
	case 1:
		must(w.t, ignoreExist(os.Symlink(fmt.Sprint("to", w.n), full)))
	default:
		if info, err := os.Lstat(full); err == nil && !info.Mode().IsRegular() {
			return
		}
		must(w.t, os.WriteFile(full, pattern(byte(w.n), w.n+10), 0o644))
		setTime(w.t, full, w.at)
	}
}

func ignoreExist(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// versions are the newest times and contents of all files on both sides.
type version struct {
	at   int64
	text string
}

func versions(t testing.TB, root string) map[string]version {
	all := map[string]version{}
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		rel := strings.TrimPrefix(p, root+"/")
		all[rel] = version{info.ModTime().Unix(), string(text)}
		return err
	}))
	return all
}

// Random trees, random changes on both sides, two runs: the newer version of
// everything survives, both sides are equal but for reported conflicts, and the
// second run does nothing.
func TestTwoWayProperties(t *testing.T) {
	for seed := range uint64(20) {
		p := newPairing(t, Options{Mode: TwoWay})
		w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), at: old}
		for range 4 {
			for range w.rnd.IntN(25) {
				w.change([]string{p.local, p.remote}[w.rnd.IntN(2)])
			}
			local, remote := versions(t, p.local), versions(t, p.remote)
			res := p.run()
			p.checkNothingLost(seed, local, remote)
			p.checkEqualBut(seed, res)
			if again := p.run(); again.Changed() || again.ConflictCount != res.ConflictCount {
				t.Fatalf("seed %d: second run %+v", seed, again)
			}
		}
		noTemps(t, p.local, p.remote)
	}
}

func (p *pairing) checkNothingLost(seed uint64, before ...map[string]version) {
	p.t.Helper()
	local, remote := versions(p.t, p.local), versions(p.t, p.remote)
	for side, had := range before {
		for path, v := range had {
			other, both := before[1-side][path]
			if both && other.at > v.at {
				continue
			}
			if now := []map[string]version{local, remote}[side][path]; now.text != v.text {
				p.t.Fatalf("seed %d: %s: the newest version was lost", seed, path)
			}
		}
	}
}

// checkEqualBut compares the sides, leaving out conflicts and what lies in them.
func (p *pairing) checkEqualBut(seed uint64, res *Result) {
	p.t.Helper()
	if res.FailureCount > 0 {
		p.t.Fatalf("seed %d: %+v", seed, res.Failures)
	}
	strip := func(text string) string {
		var kept []string
		for _, line := range strings.Split(text, "\n") {
			if !inConflict(line, res.Conflicts) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\n")
	}
	local, remote := strip(treeText(p.t, p.local, true)), strip(treeText(p.t, p.remote, true))
	if local != remote {
		p.t.Fatalf("seed %d: sides differ\n--- local\n%s\n--- remote\n%s\nconflicts %v", seed, local, remote, res.Conflicts)
	}
}

func inConflict(line string, conflicts []Problem) bool {
	for _, c := range conflicts {
		if strings.HasPrefix(line, fmt.Sprintf("%q", c.Path)) || strings.HasPrefix(line, `"`+c.Path+"/") {
			return true
		}
	}
	return false
}

// The same for push and pull: the target has everything the source has.
func TestOneWayProperties(t *testing.T) {
	for seed := range uint64(12) {
		mode := []Mode{Push, Pull}[seed%2]
		p := newPairing(t, Options{Mode: mode})
		from, to := p.local, p.remote
		if mode == Pull {
			from, to = to, from
		}
		w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 9)), at: old}
		for range 3 {
			for range w.rnd.IntN(25) {
				w.change([]string{from, from, from, to}[w.rnd.IntN(4)])
			}
			before := treeText(t, from, true)
			res := p.run()
			if treeText(t, from, true) != before {
				t.Fatalf("seed %d: the source was changed", seed)
			}
			source, target := versions(t, from), versions(t, to)
			for path, v := range source {
				if target[path] != v && !inConflict(fmt.Sprintf("%q ", path), res.Conflicts) {
					t.Fatalf("seed %d: %s is not like its source, conflicts %v", seed, path, res.Conflicts)
				}
			}
			if again := p.run(); again.Changed() {
				t.Fatalf("seed %d: second run %+v", seed, again)
			}
		}
	}
}
