#!/bin/sh
# Tries from nothing what the README promises of `make demo` and `make test`: in
# roots that debootstrap makes, with git, make and ca-certificates and nothing else,
# on what is committed here. Each case is a suite of Debian and who types:
#
#   root   root
#   sudo   an ordinary user whom sudo lets do everything
#   plain  an ordinary user without sudo: make has to name what it lacks and stop,
#          and to go on when an administrator has typed just that
#
#   integration/fresh.sh [SUITE/WHO...]     takes root and debootstrap
#
# WHOLE names the cases that run all tests; the others run SOME of them, after the
# same set-up; those on testing run none. The logs and the table are in build/fresh. A
# case lives in namespaces of its own, so that its mounts and processes end with it.
set -eu

CASES=${*:-"bookworm/root bookworm/sudo bookworm/plain trixie/root trixie/sudo trixie/plain testing/root testing/sudo testing/plain"}
WHOLE=${WHOLE-"bookworm/root trixie/plain"}
SOME=${SOME-"Scripts|Manual|Key|OpenSSH|VimSaves|SQLite|TimerSignals|Trees|Git"}

top=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
logs=$top/build/fresh

# new_root SUITE FOLDER: what the network of this machine needs is given to the root:
# names, and whom to trust, as there may be a proxy that signs for others.
new_root() {
	unshare --mount debootstrap --variant=minbase --include=git,make,ca-certificates "$1" "$2"
	cp /etc/resolv.conf "$2/etc/resolv.conf"
	echo "127.0.0.1 localhost $(hostname)" >"$2/etc/hosts"
	trusted=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
	[ ! -f "$trusted" ] || cp "$trusted" "$2/etc/ssl/certs/ca-certificates.crt"
	# Packages start no server here: it would be one of this machine's.
	printf '#!/bin/sh\nexit 101\n' >"$2/usr/sbin/policy-rc.d"
	chmod 755 "$2/usr/sbin/policy-rc.d"
}

# network prints what the environment says of it, for env.
network() { env | grep -E '^(https?_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY|GOPROXY|GOSUMDB)=' || true; }

# as USER COMMAND...: with the environment of a login.
as() {
	who=$1
	shift
	home=$(sh -c "echo ~$who")
	# shellcheck disable=SC2046
	runuser -u "$who" -- env -i $(network) HOME="$home" USER="$who" LOGNAME="$who" \
		TERM=dumb LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		sh -c "cd ~/remotemount && $*"
}

# move_in gives the root what a machine has, of its devices few, and makes it this
# shell's. A chroot would not do: the kernel lets nobody in one have a user namespace.
move_in() {
	mount --make-rprivate /
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount -t tmpfs -o mode=755 tmpfs "$root/dev"
	for device in null zero full random urandom tty fuse; do
		: >"$root/dev/$device"
		mount --bind "/dev/$device" "$root/dev/$device"
	done
	mkdir -m 1777 "$root/dev/shm"
	mkdir "$root/dev/pts"
	mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	mkdir "$root/logs" "$root/machine"
	mount --bind "$logs" "$root/logs"
	git clone -q --no-hardlinks "$top" "$root/remotemount"
	cd "$root"
	pivot_root . machine
	cd /
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	umount -l /machine
	rmdir /machine
	logs=/logs
}

# row WHAT RESULT SECONDS: of the table.
row() { printf '%-9s %-6s %-28s %-7s %5d s\n' "$suite" "$who_types" "$1" "$2" "$3" | tee -a "$logs/table"; }

# try WHAT GOOD COMMAND: GOOD says how it must end: green, or stops.
try() {
	what=$1 good=$2 begin=$(date +%s) result=green
	shift 2
	log=$logs/$suite-$who_types-$(echo "$what" | tr -c 'a-z\n' -).log
	as "$user" "$@" >"$log" 2>&1 </dev/null || result=red
	if [ "$good" = stops ] && [ "$result" = red ] && grep -q 'An administrator runs:$' "$log"; then
		result=stops
	fi
	[ "$result" = "$good" ] || failed=1
	row "$what" "$result" $(($(date +%s) - begin))
}

# administrator does as root what the last log asks for, word for word.
administrator() {
	asked=$(sed -n '/An administrator runs:$/,/^setup: hint/s/^    //p' "$log")
	sh -c "$asked" >"${log%.log}-administrator.log" 2>&1 </dev/null
}

# run_case runs in the namespaces. It ends with 1 when something was not as it must be.
run_case() {
	move_in
	failed=0 user=person tests="make test TESTFLAGS=\"-run='$SOME'\"" name='make test, some'
	case " $WHOLE " in *" $suite/$who_types "*) tests='make test' name='make test, all' ;; esac
	[ "$who_types" != root ] || user=root
	if [ "$user" = person ]; then useradd --create-home --shell /bin/bash person; fi
	if [ "$who_types" = sudo ]; then
		(apt-get update -q || true; apt-get install -y -q --no-install-recommends sudo) >"$logs/$suite-sudo-sudo.log" 2>&1
		echo 'person ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/person
	fi
	home=$(sh -c "echo ~$user")
	mv /remotemount "$home/remotemount"
	chown -R "$user": "$home/remotemount"
	if [ "$who_types" = plain ]; then
		try 'make demo, nothing there' stops make demo
		administrator
	fi
	try 'make demo' green make demo
	[ "$user" != root ] || try 'make install and uninstall' green integration/installed.sh
	if [ "$suite" = testing ]; then
		return $failed # it lacks programs that the tests need, now these and now others
	fi
	if [ "$who_types" = plain ]; then
		try 'make test, programs missing' stops make test
		administrator
	fi
	try "$name" green "$tests"
	return $failed
}

all_cases() {
	if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
		echo "fresh: error: this takes root, and debootstrap" >&2
		exit 1
	fi
	work=$(mktemp -d /var/tmp/remotemount-fresh-XXXXXX)
	inside=
	trap '[ -z "$inside" ] || { kill -KILL $inside; wait $inside || true; }; rm -rf --one-file-system "$work"' EXIT
	trap 'exit 1' INT TERM
	rm -rf "$logs"
	mkdir -p "$logs"
	code=0
	for case in $CASES; do
		suite=${case%/*} who=${case#*/}
		if [ ! -d "$work/$suite" ]; then
			new_root "$suite" "$work/$suite" >"$logs/$suite-debootstrap.log" 2>&1
		fi
		cp -a "$work/$suite" "$work/root"
		WHOLE=$WHOLE SOME=$SOME unshare --mount --pid --fork --kill-child "$0" --inside "$suite" "$who" "$work/root" &
		inside=$! # in the background: a signal ends wait, and not the wait for a program
		wait $inside || code=1
		inside=
		rm -rf --one-file-system "$work/root"
	done
	echo
	cat "$logs/table"
	echo "the logs are in $logs"
	exit $code
}

# The shell has read all of this file before it begins.
if [ "${1:-}" = --inside ]; then
	suite=$2 who_types=$3 root=$4
	run_case
	exit
fi
all_cases; exit
