package sync

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// content is what lies on both sides after a run.
type content struct {
	at    [2]map[string]int // path to edition
	aside [2]map[int]bool   // editions set aside by a run that was ended
	torn  []string          // files that hold no whole edition
}

func (w *oracleWorld) look() content {
	c := content{at: [2]map[string]int{{}, {}}, aside: [2]map[int]bool{{}, {}}}
	for side, root := range w.roots {
		must(w.t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := readEdition(p)
			if err != nil {
				return err
			}
			id, rel := w.idOf(text), strings.TrimPrefix(p, root+"/")
			for _, name := range strings.Split(rel, "/") { // a folder may be set aside, too
				if t, ok := parseTemp(Named{Name: name}); ok {
					if t.isAside() {
						c.aside[side][id] = true
					}
					return nil
				}
			}
			if c.at[side][rel] = id; id < 0 {
				c.torn = append(c.torn, p+" "+w.describe(text))
			}
			return nil
		}))
	}
	return c
}

// describe tells of what editions a torn content is made.
func (w *oracleWorld) describe(content []byte) string {
	var id int
	if _, err := fmt.Sscanf(string(content[:min(len(content), 17)]), "edition %d ", &id); err != nil || id >= len(w.all) {
		return fmt.Sprintf("(%d bytes that begin with %.20q)", len(content), content)
	}
	e := w.all[id]
	whole := text(id, e.size)
	n := 0
	for n < len(content) && n < len(whole) && content[n] == whole[n] {
		n++
	}
	return fmt.Sprintf("(%d bytes, of edition %d of %d at %d the first %d, then %.20q)", len(content), id, e.size, e.mtime, n, content[n:])
}

// check holds what lies there against the ledger.
func (w *oracleWorld) check() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.look()
	for _, p := range c.torn {
		w.t.Fatalf("%s: %s is no whole edition", w.name, p)
	}
	for side := range c.at {
		for at, id := range c.at[side] {
			if e := w.all[id]; int(e.side) != side && e.path == at {
				e.copied = true
			}
		}
	}
	for _, e := range w.all {
		late := e.afterPlan
		if e.afterPlan = false; e.dead || e.gone || c.aside[e.side][e.id] {
			continue
		}
		now, there := c.at[e.side][e.path]
		if there && now == e.id {
			continue
		}
		e.gone = true
		why := w.judge(e, now, there, late)
		if why != "" && w.options.Delete && !e.copied && w.thrownAway(e) {
			why = "" // put into a folder that its user had just moved away
		}
		if why != "" {
			w.t.Fatalf("%s: edition %d of %s on the %s side, %d bytes at %d: %s; there is %d now\n%s", w.name, e.id, e.path, e.side,
				e.size, e.mtime, why, now, strings.Join(append(w.history[path.Dir(e.path)], w.history[e.path]...), "\n"))
		}
	}
}

// thrownAway reports that the other side's user has a copy among what was thrown away.
func (w *oracleWorld) thrownAway(e *edition) (found bool) {
	must(w.t, filepath.WalkDir(w.users[1-e.side].pit, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, "/"+filepath.Base(e.path)) {
			return err
		}
		content, err := readEdition(p)
		found = found || w.idOf(content) == e.id
		return err
	}))
	return found
}

// judge says why an edition may not be gone from where it was written; "" if it may.
// What replaced it may have been replaced by a user since.
func (w *oracleWorld) judge(e *edition, now int, there, late bool) string {
	why := w.judgeBy(e, now, there, late)
	for _, id := range w.buried[e.side] {
		if why == "" {
			break
		}
		if w.all[id].path == e.path && (w.options.Mode == TwoWay || w.options.source() != e.side) {
			why = w.judgeBy(e, id, true, late)
		}
	}
	return why
}

// judgeBy is judge for one edition that replaced it.
func (w *oracleWorld) judgeBy(e *edition, now int, there, late bool) string {
	if w.options.Delete && e.side == w.options.source() {
		switch {
		case !e.copied:
			return "its source is gone, and it never was on the other side"
		case there && w.all[now].side != e.side:
			return "something from the other side has its place"
		}
		return ""
	}
	switch {
	case !there:
		return "nothing is there any more"
	case w.options.Mode != TwoWay && e.side == w.options.source():
		return "a source was replaced"
	case w.all[now].side == e.side && !(w.options.Mode == TwoWay && w.all[now].copied): // its copy may come back
		return "another edition of this side is there, which no user put there"
	case w.all[now].path != e.path:
		return "replaced by another file"
	case late:
		return "it came after the plan, and was replaced"
	case w.options.Mode == TwoWay && w.all[now].mtime <= e.mtime,
		w.options.Update && w.all[now].mtime < e.mtime:
		return "replaced by an older edition"
	}
	return ""
}
