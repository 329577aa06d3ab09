package history

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// stepTime is how long a step may take before it hangs. The largest ones write
// 20 MiB, on a machine that is busy.
const stepTime = 60 * time.Second

// A Process is a child that does the steps of one process of a history.
type Process struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers chan string // closed when the child has ended
}

// Start starts a child that ends up in Serve.
func Start(cmd *exec.Cmd) (*Process, error) {
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, orders: orders, answers: make(chan string)}
	go func() {
		defer close(p.answers)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			p.answers <- lines.Text()
		}
	}()
	return p, nil
}

// Close lets the child end, and waits for it.
func (p *Process) Close() error {
	err := p.orders.Close()
	timer := time.AfterFunc(stepTime, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	for range p.answers {
	}
	return errors.Join(err, p.cmd.Wait())
}

// order gives an order and waits for its answer.
func (p *Process) order(line string) (differs string, err error) {
	if _, err := fmt.Fprintln(p.orders, line); err != nil {
		return "", err
	}
	select {
	case answer, ok := <-p.answers:
		if !ok {
			return "", errors.New("a process of the history has ended")
		}
		if differs, ok := strings.CutPrefix(answer, answerDiffers); ok {
			return differs, nil
		}
		if answer != answerSame {
			return "", errors.New(answer)
		}
		return "", nil
	case <-time.After(stepTime):
		return "", fmt.Errorf("%s: no answer within %v", line, stepTime)
	}
}

// A Difference is where a history went another way in the mount than in the local
// folder.
type Difference struct {
	At   int    // the number of the step, from 1; one more than there are when it showed at the end
	Step string // the step
	What string
}

func (d *Difference) String() string {
	return fmt.Sprintf("step %d, %s: %s", d.At, d.Step, d.What)
}

// Kind is what differences that have one cause share, as far as it can be told.
func (d *Difference) Kind() string {
	words := strings.Fields(d.Step)
	for _, kind := range []string{"SIGBUS", "error", "the server", "bytes"} {
		if strings.Contains(d.What, kind) {
			return words[1] + ": " + kind
		}
	}
	return words[1] + ": count"
}

// Play plays a history in folders of this name, which must be new. No difference
// is nil. After an error the processes are of no use any more.
func Play(processes []*Process, name string, steps []Step) (*Difference, error) {
	for _, p := range processes {
		if _, err := p.order(orderBegin + " " + name); err != nil {
			return nil, err
		}
	}
	if _, err := processes[0].order(orderMake); err != nil {
		return nil, err
	}
	found, err := playSteps(processes, steps)
	if err != nil {
		return nil, err
	}
	last := func(doing, differs string) {
		if differs != "" && found == nil {
			found = &Difference{len(steps) + 1, doing, differs}
		}
	}
	for i, p := range processes {
		differs, err := p.order(orderEnd)
		if err != nil {
			return nil, err
		}
		last(string(rune('A'+i))+" closes all", differs)
	}
	order := orderJudge
	if late(steps) {
		order = orderJudgeLate
	}
	differs, err := processes[0].order(order)
	last("the end", differs)
	return found, err
}

// late reports whether the server may have the end of a history a little after its
// last step. These are the differences allowed, of time alone; the kernel tells of
// the end of an open file (RELEASE) without waiting for an answer.
//   - What is stored to a mapping whose descriptor is closed is handed down when the
//     mapping goes.
//   - A file that is removed or replaced while it is open has a hidden name on the
//     server until its last close, as SFTP has no other way to it.
func late(steps []Step) bool {
	type place struct{ process, n int }
	of, closed := map[place]int{}, map[place]bool{}
	for _, s := range steps {
		switch m := (place{s.Process, s.Map}); s.Op {
		case "mmap":
			of[m], closed[m] = s.FD, false
		case "close":
			for m, fd := range of {
				closed[m] = closed[m] || m.process == s.Process && fd == s.FD
			}
		case "store":
			if closed[m] {
				return true
			}
		case "unlink", "rename":
			return true
		}
	}
	return false
}

func playSteps(processes []*Process, steps []Step) (*Difference, error) {
	for i, s := range steps {
		if s.Process >= len(processes) {
			return nil, fmt.Errorf("step %d: there are %d processes", i+1, len(processes))
		}
		differs, err := processes[s.Process].order(s.String())
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", i+1, err)
		}
		if differs != "" {
			return &Difference{i + 1, s.String(), differs}, nil
		}
	}
	return nil, nil
}
