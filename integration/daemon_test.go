package integration

import (
	"strings"
	"syscall"
	"testing"
)

// mounting is a command line that mounts in the background, for a script.
func (s *site) mounting(t testing.TB, port int) string {
	t.Helper()
	return binary + " mount " + strings.Join(s.connect(t, port), " ") + " " + s.address() + " " + s.point
}

// Of two that mount on the same place at once one has it, and that one can be ended.
func TestMountTwiceAtOnce(t *testing.T) {
	s := newSite(t, ordinary(t))
	mount := s.mounting(t, s.sshd.Port)
	s.sh(t, "/", `for i in $(seq 10); do
		`+mount+` 2>"$L/first" & a=$!
		`+mount+` 2>"$L/second" & b=$!
		x=0; wait $a || x=$?; y=0; wait $b || y=$?
		test "$x $y" = "0 7" || test "$x $y" = "7 0"
		test "$(grep -c " $M " /proc/self/mountinfo)" = 1
		`+binary+` status "$M"; `+binary+` unmount "$M"
		! grep " $M " /proc/self/mountinfo
	done`)
}

// A mount in the background holds nothing that the shell had open, but what it was told
// to read.
func TestMountLeavesDescriptorsAlone(t *testing.T) {
	s := newSite(t, ordinary(t))
	s.sh(t, "/", `(flock -n 9; `+s.mounting(t, s.sshd.Port)+`) 9>"$L/lock"; flock -n "$L/lock" ls "$M"; `+binary+` unmount "$M"`)
}

// A mount that was started with SIGHUP ignored, as by nohup, goes on when the terminal goes.
func TestNohup(t *testing.T) {
	s := newSite(t, ordinary(t))
	mount := strings.Replace(s.mounting(t, s.sshd.Port), " mount ", " mount --foreground ", 1)
	s.sh(t, "/", `trap '' HUP; `+mount+` & p=$!
		until mountpoint -q "$M"; do kill -0 $p; sleep 0.1; done
		kill -HUP $p; sleep 0.5; ls "$M"; `+binary+` unmount "$M"; wait $p`)
}

// One mount that is stopped hides no other, and the commands name it and end.
func TestStoppedMountIsNamed(t *testing.T) {
	s := newSite(t, ordinary(t))
	other := s.Path("other")
	must(t, s.Mkdir(other, 0o755))
	m := s.mount(t)
	s.mountAt(t, s.sshd.Port, s.address(), other)
	must(t, m.Signal(syscall.SIGSTOP))
	defer func() { must(t, m.Signal(syscall.SIGCONT)) }()
	for _, args := range [][]string{{"status"}, {"status", s.point}, {"reconnect", s.point}} {
		out, said, code := s.run(t, "timeout", append([]string{"20", binary}, args...)...)
		if code != exitFailed || !strings.Contains(said, "the mount at "+s.point+" does not answer") || !strings.Contains(said, "unmount --force "+s.point) {
			t.Errorf("%v: exit code %d, %s", args, code, said)
		}
		if len(args) == 1 && !strings.Contains(out, other) {
			t.Errorf("status does not show the other mount: %s", out)
		}
	}
}

// Who waits for an orderly end is told of what somebody else's --force threw away.
func TestForceIsToldToWhoWaits(t *testing.T) {
	s := newDistant(t, ordinary(t))
	m := s.mountToEnd(t)
	writer := s.hold(t, 300_000)
	s.link.Stall()
	s.write(t)
	writer.signal(t, syscall.SIGKILL)
	writer.code(t, atOnce)
	said := s.sh(t, "/", binary+` unmount "$M" 2>"$L/waiting" & p=$!
		sleep 1; `+binary+` unmount --force "$M" || true
		x=0; wait $p || x=$?; test $x = 1; cat "$L/waiting"`)
	if !strings.Contains(said, "are lost") {
		t.Errorf("unmount said: %s", said)
	}
	ends(t, m, atOnce)
}
