package history

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Folders are where histories are played: in the mount, in a local folder, and
// what the mount should be on the server. Each history has a folder of its own in
// all three.
type Folders struct {
	Mount, Local, Server string
}

// A player does the steps of one process, as told by a pipe.
type player struct {
	folders      Folders
	name         string // the history's folder
	mount, local *side
}

// lateTime is how long the server may take to have what nobody waits for.
const lateTime = 3 * time.Second

// Orders besides steps.
const (
	orderBegin = "begin" // NAME: a history begins in this folder
	orderMake  = "make"  // make that folder
	orderEnd   = "end"   // close what is open
	orderJudge = "judge" // compare what the server has, and clear it away

	orderJudgeLate = "judge-late" // the same, and the server may have it within lateTime
)

const (
	answerSame    = "same"
	answerDiffers = "differs: "
	answerFailed  = "failed: " // the judge's own work: nothing is known of the mount
)

// Serve is the work of a Process's child: it reads orders, a line each, and
// answers each with a line.
func Serve(orders io.Reader, answers io.Writer, folders Folders) error {
	p := &player{folders: folders}
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		differs, err := p.obey(lines.Text())
		answer := answerSame
		switch {
		case err != nil:
			answer = answerFailed + err.Error()
		case differs != "":
			answer = answerDiffers + differs
		}
		if _, err := fmt.Fprintln(answers, strings.ReplaceAll(answer, "\n", " ")); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (p *player) obey(line string) (differs string, err error) {
	order, name, _ := strings.Cut(line, " ")
	switch order {
	case orderBegin:
		return "", p.begin(name)
	case orderMake:
		return "", p.make()
	case orderEnd:
		got, want := p.mount.close(), p.local.close()
		return outcome{err: got}.compare(outcome{err: want}), nil
	case orderJudge, orderJudgeLate:
		differs, err = p.judge()
		for end := time.Now().Add(lateTime); order == orderJudgeLate && differs != "" && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
			differs, err = p.judge()
		}
		return differs, errors.Join(err, p.clear())
	}
	step, err := parseStep(line)
	if err != nil {
		return "", err
	}
	return p.do(step)
}

func (p *player) begin(name string) error {
	p.name = name
	p.mount, p.local = newSide(filepath.Join(p.folders.Mount, name)), newSide(filepath.Join(p.folders.Local, name))
	return nil
}

// make makes the history's folders. It is done in the mount, which may know that
// what it did not make is not there.
func (p *player) make() error {
	return errors.Join(os.Mkdir(p.mount.dir, 0o755), os.Mkdir(p.local.dir, 0o755))
}

// judge compares what the server has of the history with the local folder.
func (p *player) judge() (differs string, err error) {
	return compareTrees(filepath.Join(p.folders.Server, p.name), p.local.dir)
}

// clear removes the history's folders, on the server and not by the mount.
func (p *player) clear() error {
	return errors.Join(os.RemoveAll(filepath.Join(p.folders.Server, p.name)), os.RemoveAll(filepath.Join(p.folders.Local, p.name)))
}

func (p *player) do(step Step) (differs string, err error) {
	switch {
	case step.Op == "pause":
		pause(step)
		return "", nil
	case step.Op == "there-same":
		return compareFiles(filepath.Join(p.folders.Server, p.name, step.Name), filepath.Join(p.local.dir, step.Name))
	case step.Op == "there-make":
		return "", p.makeThere(step)
	case step.Op == "there-append":
		return "", p.appendThere(step)
	case step.Op == "store":
		m := &p.local.maps[step.Map]
		step.Len = max(min(step.Len, m.end()-step.Off), 0)
	}
	got := p.mount.do(step)
	want := p.local.do(step)
	if step.Op == "mmap" && want.err == nil {
		m := &p.local.maps[step.Map]
		if m.fd, err = unix.Dup(p.local.fds[step.FD]); err != nil {
			return "", err
		}
	}
	return got.compare(want), nil
}

// makeThere makes a file whose content the mount has not seen. Its name is made in
// the mount, for the reason above. That it is another size now the kernel only
// learns when it asks for attributes, so one of them is changed.
func (p *player) makeThere(step Step) error {
	path := filepath.Join(p.mount.dir, step.Name)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	if err := p.appendThere(step); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close(), os.Chmod(filepath.Join(p.local.dir, step.Name), 0o600))
}

// appendThere appends to a file on the server.
func (p *player) appendThere(step Step) error {
	b := make([]byte, step.Len)
	fill(b, step.Seed)
	return errors.Join(appendTo(filepath.Join(p.folders.Server, p.name, step.Name), b), appendTo(filepath.Join(p.local.dir, step.Name), b))
}

func appendTo(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// compareTrees compares what is in two folders: names, attributes, contents.
func compareTrees(got, want string) (differs string, err error) {
	found, wanted := listed(got), listed(want)
	if differs := found.compare(wanted); differs != "" {
		return "the server's folder: " + differs, nil
	}
	entries, err := os.ReadDir(want)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		got, want := filepath.Join(got, e.Name()), filepath.Join(want, e.Name())
		differs, err := compareFacts(got, want)
		if differs == "" && err == nil {
			if e.IsDir() {
				differs, err = compareTrees(got, want)
			} else {
				differs, err = compareFiles(got, want)
			}
		}
		if differs != "" || err != nil {
			return differs, err
		}
	}
	return "", nil
}

func compareFacts(got, want string) (differs string, err error) {
	var found, wanted unix.Stat_t
	if err := first(unix.Lstat(got, &found), unix.Lstat(want, &wanted)); err != nil {
		return "", err
	}
	found.Size = wanted.Size // contents are compared besides
	if differs := facts(&found, nil).compare(facts(&wanted, nil)); differs != "" {
		return "the server's " + filepath.Base(got) + ": " + differs, nil
	}
	return "", nil
}

func compareFiles(got, want string) (differs string, err error) {
	found, err := os.ReadFile(got)
	if err != nil {
		return "", err
	}
	wanted, err := os.ReadFile(want)
	if err != nil || bytes.Equal(found, wanted) {
		return "", err
	}
	return "the server's " + filepath.Base(got) + ": " + difference(found, wanted), nil
}
