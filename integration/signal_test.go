package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
)

// ticking is loaded into programs that know nothing of it: SIGURG comes every
// millisecond and is handled, as in a Go program. SA_RESTART spares them the
// interruptions that a local filesystem does not cause either; EINTR that a
// filesystem answers is not restarted by anyone. Handlers do not outlive exec, so
// the signal has to be one that does no harm then.
const ticking = `
#include <signal.h>
#include <time.h>

static void tick(int sig) { (void)sig; }

__attribute__((constructor)) static void begin(void) {
	struct sigaction a = {.sa_handler = tick, .sa_flags = SA_RESTART};
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG};
	struct itimerspec v = {{0, 1000000}, {0, 1000000}};
	timer_t t;
	sigaction(SIGURG, &a, 0);
	if (timer_create(CLOCK_MONOTONIC, &e, &t) == 0)
		timer_settime(t, 0, &v, 0);
}
`

// restless does what files are for, with a timer and without SA_RESTART, and ends
// at the first call that fails. It tells how often the timer came.
const restless = `
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t ticks;
static void tick(int sig) { (void)sig; ticks++; }

#define DO(call) do { if ((call) < 0) { \
	fprintf(stderr, "%s: %s\n", #call, strerror(errno)); return 1; } } while (0)

int main(void) {
	struct sigaction a = {.sa_handler = tick};
	struct itimerval v = {{0, 1000}, {0, 1000}};
	static char buf[300000];
	sigaction(SIGALRM, &a, 0);
	setitimer(ITIMER_REAL, &v, 0);
	for (int i = 0; i < 50; i++) {
		int fd;
		struct stat st;
		DO(mkdir("dir", 0755));
		DO(fd = open("dir/file", O_RDWR | O_CREAT | O_EXCL, 0640));
		for (int n = 0; n < 3; n++)
			DO(write(fd, buf, sizeof buf) == sizeof buf ? 0 : -1);
		DO(fsync(fd));
		DO(ftruncate(fd, sizeof buf));
		DO(pread(fd, buf, sizeof buf, 0) == sizeof buf ? 0 : -1);
		DO(fstat(fd, &st));
		DO(fchmod(fd, 0600));
		DO(close(fd));
		DO(rename("dir/file", "dir/name"));
		DO(symlink("name", "dir/link"));
		DO(stat("dir/link", &st));
		DO(unlink("dir/link"));
		DO(unlink("dir/name"));
		DO(rmdir("dir"));
	}
	printf("%d\n", (int)ticks);
	return 0;
}
`

// TestTimerSignals runs programs to which a signal they handle comes every
// millisecond, over a link on which a round trip lasts several of them. No call
// may fail with EINTR.
func TestTimerSignals(t *testing.T) {
	need(t, "gcc", "git")
	eachUser(t, func(t *testing.T, u lab.User) {
		d := newDistant(t, u)
		m := d.mount(t)
		must(t, d.WriteFile("ticking.c", []byte(ticking), 0o644))
		must(t, d.WriteFile("restless.c", []byte(restless), 0o644))
		d.sh(t, d.Dir, gitConfig+`
			gcc -shared -fPIC -o ticking.so ticking.c
			gcc -o restless restless.c`)
		d.noise(t, "source", 8<<20)
		d.link.SetDelay(time.Millisecond)
		if ticks := strings.TrimSpace(d.sh(t, d.point, `"$L/restless"`)); len(ticks) < 3 {
			t.Errorf("only %s signals came: the test shows nothing", ticks)
		}
		j := d.start(t, `
			export LD_PRELOAD="$L/ticking.so"
			cd "$M"
			cp "$L/source" copy
			cp copy "$L/back"
			cmp "$L/source" "$L/back"
			mkdir project
			cd project
			git init -q
			for i in 1 2 3 4; do echo "int f$i(void) { return $i; }" >f$i.c; done
			echo 'int f1(void); int main(void) { return f1() - 1; }' >main.c
			gcc -O1 -o program *.c
			./program
			git add .
			git commit -q -m first
			echo >>f1.c
			git commit -q -a -m second
			git status --porcelain
			git checkout -q HEAD~1
			git fsck --strict
			cd ..
			rm -r project copy`)
		j.succeeds(t)
		if said := j.out.String(); strings.Contains(said, "nterrupted") {
			t.Errorf("somebody was interrupted: %s", said)
		}
		unmount(t, m)
	})
}
