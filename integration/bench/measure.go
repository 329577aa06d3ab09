package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
	"github.com/remotemount/remotemount/integration/link"
)

// A sample is one measurement.
type sample struct {
	Tool, Work, User string
	RTT              time.Duration
	Seconds          float64
	Amount           float64 // in the work's unit
	ClientCPU        float64 // seconds, of the mount's processes; of the script's where there is no mount
	ServerCPU        float64 // seconds, of sshd's processes
	PeakMB           float64 // resident memory of the same processes, added up
	Turns            int64   // of the link's direction; 0 without a link
	FetchedMB        float64 // came over the link; 0 without one
	Connections      int
	Error            string // why there is no result
}

func (s sample) String() string {
	head := fmt.Sprintf("%-8s %-6v %-11s %-12s", s.User, s.RTT, s.Work, s.Tool)
	if s.Error != "" {
		return head + " " + s.Error
	}
	return fmt.Sprintf("%s %8.2f s  client %6.2f s  server %6.2f s  peak %5.0f MB  turns %d",
		head, s.Seconds, s.ClientCPU, s.ServerCPU, s.PeakMB, s.Turns)
}

// A site is a lab with a server, maybe a link, a folder and a mountpoint.
type site struct {
	*lab.Lab
	opt        *options
	sshd       *lab.SSHD
	link       *link.Link // nil without
	portNumber int
	known      string
	remote     string
	point      string
	script     string // a copy of this program, which the user may run
}

// measure does one work with one tool on a fresh mount.
func measure(opt *options, t *tool, w *work, rtt time.Duration) (result sample) {
	result = sample{Tool: t.name, Work: w.name, RTT: rtt}
	z := sizesFor(rtt, opt.scale)
	if w.amount != nil {
		result.Amount = w.amount(z)
	}
	s, err := newSite(opt, rtt)
	if err == nil {
		result.User = kind(s.User)
		err = errors.Join(s.measure(t, w, z, &result), s.close())
	}
	if err != nil {
		result.Error = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	return result
}

func kind(u lab.User) string {
	if u.UID == 0 {
		return "root"
	}
	return "ordinary"
}

func newSite(opt *options, rtt time.Duration) (*site, error) {
	u, err := userNamed(opt.user)
	if err != nil {
		return nil, err
	}
	l, err := lab.New(u)
	if err != nil {
		return nil, err
	}
	s := &site{Lab: l, opt: opt, remote: l.Path("remote"), point: l.Path("mnt"), script: l.Path("bench")}
	if err := s.setUp(rtt); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *site) setUp(rtt time.Duration) (err error) {
	if err := errors.Join(s.Mkdir(s.remote, 0o755), s.Mkdir(s.point, 0o755), copySelf(s.script)); err != nil {
		return err
	}
	if s.sshd, err = s.StartSSHD("MaxStartups 100"); err != nil {
		return err
	}
	s.portNumber, s.known = s.sshd.Port, s.sshd.KnownHosts
	if rtt == 0 {
		return nil
	}
	if s.link, err = link.New(s.sshd.Addr()); err != nil {
		return err
	}
	s.link.SetDelay(rtt / 2)
	s.portNumber, s.known = s.link.Port(), s.Path("known_hosts")
	return s.WriteFile(s.known, []byte(s.sshd.KnownHost(s.portNumber)), 0o600)
}

func userNamed(name string) (lab.User, error) {
	users, err := lab.Users()
	for _, u := range users {
		if name == "" || kind(u) == name {
			return u, nil
		}
	}
	return lab.User{}, errors.Join(err, fmt.Errorf("cannot be user %q", name))
}

func (s *site) close() error {
	var err error
	if s.link != nil {
		err = s.link.Close()
	}
	if s.sshd != nil {
		err = errors.Join(err, s.sshd.Kill())
	}
	return errors.Join(err, s.Close())
}

func (s *site) measure(t *tool, w *work, z sizes, result *sample) error {
	if w.prepare != nil {
		if err := s.sh(w.prepare(z)); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	if t.mount == nil {
		return s.timed(w, z, t.plain[w.name](s), 0, result)
	}
	m, err := s.StartMount(t.mount(s), s.point)
	if err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if w.warm != "" {
		err = s.sh(w.warm)
	}
	if err == nil {
		err = s.timed(w, z, w.script(z), m.PID(), result)
	}
	// How a tool ends is not what is measured: rclone says goodbye with a code.
	if killErr := m.Unmount(); killErr != nil && err != nil {
		err = errors.Join(err, killErr)
	}
	return err
}

// timed runs a script until it is done on the server's side, and notes what it
// took. pid is the mount's; 0 where the script's own processes are what is measured.
func (s *site) timed(w *work, z sizes, script string, pid int, result *sample) error {
	server, before := cpu(s.sshd.PID()), s.traffic()
	client := 0.0
	if pid != 0 {
		client = cpu(pid)
	}
	begin := time.Now()
	used, err := s.run(script)
	if err == nil && w.done != nil {
		err = s.waitUntil(w.done(z), &begin)
	}
	result.Seconds = time.Since(begin).Seconds()
	if pid != 0 {
		used = usage{cpu(pid) - client, peak(pid)}
	}
	result.ClientCPU, result.PeakMB = used.cpu, used.peakMB
	after := s.traffic()
	result.ServerCPU, result.Connections = cpu(s.sshd.PID())-server, after.MaxOpen
	result.Turns, result.FetchedMB = after.Turns-before.Turns, float64(after.Down-before.Down)/1e6
	return err
}

// waitUntil waits for a condition on the server's side. The time that the look
// which finds it true takes is taken off: comparing files is not the tool's work.
func (s *site) waitUntil(condition string, begin *time.Time) error {
	for end := time.Now().Add(s.opt.limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		look := time.Now()
		if s.sh(condition) == nil {
			*begin = begin.Add(time.Since(look))
			return nil
		}
	}
	return errors.New("what was written did not get to the server")
}

// traffic is nothing where there is no link.
func (s *site) traffic() link.Stats {
	if s.link == nil {
		return link.Stats{}
	}
	return s.link.Stats()
}

// command is a program to be started as the lab's user.
func (s *site) command(name string, args ...string) *exec.Cmd {
	return s.Command(context.Background(), name, args...)
}

// sh is run for what is not measured.
func (s *site) sh(script string) error {
	_, err := s.run(script)
	return err
}

// A usage is what the processes of a script took.
type usage struct {
	cpu    float64 // seconds
	peakMB float64 // resident memory, of all added up
}

// run runs a script, which dies with all its children at the limit.
func (s *site) run(script string) (usage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.limit)
	defer cancel()
	head := fmt.Sprintf("M='%s' R='%s' L='%s' B='%s'\n", s.point, s.remote, s.Dir, s.script)
	cmd := s.Command(ctx, "sh", "-eu", "-c", head+script)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	highest := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	used := usage{cmd.ProcessState.UserTime().Seconds() + cmd.ProcessState.SystemTime().Seconds(), highest()}
	if ctx.Err() != nil {
		return used, fmt.Errorf("took longer than %v", s.opt.limit)
	}
	if err != nil {
		return used, fmt.Errorf("%w: %.300s", err, out.Bytes())
	}
	return used, nil
}

func copySelf(to string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o755)
}

// save adds a sample to the file of measurements.
func save(path string, s sample) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(s), f.Close())
}

func load(path string) ([]sample, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var all []sample
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, s)
	}
	return all, lines.Err()
}

// address is the remote folder, as ssh and sshfs write it.
func (s *site) address() string { return s.sshd.User + "@127.0.0.1:" + s.remote }
