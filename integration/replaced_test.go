package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// TestReplacedOnServer pins that a log which the server moves away and makes anew has
// another inode number than the one a program here holds open, so that tail -F goes
// on with the new one.
func TestReplacedOnServer(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		log := filepath.Join(s.remote, "log")
		must(t, os.WriteFile(log, []byte("first\n"), 0o666))
		m := s.mount(t, "--attr-timeout", "500ms")
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(2 * time.Second)
			must(t, os.Rename(log, log+".1"))
			must(t, os.WriteFile(log, []byte("second, longer\n"), 0o666))
			for range 30 {
				time.Sleep(200 * time.Millisecond)
				f, err := os.OpenFile(log+".1", os.O_APPEND|os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteString("late\n") // whoever held it open writes on
				must(t, err)
				must(t, f.Close())
			}
		}()
		s.sh(t, s.point, `
			timeout 12 tail -F -s 0.3 -n +1 log >"$HOME/out" 2>/dev/null &
			exec 3<log
			held=$(stat -Lc %i /dev/fd/3)
			for i in $(seq 100); do
				now=$(stat -c %i log)
				[ "$now" = "$held" ] || break
				sleep 0.1
			done
			[ "$now" != "$held" ]
			[ "$(stat -Lc %i /dev/fd/3)" = "$held" ]
			[ "$(head -n 1 <&3)" = first ]
			[ "$(cat log)" = "second, longer" ]
			wait || true`)
		<-done
		unmount(t, m)
		out, err := os.ReadFile(s.Path("home/out"))
		if err != nil || !strings.HasPrefix(string(out), "first\n") || !strings.Contains(string(out), "second, longer\n") {
			t.Errorf("tail -F has seen %q, %v", out, err)
		}
	})
}
