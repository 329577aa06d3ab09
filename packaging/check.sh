#!/bin/sh
# Holds packages against what is promised of them: built again, by another user's
# settings, they are the same to the byte; they have in them what packaging/contents
# says; lintian finds no error. By root on Debian the one for this machine is then
# installed, mounts a folder of a real sshd, is replaced by a newer one while the mount is
# at work, and is removed.
#
#   packaging/check.sh FOLDER
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
packages=$(cd "$1" && pwd)
work=$(mktemp -d)
server=
trap 'clean' EXIT
trap 'exit 1' INT TERM

clean() {
	status=$?
	exec 3>&-
	mountpoint -q "$work/mnt" && remotemount unmount --force "$work/mnt"
	[ -z "$server" ] || kill "$server"
	if [ -n "${installed:-}" ]; then dpkg --purge remotemount >&2; fi
	rm -rf "$work"
	[ "$status" = 0 ] || echo "packages: error: see above" >&2
}

fail() {
	echo "packages: error: $*" >&2
	exit 1
}

# same GOT WANT
same() { [ "$1" = "$2" ] || fail "'$1' where '$2' was expected"; }

say() { echo "packages: $*"; }

# built_twice: nothing that was compiled for the first is used for the second.
built_twice() {
	(umask 077 && PROGRAM_CACHE=$work/cache TZ=Asia/Kathmandu LC_ALL=C "$here/build.sh" "$work/again")
	diff -rq "$packages" "$work/again" || fail "two builds of one commit differ"
	say "built twice, and equal to the byte"
}

# unpack PACKAGE FOLDER, without what is for the package manager alone.
unpack() {
	mkdir -p "$2"
	case $1 in
	*.deb) dpkg-deb -x "$1" "$2" ;;
	*.rpm) rpm2archive - <"$1" | tar -xz -C "$2" ;;
	*.apk) tar --warning=no-unknown-keyword -xzf "$1" -C "$2" ;;
	*.pkg.tar.zst) tar --zstd -xf "$1" -C "$2" ;;
	esac
}

# depends PACKAGE prints what has to be installed with it.
depends() {
	case $1 in
	*.deb) dpkg-deb -f "$1" Depends ;;
	*.rpm) rpm -qp --requires "$1" | grep -v '^rpmlib(' ;;
	*.apk | *.pkg.tar.zst) sed -n 's/^depend = //p' "$2/.PKGINFO" ;;
	esac
}

# listing PACKAGE FOLDER: of the .rpm only what it owns, as rpm itself tells.
listing() {
	case $1 in
	*.rpm) rpm -qp --qf '[%{FILEMODES:perms} %{FILENAMES} %{FILELINKTOS}\n]' "$1" | sed 's/^l[^ ]*/lrwxrwxrwx/' ;;
	*) (cd "$2" && find . -mindepth 1 ! -name '.[A-Z]*' -printf '%M /%P %l\n') ;;
	esac | sed 's/ $//' | LC_ALL=C sort -k 2
}

# look PACKAGE KIND
look() {
	at=$work/unpacked/${1##*/}
	unpack "$1" "$at"
	listing "$1" "$at" | diff -u "$here/contents/$2" - || fail "$1 has not in it what packaging/contents/$2 says"
	same "$(depends "$1" "$at")" fuse3
	strange=$(find "$at" ! -uid "$(id -u)")
	[ -z "$strange" ] || fail "$1 has files of others: $strange"
	case $1 in *"_$deb_arch."* | *"$machine".*)
		"$at/usr/bin/remotemount" --version | grep -q "commit $commit of $day\$" ||
			fail "$1 has another program: $("$at/usr/bin/remotemount" --version)"
		;;
	esac
}

# count KIND NAME...: there is one for each processor.
count() {
	kind=$1
	shift
	[ $# = 2 ] || fail "$# packages for $kind, not 2"
	for p; do look "$p" "$kind"; done
}

looked_at() {
	count deb "$packages"/*.deb
	count rpm "$packages"/*.rpm
	count apk "$packages"/*.apk
	count archlinux "$packages"/*.pkg.tar.zst
	for bom in "$packages"/*.cdx.json; do
		grep -q '"bomFormat": "CycloneDX"' "$bom" && grep -q 'pkg:golang/github.com/hanwen/go-fuse/v2@' "$bom" ||
			fail "$bom does not name what is linked"
	done
	say "they have in them what packaging/contents says"
}

# linted: of errors alone; root's being root is no news.
linted() {
	for p in "$packages"/*.deb; do
		TMPDIR=$work lintian --allow-root --fail-on error "$p" || fail "lintian finds errors in $p"
	done
	say "lintian finds no error"
}

# start_sshd: a real one, on the first port that is free. It lets in the key made here.
start_sshd() {
	mkdir -p /run/sshd "$work/served" "$work/mnt" "$work/home"
	ssh-keygen -q -t ed25519 -N '' -f "$work/host"
	ssh-keygen -q -t ed25519 -N '' -f "$work/key"
	cp "$work/key.pub" "$work/authorized"
	cat >"$work/sshd_config" <<-END
		ListenAddress 127.0.0.1
		HostKey $work/host
		AuthorizedKeysFile $work/authorized
		PidFile none
		StrictModes no
		UsePAM no
		PermitRootLogin prohibit-password
		Subsystem sftp internal-sftp
	END
	port=$((20000 + $$ % 10000))
	for _ in 1 2 3 4 5; do
		port=$((port + 1))
		/usr/sbin/sshd -D -e -f "$work/sshd_config" -p $port 2>"$work/sshd.log" &
		server=$!
		for _ in $(seq 100); do
			grep -q 'Server listening' "$work/sshd.log" && return
			kill -0 $server 2>/dev/null || break
			sleep 0.1
		done
		server=
	done
	fail "sshd does not start: $(cat "$work/sshd.log")"
}

# mount_here as mount(8) does it, by the helper.
mount_here() {
	HOME="$work/home" mount -t remotemount -o "port=$port,IdentityFile=$work/key,UserKnownHostsFile=$work/known" \
		"root@127.0.0.1:$work/served" "$work/mnt"
}

# ours prints what bears the program's name where packages put files.
ours() { find /usr /etc /opt /var/lib /var/cache -xdev -iname '*remotemount*' 2>/dev/null | LC_ALL=C sort; }

# newer_package is one of the same program with a higher version.
newer_package() {
	git clone -q "$here/.." "$work/newer"
	git -C "$work/newer" tag v9999.0.0
	PACKAGERS=deb ARCHES=$deb_arch "$work/newer/packaging/build.sh" "$work/next"
}

installed_and_used() {
	newer_package
	ours >"$work/before"
	start_sshd

	installed=yes
	dpkg -i "$packages"/*_"$deb_arch".deb
	same "$(command -v remotemount)" /usr/bin/remotemount
	remotemount --version | grep "commit $commit of $day\$"
	mount_here
	echo text >"$work/mnt/file"
	same "$(cat "$work/served/file")" text

	# A file stays open, and is written to, while the program is replaced.
	exec 3>"$work/mnt/open"
	echo before >&3
	dpkg -i "$work"/next/*.deb
	remotemount --version | grep 'version 9999\.0\.0,'
	echo after >&3
	exec 3>&-
	same "$(tr '\n' ' ' <"$work/served/open")" "before after "
	same "$(cat "$work/mnt/file")" text
	remotemount status "$work/mnt"
	remotemount unmount "$work/mnt"

	mount_here
	same "$(cat "$work/mnt/file")" text
	umount "$work/mnt"

	dpkg --purge remotemount
	installed=
	ours | diff "$work/before" - || fail "the package leaves something behind"
	say "installed, used, upgraded over a mount at work, and removed"
}

commit=$(git -C "$here" rev-parse --short=12 HEAD)
day=$(date -u -d "@$(git -C "$here" log -1 --format=%ct)" +%Y-%m-%d)
deb_arch=$(dpkg --print-architecture)
machine=$(uname -m)

looked_at
linted
if [ "$(id -u)" != 0 ]; then
	say "not installed: that takes root"
elif [ -n "$(command -v remotemount mount.remotemount)" ]; then
	say "not installed: this machine has a remotemount, and keeps it"
else
	installed_and_used
fi
built_twice
