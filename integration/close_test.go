package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/pool/remote/remotetest"
)

// TestRefusedCloseIsTold has programs close what they have written on servers that
// refuse that: they are told, and what they do afterwards works.
func TestRefusedCloseIsTold(t *testing.T) {
	for name, identification := range map[string]string{"OpenSSH": "SSH-2.0-OpenSSH_9.2p1", "other": "SSH-2.0-Other_1.0"} {
		t.Run(name, func(t *testing.T) {
			x := newLiarAs(t, identification)
			refuse := func() {
				x.server.Script(func(r remotetest.Request) remotetest.Fate {
					if r.Type == "CLOSE" && strings.HasPrefix(r.Path, "good/refused") {
						return remotetest.Fail
					}
					return remotetest.Answer
				})
			}
			m, err := x.StartMount(x.Command(t.Context(), binary, append(append([]string{"mount", "--foreground"}, x.args...), x.remote, x.point)...), x.point)
			must(t, err)
			t.Cleanup(func() { _ = m.Unmount() }) // it may have ended
			s := &site{Lab: x.Lab, point: x.point, remote: x.Path("root")}
			s.sh(t, x.Dir, `
				echo data >"$M/good/small" && test "$(cat "$M/good/small")" = data
				exec 3>"$M/good/lines"
				for i in 1 2 3; do echo $i >&3; done
				exec 3>&-
				test "$(cat "$M/good/lines")" = "$(seq 3)"`)
			refuse()
			said := s.sh(t, x.Dir, `
				{ cp "$M/good/small" "$M/good/refused1" || echo $?
				dd if=/dev/zero of="$M/good/refused2" bs=1M count=9 status=none || echo $?
				cp "$M/good/small" "$M/good/fine" && echo 0; } 2>&1`)
			if strings.Count(said, "Input/output error") != 2 || !strings.HasSuffix(strings.TrimSpace(said), "\n0") {
				t.Errorf("programs said:\n%s", said)
			}
			if st := s.status(t); len(st.Lost) != 2 {
				t.Errorf("status: %+v", st.Lost)
			}
			if text, err := os.ReadFile(filepath.Join(x.Path("root"), "good", "fine")); err != nil || string(text) != "data\n" {
				t.Errorf("the server has %q, %v", text, err)
			}
			if err := m.Unmount(); err == nil || !strings.Contains(err.Error(), "data of 2 files was lost") {
				t.Errorf("unmount: %v", err)
			}
		})
	}
}
