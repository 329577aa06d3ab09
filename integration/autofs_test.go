package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestAutofs has the real automounter mount, by an indirect and a direct map. It
// lets nobody but its own process group look at the mountpoint meanwhile, so a
// mount that leaves the group too early waits for itself. Everything happens in a
// mount namespace, which has the helper where mount(8) looks for it.
func TestAutofs(t *testing.T) {
	if os.Getuid() != 0 {
		return // only root mounts autofs
	}
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "\tautofs\n") {
		t.Skip("this kernel has no autofs, so there is no automounter here to work with")
	}
	need(t, "automount", "unshare")
	s := newSite(t, currentUser(t))
	options := fmt.Sprintf("-fstype=remotemount,port=%d,IdentityFile=%s,known_hosts=%s,ssh_config=none", s.sshd.Port, s.sshd.Identity, s.sshd.KnownHosts)
	// The colons are escaped, and the first tells that it is no NFS server.
	location := strings.ReplaceAll(s.address(), ":", `\:`)
	must(t, s.WriteFile("remote/file", []byte("text\n"), 0o644))
	must(t, s.WriteFile("indirect", []byte(fmt.Sprintf("key %s :%s\n", options, location)), 0o644))
	must(t, s.WriteFile("direct", []byte(fmt.Sprintf("%s/there %s :%s\n", s.Dir, options, location)), 0o644))
	must(t, s.WriteFile("master", []byte(fmt.Sprintf("%[1]s/auto %[1]s/indirect --timeout=60\n/- %[1]s/direct --timeout=60\n", s.Dir)), 0o644))
	must(t, s.WriteFile("script", []byte(autofsScript), 0o755))
	out, stderr, code := s.run(t, "unshare", "-m", "--propagation", "private", "sh", "-eux", s.Path("script"), s.Dir, binary)
	if code != 0 {
		daemon, _ := os.ReadFile(s.Path("automount.log"))
		t.Fatalf("exit code %d:\n%s%s\nthe automounter said:\n%s", code, out, stderr, tail(string(daemon)))
	}
}

const autofsScript = `
cd "$1"
mkdir auto there lower sbin
mount -t tmpfs none /run # another automounter's fifos are there
mount --bind /sbin lower
cp -rs "$1/lower/." sbin
ln -sf "$2" sbin/mount.remotemount
mount --bind sbin /sbin

automount -f -v -p "$1/automount.pid" "$1/master" >automount.log 2>&1 &
daemon=$!
trap 'kill -KILL $daemon; "$2" unmount --force auto/key; "$2" unmount --force there' EXIT
until grep -q 'mounted direct' automount.log && grep -q 'mounted indirect' automount.log; do
	kill -0 $daemon
	sleep 0.1
done

mounted() { findmnt -rn -t fuse.sshfs -o TARGET | grep "^$1/"; }
for round in 1 2 3; do
	echo "round $round"
	for point in auto/key there; do
		test "$(timeout 20 cat "$1/$point/file")" = text
		pid=$("$2" status --json "$1/$point" | sed -n 's/.*"pid": \([0-9]*\),/\1/p')
		echo "$point: process $pid, session $(ps -o sid= -p "$pid")"
		test "$(ps -o sid= -p "$pid")" -eq "$pid"
	done
	test "$(mounted "$1" | wc -l)" -eq 2
	kill -USR1 $daemon # what is not in use goes
	until ! mounted "$1"; do sleep 0.1; done
done
kill -TERM $daemon
wait $daemon
trap - EXIT
`
