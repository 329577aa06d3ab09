package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// memory is what /proc tells of a mount's process, in MiB.
func memory(t testing.TB, m *lab.Mount, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.PID()))
	must(t, err)
	_, rest, _ := strings.Cut(string(status), field+":")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	return kib >> 10
}

// The whole process keeps to --cache-memory and 64 MiB, whatever programs do, and gives
// back what it does not need. The race detector takes up to ten times as much.
func TestMemory(t *testing.T) {
	need(t)
	users, err := lab.Users()
	must(t, err)
	times := 1
	if raceEnabled {
		times = 10
	}
	const bound = 16 + 64
	for name, script := range map[string]string{
		"many files at once": `for i in $(seq 24); do cat f$i >/dev/null & done; wait`,
		"one file, many descriptors": `for i in $(seq 12); do
			(for j in $(seq 60); do dd if=f1 bs=4k count=1 skip=$(( (i*7919+j*104729) % 512 )) status=none; done >/dev/null) & done; wait`,
		"many written at once": `for i in $(seq 24); do head -c 2M /dev/zero >new$i & done; wait; rm new*`,
		"bytes far apart":      `for i in $(seq 0 3 3000); do printf x; dd if=/dev/zero bs=4k count=1 status=none; done >sparse; rm sparse`,
		"a tree":               `ls -lR . >/dev/null; find . >/dev/null`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, users[0])
			s.sh(t, s.remote, `for i in $(seq 24); do head -c 2M /dev/urandom >f$i; done; for d in $(seq 20); do mkdir d$d; (cd d$d; seq 100 | xargs touch); done`)
			m := s.mount(t, "--cache-memory", "16M")
			s.sh(t, s.point, "ls >/dev/null")
			atRest := memory(t, m, "VmRSS")
			s.sh(t, s.point, script)
			peak := memory(t, m, "VmHWM")
			if peak > bound*times {
				t.Errorf("%d MiB at the peak, promised are %d", peak, bound)
			}
			after := 0
			for range 60 {
				if after = memory(t, m, "VmRSS"); after <= atRest+32*times {
					break
				}
				time.Sleep(500 * time.Millisecond)
			}
			if after > atRest+32*times {
				t.Errorf("half a minute later %d MiB are left, %d before", after, atRest)
			}
			t.Logf("%d MiB before, %d at the peak, %d afterwards", atRest, peak, after)
		})
	}
}
