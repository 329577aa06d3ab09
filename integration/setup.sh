#!/bin/sh
# Gets ready what make needs: a Go as new as go.mod asks for, for the demo, the tests
# and the packages programs, and for tests run by root an ordinary user.
#
#   integration/setup.sh build|demo|test|servers|bench|desktop|packages
#
# What takes root is gathered first and then done in one go: by root, or by sudo.
# Where there is neither it is written down for an administrator, and make stops.
# A Go that is too old only serves to fetch the right one, as a Go module: through
# the module proxy, and compared with the checksum database.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
what=${1:-test}
test_user=remotemount-test
PATH="$top/build/go/bin:$PATH"

fail() { # MESSAGE HINT...
	echo "setup: error: $1" >&2
	shift
	for hint in "$@"; do echo "setup: hint: $hint" >&2; done
	exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }
runs_tests() { [ "$what" = test ] || [ "$what" = servers ] || [ "$what" = bench ] || [ "$what" = desktop ]; }

# mounts: the packages are tried on a mount by root alone.
mounts() {
	case $what in
	build) return 1 ;;
	packages) is_root ;;
	esac
}

# have PROGRAM: also in the places where an ordinary user's PATH does not look.
have() {
	PATH="$PATH:/usr/sbin:/sbin:/usr/lib/openssh" command -v "$1" >/dev/null 2>&1
}

# missing PROGRAM PACKAGE: remembers what is missing, by the package in Debian.
missing() {
	programs="$programs $1"
	case " $packages " in *" $2 "*) ;; *) packages="$packages $2" ;; esac
}

need() { have "$1" || missing "$1" "$2"; }
need_file() { [ -e "$1" ] || missing "$1" "$2"; }

need_for_packages() {
	for p in git:git lintian:lintian dpkg-deb:dpkg rpm:rpm rpm2archive:rpm2cpio zstd:zstd \
		sshd:openssh-server ssh-keygen:openssh-client; do
		need "${p%:*}" "${p#*:}"
	done
}

need_desktop() {
	for p in Xvfb:xvfb xdotool:xdotool import:imagemagick thunar:thunar unzip:unzip dbus-run-session:dbus-daemon \
		lowriter:libreoffice-writer localc:libreoffice-calc; do
		need "${p%:*}" "${p#*:}"
	done
	services=/usr/share/dbus-1/services
	need_file $services/org.gtk.vfs.Daemon.service gvfs
	need_file $services/org.xfce.Tumbler.Thumbnailer1.service tumbler
	need_file /usr/lib/libreoffice/program/libvclplug_gtk3lo.so libreoffice-gtk3
}

need_programs() {
	programs= packages=
	need go golang-go
	if [ "$what" = packages ]; then need_for_packages; fi
	mounts || return 0
	need fusermount3 fuse3
	runs_tests || return 0
	for p in sshd:openssh-server ssh:openssh-client \
		git:git rsync:rsync sqlite3:sqlite3 tar:tar vim:vim gcc:gcc rclone:rclone dropbear:dropbear-bin \
		puttygen:putty-tools openssl:openssl groff:groff-base ps:procps gpg:gpg gpg-agent:gpg-agent gpgconf:gpgconf dbus-daemon:dbus-daemon zsh:zsh fish:fish; do
		need "${p%:*}" "${p#*:}"
	done
	# The compiler may come without the C library's headers.
	if ! echo '#include <signal.h>' | gcc -E - >/dev/null 2>&1; then
		missing signal.h libc6-dev
	fi
	# Without it ssh knows no port by its name.
	need_file /etc/services netbase
	if ! /usr/bin/python3 -c 'import importlib.util as i, sys; sys.exit(not i.find_spec("asyncssh"))' 2>/dev/null; then
		missing asyncssh python3-asyncssh
	fi
	# Its package serves files to everybody unless it is kept from that: only who asks
	# for all servers gets it.
	if [ "$what" = servers ] && ! have proftpd; then
		missing proftpd "proftpd-core proftpd-mod-crypto"
	fi
	if is_root; then need automount autofs; fi
	if [ "$what" = desktop ]; then need_desktop; fi
	if [ "$what" = bench ]; then
		need sshfs sshfs
		need lftp lftp
	fi
}

# Who runs the demo opens /dev/fuse, and in tests run by root the test user does
# too. Everybody may where udev made it; in a container often only root.
fuse_is_closed() {
	[ -c /dev/fuse ] || return 1 # another error
	if is_root && runs_tests; then
		[ -z "$(find /dev/fuse -perm -0666)" ]
	else
		! { [ -r /dev/fuse ] && [ -w /dev/fuse ]; }
	fi
}

step() { steps="$steps$*
"; }

# keep_still and let_go are around the installing of a service that is not to run, now
# or at the next boot.
keep_still() {
	[ -e /usr/sbin/policy-rc.d ] || step "printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d"
}
let_go() {
	[ -e /usr/sbin/policy-rc.d ] || step "rm /usr/sbin/policy-rc.d"
	step "update-rc.d proftpd disable"
}

# need_root: what is to be done as root, a shell command a line.
need_root() {
	steps=
	if [ -n "$packages" ] && have apt-get; then
		step "apt-get update -q"
		case "$packages" in *proftpd*) keep_still ;; esac
		step "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300$packages"
		case "$packages" in *proftpd*) let_go ;; esac
	fi
	mounts || return 0
	if fuse_is_closed; then step "chmod 666 /dev/fuse"; fi
	# An older fusermount3 looks there; systemd has made it, a bare root has not.
	[ -e /etc/mtab ] || step "ln -sf ../proc/self/mounts /etc/mtab"
	if is_root && runs_tests; then
		[ -d /run/sshd ] || step "mkdir -p /run/sshd"
		# The password field is "*" and not "!": sshd lets nobody in whose account is
		# locked.
		id "$test_user" >/dev/null 2>&1 ||
			step "useradd --create-home --shell /bin/sh --password '*' $test_user"
	fi
}

# as_root does the steps, each whatever became of those before: a source of
# packages that cannot be updated need not matter. What is missing in the end does.
as_root() {
	is_root || have sudo || return 0
	echo "setup: as root:" >&2
	show_steps
	if is_root; then
		sh -c "$steps" </dev/null >&2 || true
	else
		sudo sh -c "$steps" >&2 || true
	fi
}

show_steps() { printf %s "$steps" | sed 's/^/    /' >&2; }

# still_missing stops when not everything could be had.
still_missing() {
	if [ -n "$programs" ]; then
		echo "setup: missing:$programs" >&2
		have apt-get || fail "this system has no apt-get, and that is the only way known here" \
			"install what is missing; Debian has it in$packages"
	fi
	if [ -n "$steps" ]; then
		echo "setup: error: what is missing takes root. An administrator runs:" >&2
		show_steps
		echo "setup: hint: then run make again" >&2
		exit 1
	fi
}

# go_version is that of the Go here. From 1.21 on go fetches at this call what
# go.mod asks for.
go_version() {
	said=$(cd "$top" && go version 2>&1) ||
		fail "go cannot get what go.mod asks for: $said" \
			"it comes by the module proxy (go env GOPROXY); or install Go $want or newer"
	echo "$said" | sed -n 's/^go version .*go\([0-9][0-9.]*\).*/\1/p'
}

need_go() {
	want=$(sed -n 's/^go //p' "$top/go.mod")
	version=$(go_version)
	if printf '%s\n%s\n' "$want" "$version" | sort -V -C; then return; fi
	chosen=$(go env GOTOOLCHAIN)
	[ -z "$chosen" ] || fail "Go $version is too old: go.mod asks for $want, and GOTOOLCHAIN=$chosen forbids to fetch it" \
		"GOTOOLCHAIN=auto make $what; or install Go $want or newer"
	fetch_go
}

# Before 1.21 go knows nothing of toolchains, but gets one as it gets any module.
# It does so outside of this module, whose go.mod it cannot read. The files of a
# module are not executable.
fetch_go() {
	module=golang.org/toolchain@v0.0.1-go$want.$(go env GOHOSTOS)-$(go env GOHOSTARCH)
	echo "setup: Go $version is too old, fetching $module" >&2
	said=$(cd / && go mod download -json "$module" 2>&1) ||
		fail "Go $version is too old, and $want cannot be fetched: $said" \
			"it comes by the module proxy (go env GOPROXY); or install Go $want or newer"
	dir=$(echo "$said" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
	chmod u+x "$dir"/pkg/tool/*/* "$dir"/bin/*
	mkdir -p "$top/build"
	ln -sfn "$dir" "$top/build/go" # in front of the Makefile's PATH
}

# SFTPGo is under the AGPL, and its go.mod has replacements, which count in its own
# module alone: it is built from a copy of that, and is no part of anything here.
sftpgo=github.com/drakkan/sftpgo/v2@v2.6.0
need_sftpgo() {
	to=$top/build/sftpgo
	if [ -x "$to/sftpgo" ]; then return; fi
	echo "setup: building $sftpgo" >&2
	said=$(cd / && go mod download -json "$sftpgo" 2>&1) ||
		fail "SFTPGo cannot be fetched: $said" "it comes by the module proxy (go env GOPROXY)"
	rm -rf "$to.part"
	mkdir -p "$top/build"
	cp -r "$(echo "$said" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')" "$to.part"
	chmod -R u+w "$to.part"
	(cd "$to.part" && CGO_ENABLED=0 go build -mod=mod -o sftpgo \
		-tags nogcs,nos3,noazblob,nobolt,nomysql,nopgsql,nosqlite,noportable,nometrics .) ||
		fail "SFTPGo cannot be built"
	rm -rf "$to"
	mv "$to.part" "$to"
}

need_programs
need_root
if [ -n "$steps" ]; then
	as_root
	need_programs
	need_root
fi
still_missing
if mounts && [ ! -c /dev/fuse ]; then
	fail "there is no /dev/fuse on this machine" \
		"modprobe fuse; in a container, give it --device /dev/fuse --cap-add SYS_ADMIN"
fi
need_go
if [ "$what" = servers ]; then need_sftpgo; fi
