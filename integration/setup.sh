#!/bin/sh
# Gets ready what `make demo`, `make test` and `make bench` need beyond Go:
# programs, by apt-get where there is one, and for the tests, as root, an
# ordinary user. What cannot be had is named at the end.
#
#   integration/setup.sh demo|test|bench
set -eu

test_user=remotemount-test

# have PROGRAM: also in the places where an ordinary user's PATH does not look.
have() {
	PATH="$PATH:/usr/sbin:/sbin:/usr/lib/openssh" command -v "$1" >/dev/null 2>&1
}

# need PROGRAM PACKAGE: remembers what is missing.
programs= packages=
need() {
	have "$1" && return
	programs="$programs $1"
	case " $packages " in *" $2 "*) ;; *) packages="$packages $2" ;; esac
}

check_all() {
	programs= packages=
	need go golang-go
	need fusermount3 fuse3
	[ "$1" = demo ] && return
	for p in sshd:openssh-server ssh:openssh-client \
		git:git rsync:rsync sqlite3:sqlite3 tar:tar vim:vim-tiny gcc:gcc \
		puttygen:putty-tools openssl:openssl groff:groff automount:autofs; do
		need "${p%:*}" "${p#*:}"
	done
	[ "$1" = bench ] && need sshfs sshfs && need lftp lftp
	return 0
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		return 1
	fi
}

install_missing() {
	have apt-get || return 0
	echo "installing:$packages" >&2
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends $packages >&2 && return
	as_root apt-get update -q >&2 || true
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends $packages >&2 || true
}

# The user's password field is "*" and not "!": sshd lets nobody in whose account
# is locked.
make_test_user() {
	[ "$(id -u)" = 0 ] || return 0
	mkdir -p /run/sshd
	id "$test_user" >/dev/null 2>&1 && return
	useradd --create-home --shell /bin/sh --password '*' "$test_user"
}

# Everybody may open /dev/fuse where udev made it; in a container often only root.
open_fuse() {
	[ -w /dev/fuse ] && [ -n "$(find /dev/fuse -perm -0666)" ] && return
	as_root chmod 666 /dev/fuse || echo "setup: /dev/fuse is closed to ordinary users" >&2
}

what=${1:-test}
check_all "$what"
if [ -n "$programs" ]; then
	install_missing
	check_all "$what"
fi
if [ -n "$programs" ]; then
	echo "setup: error: missing programs:$programs" >&2
	echo "setup: hint: install the packages that have them; on Debian:$packages" >&2
	exit 1
fi
if [ ! -c /dev/fuse ]; then
	echo "setup: error: there is no /dev/fuse on this machine" >&2
	echo "setup: hint: modprobe fuse; in a container, give it --device /dev/fuse --cap-add SYS_ADMIN" >&2
	exit 1
fi
[ "$what" = demo ] || make_test_user
open_fuse
