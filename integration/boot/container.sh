#!/bin/sh
# Boots the root of run.sh in namespaces of its own, on this machine's kernel: for
# where qemu would have to compute everything.
#
#   unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child container.sh ROOT
set -eu

mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
for device in null,1,3 zero,1,5 full,1,7 random,1,8 urandom,1,9 tty,5,0 fuse,10,229 autofs,10,235; do
	mknod -m 666 "dev/${device%%,*}" c $(echo "${device#*,}" | tr , ' ')
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /boot.log dev/ttyS0
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
ip link set lo up
mkdir -p oldroot
pivot_root . oldroot
umount -l oldroot
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init
