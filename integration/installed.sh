#!/bin/sh
# Installs, mounts by a line of fstab, as mount(8) does it, and takes all away again.
# It changes the machine, and so is for one that is thrown away: see fresh.sh.
set -eux

work=$(mktemp -d)
cp /etc/fstab "$work/fstab.old" 2>/dev/null || : >"$work/fstab.old"
have() { find /usr/local /usr/sbin /sbin/ -printf '%p %M %l\n' | sort; }
have >"$work/before"

make install
remotemount key generate --type ed25519 -o "$work/key" </dev/null
mkdir "$work/served" "$work/mnt"
echo text >"$work/served/file"
remotemount serve --listen 127.0.0.1:0 --authorized-keys "$work/key.pub" --host-key-file "$work/host-key" \
	"$work/served" >"$work/said" 2>&1 &
server=$!
trap 'cat "$work/said"; kill $server' EXIT
for i in $(seq 100); do
	grep -q 'serving .* at 127' "$work/said" && break
	sleep 0.1
done
port=$(sed -n 's/.* at 127.0.0.1:\([0-9]*\),.*/\1/p' "$work/said")
key=$(sed -n 's/.*host key \(SHA256:[^ ]*\)$/\1/p' "$work/said")
echo "me@127.0.0.1: $work/mnt remotemount noauto,_netdev,port=$port,IdentityFile=$work/key,host_key=$key 0 0" >>/etc/fstab
mount "$work/mnt"
findmnt -t fuse.sshfs "$work/mnt"
test "$(cat "$work/mnt/file")" = text
echo written >"$work/mnt/new"
umount "$work/mnt"
test "$(cat "$work/served/new")" = written
make uninstall

have >"$work/after"
diff "$work/before" "$work/after"
cp "$work/fstab.old" /etc/fstab
