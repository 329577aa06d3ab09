#!/bin/bash
# Boots a machine of its own and looks at what only a whole one has: systemd as
# process 1, fstab, automounters, users' services, shutdown, and Debian's own kernel.
# The server is the machine's own sshd; it has no network.
#
#   integration/boot/run.sh [SUITE]      takes root, debootstrap, qemu and mke2fs
#
# WHERE=container boots the same root in namespaces, on this machine's kernel and in a
# third of the time, where qemu would have to compute everything.
#
# Logs are in build/boot, with the time of the day before each line of the console.
# What debootstrap made is kept there and used again. SCALE (1) makes the time limits
# longer, as for a machine without kvm, where qemu computes everything (there it is 5).
set -euo pipefail

suite=${1:-bookworm}
here=$(cd "$(dirname "$0")" && pwd)
top=$(git -C "$here" rev-parse --show-toplevel)
work=$top/build/boot
root=$work/$suite
where=${WHERE:-qemu}
log=$work/$suite-$where.log

die() { # MESSAGE HINT
	echo "boot: error: $1" >&2
	echo "boot: hint: $2" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || die "debootstrap needs root" "sudo make boot"
export PATH=$PATH:/usr/sbin:/sbin
case $where in
qemu) needs="qemu-system-x86_64:qemu-system-x86 mke2fs:e2fsprogs" ;;
container) needs=ip:iproute2 ;;
*) die "WHERE=$where" "qemu, or container" ;;
esac
for program in debootstrap:debootstrap go:golang-go $needs; do
	command -v "${program%:*}" >/dev/null || die "${program%:*} is missing" "apt-get install ${program#*:}"
done
[ "$(uname -m)" = x86_64 ] || die "this is for x86-64" "look at the kernel and qemu in $0"
# A kvm without the CPU's own help (pvm, in some virtual machines) boots guests of its
# own kind only.
if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
	accel=(-accel kvm -cpu "max,-arch-capabilities") # what a nested kvm says of those it cannot always do
else
	# Wide registers cost more to compute than they save, and so does what guards one
	# guest's memory from another's programs.
	accel=(-accel "tcg,thread=multi,tb-size=512" -cpu Westmere)
fi
SCALE=${SCALE:-$([ "${accel[1]}" = kvm ] && echo 1 || echo 5)}

# The mirror, if not Debian's own, is debootstrap's business: DEBOOTSTRAP_MIRROR.
packages=linux-image-cloud-amd64,systemd-sysv,udev,dbus,dbus-user-session,libpam-systemd,openssh-server,openssh-client,fuse3,autofs,procps,psmisc
mkdir -p "$work"
began=$SECONDS
if [ ! -e "$root.made" ]; then
	rm -rf "$root"
	unshare --mount debootstrap --variant=minbase --include="$packages" "$suite" "$root" ${DEBOOTSTRAP_MIRROR:+"$DEBOOTSTRAP_MIRROR"} >"$work/debootstrap.log" ||
		die "debootstrap failed" "look at $work/debootstrap.log; DEBOOTSTRAP_MIRROR names another mirror"
	touch "$root.made"
fi
echo "boot: the root after $((SECONDS - began)) s"

# Without cgo the programs run whatever C library the root has.
export CGO_ENABLED=0
cd "$top"
go build -trimpath -buildvcs=false -o "$root/usr/bin/remotemount" ./cmd/remotemount
ln -sf ../bin/remotemount "$root/usr/sbin/mount.remotemount"
go test -c -o "$root/opt/integration.test" ./integration
go test -c -o "$root/opt/pool.test" ./pool
echo "boot: the programs after $((SECONDS - began)) s"

rm -rf "$root/etc/systemd/system/boot-test.service.d"
install -m 755 "$here/guest.sh" "$root/opt/guest.sh"
install -m 644 "$here"/*.service "$root/etc/systemd/system/"
sed 's,What=.*,What=root@127.0.0.1:/srv/unit,; s,Where=.*,Where=/mnt/unit,; s,Options=.*,Options=_netdev\,allow_other\,port=2222\,IdentityFile=/root/.ssh/id_ed25519,' \
	"$top/packaging/systemd/mnt-folder.mount" >"$root/etc/systemd/system/mnt-unit.mount"
mkdir -p "$root/etc/systemd/user" "$root/etc/systemd/system/multi-user.target.wants"
cp "$top/packaging/systemd/remotemount@.service" "$root/etc/systemd/user/"
ln -sf ../boot-test.service ../boot-sshd.service "$root/etc/systemd/system/multi-user.target.wants/"
chroot "$root" /opt/guest.sh prepare

# stamped puts the time before each line.
stamped() { while IFS= read -r line; do printf '%(%H:%M:%S)T %s\n' -1 "${line%$'\r'}"; done; }

# in_container is the same three boots on this machine's kernel.
in_container() {
	echo "boot: booting in a container"
	sed -i '/^\/dev\/vda/d' "$root/etc/fstab"
	mkdir -p "$root/etc/systemd/system/boot-test.service.d"
	printf '[Service]\nStandardOutput=append:/boot.log\nStandardError=append:/boot.log\n' >"$root/etc/systemd/system/boot-test.service.d/container.conf"
	: >"$root/boot.log"
	tail -f -n +1 "$root/boot.log" | stamped >"$log" &
	watching=$!
	for _ in 1 2 3; do
		local down=$SECONDS
		timeout -s KILL 280 unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child "$here/container.sh" "$root" </dev/null >"$work/container.log" 2>&1 || true
		echo "the machine was up for $((SECONDS - down)) s" >>"$root/boot.log"
	done
	sleep 1
	kill "$(pgrep -P $$ -x tail)" "$watching" 2>/dev/null || true
}

in_qemu() {
	image=$work/$suite.img
	rm -f "$image"
	mke2fs -q -F -t ext4 -d "$root" "$image" 3G >/dev/null
	echo "boot: the image after $((SECONDS - began)) s; booting with ${accel[1]}"

	timeout $((480 * SCALE)) qemu-system-x86_64 -M q35 "${accel[@]}" -smp 2 -m 1536 -nodefaults -nographic -serial stdio -nic none \
		-kernel "$root/vmlinuz" -initrd "$root/initrd.img" -drive "file=$image,format=raw,if=virtio,cache=unsafe" \
		-append "root=/dev/vda rw console=ttyS0 quiet loglevel=4 systemd.show_status=false mitigations=off nokaslr scale=$SCALE" \
		</dev/null 2>&1 | stamped >"$log" || echo "boot: qemu ended with ${PIPESTATUS[0]}" >>"$log"
	rm -f "$image"
}

in_$where
grep 'BOOT-TEST' "$log" | cut -c1-240
echo "boot: $((SECONDS - began)) s in all; the console is in $log"
grep -q 'BOOT-TEST all done' "$log" && ! grep -q 'BOOT-TEST FAIL' "$log"
