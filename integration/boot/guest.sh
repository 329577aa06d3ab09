#!/bin/sh
# What happens inside the machine of run.sh: `prepare` when its root is made, `run`
# at each of its three boots.
set -u

options=port=2222,IdentityFile=/root/.ssh/id_ed25519
state=/var/lib/boot-test

prepare() {
	set -e
	rm -rf "$state" /srv/* /mnt/* /root/.ssh /var/log/journal
	mkdir -p "$state" /var/log/journal /srv/netdev /srv/auto /srv/unit /srv/user /srv/service /srv/autofs \
		/mnt/netdev /mnt/auto /mnt/unit /mnt/user /mnt/direct
	for d in /srv/*; do echo "text of $d" >"$d/file"; done
	id tester >/dev/null 2>&1 || useradd -m -s /bin/sh -p '*' tester
	id remotemount-test >/dev/null 2>&1 || useradd -m -s /bin/sh -p '*' remotemount-test
	rm -rf ~tester/.config ~tester/remotes /var/lib/systemd/linger
	chown tester /mnt/user /srv/user /srv/service
	ssh-keygen -A >/dev/null
	cat >/etc/ssh/boot_sshd_config <<-END
		Port 2222
		ListenAddress 127.0.0.1
		Subsystem sftp internal-sftp
		UsePAM no
	END
	for home in /root ~tester; do
		rm -rf "$home/.ssh"
		mkdir -m 700 "$home/.ssh"
		ssh-keygen -q -t ed25519 -N '' -f "$home/.ssh/id_ed25519"
		cp "$home/.ssh/id_ed25519.pub" "$home/.ssh/authorized_keys"
		for type in ed25519 rsa ecdsa; do
			echo "[127.0.0.1]:2222 $(cut -d' ' -f1,2 "/etc/ssh/ssh_host_${type}_key.pub")"
		done >"$home/.ssh/known_hosts"
	done
	chown -R tester: ~tester/.ssh
	cat >/etc/fstab <<-END
		/dev/vda / ext4 defaults 0 1
		root@127.0.0.1:/srv/netdev /mnt/netdev remotemount _netdev,$options 0 0
		root@127.0.0.1:/srv/auto /mnt/auto remotemount noauto,_netdev,x-systemd.automount,x-systemd.idle-timeout=5,$options 0 0
		tester@127.0.0.1:/srv/user /mnt/user remotemount noauto,user,port=2222,IdentityFile=$(echo ~tester)/.ssh/id_ed25519 0 0
	END
	mkdir -p /etc/auto.master.d
	echo "/mnt/indirect /etc/auto.boot-indirect --timeout=60
/- /etc/auto.boot-direct --timeout=60" >/etc/auto.master.d/boot.autofs
	echo "key -fstype=remotemount,$options :root@127.0.0.1\:/srv/autofs" >/etc/auto.boot-indirect
	echo "/mnt/direct -fstype=remotemount,$options :root@127.0.0.1\:/srv/autofs" >/etc/auto.boot-direct
	head -c 8000000 /dev/urandom >/root/pending
	# The clock of a machine without a network is as it was made: nothing to wait for.
	systemctl mask -q ssh.service getty@tty1.service serial-getty@ttyS0.service
}

say() { echo "BOOT-TEST $*"; }

# findmnt looks at the mountpoint, and an automounter would take that for use.
helpers='not() { if "$@"; then return 1; fi; }; there() { grep -q " $1 fuse.sshfs " /proc/mounts; }; '

# check NAME COMMAND: the command, a shell's, must succeed in its time.
check() {
	name=$1 begin=$(cut -d' ' -f1 /proc/uptime)
	shift
	if out=$(timeout "$((90 * scale))" sh -euc "$helpers$*" 2>&1); then verdict=ok; else verdict="FAIL ($?)"; fi
	say "$verdict $name, $(echo "$(cut -d' ' -f1 /proc/uptime) $begin" | awk '{printf "%.1f", $1-$2}') s: $(echo "$out" | tail -n 3 | tr '\n' ' ')"
	if [ "$verdict" != ok ]; then
		echo "$out"
		journalctl -b -n 60 -o short-monotonic --no-pager
	fi
}

as_tester="runuser -u tester -- env HOME=$(echo ~tester) XDG_RUNTIME_DIR=/run/user/$(id -u tester 2>/dev/null)"

# mounted POINT FOLDER: looked at, which mounts where an automounter has it.
mounted() { echo "test \"\$(cat $1/file)\" = 'text of $2'; findmnt -n -t fuse.sshfs -o TARGET,SOURCE $1"; }

first_boot() {
	say "systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p'), kernel $(uname -r), $(systemctl is-system-running)"
	check "_netdev at boot" "$(mounted /mnt/netdev /srv/netdev); systemctl is-active mnt-netdev.mount"
	check "unmounted, mounted by mount -a" "umount /mnt/netdev; not there /mnt/netdev; mount -a; $(mounted /mnt/netdev /srv/netdev)"
	check "remotemount unmount, systemctl start" "remotemount unmount /mnt/netdev; systemctl start mnt-netdev.mount; $(mounted /mnt/netdev /srv/netdev)"
	for round in 1 2 3; do
		check "x-systemd.automount, round $round" "not there /mnt/auto; $(mounted /mnt/auto /srv/auto); systemctl is-active mnt-auto.mount
			until not there /mnt/auto; do sleep 1; done; sleep 1; not pgrep -f 'remotemount[ ]mount.*srv/auto'"
	done
	check "a mount unit" "systemctl start mnt-unit.mount; $(mounted /mnt/unit /srv/unit); systemctl stop mnt-unit.mount; not there /mnt/unit; not systemctl is-failed mnt-unit.mount"
	check "a user is there" "loginctl enable-linger tester; until test -S /run/user/$(id -u tester)/bus; do sleep 0.2; done"
	check "noauto,user" "$as_tester sh -euc 'mount /mnt/user; test \"\$(cat /mnt/user/file)\" = \"text of /srv/user\"; findmnt -n -o TARGET,SOURCE,OPTIONS /mnt/user; umount /mnt/user'; not there /mnt/user"
	check "systemctl --user" "$as_tester remotemount remote add --port 2222 work tester@127.0.0.1:/srv/service
		$as_tester systemctl --user start remotemount@work
		test \"\$($as_tester cat $(echo ~tester)/remotes/work/file)\" = 'text of /srv/service'
		$as_tester systemctl --user is-active remotemount@work
		$as_tester systemctl --user stop remotemount@work; not there $(echo ~tester)/remotes/work"
	for round in 1 2 3; do
		check "autofs, round $round" "systemctl restart autofs; $(mounted /mnt/indirect/key /srv/autofs); $(mounted /mnt/direct /srv/autofs)
			systemctl stop autofs; not there /mnt/direct; not there /mnt/indirect/key"
	done
	check "the demo, as root" "remotemount demo | tail -n 2"
	check "the demo, as a user" "$as_tester remotemount demo | tail -n 2"
	check "the contract, on a mount" "cd /opt; REMOTEMOUNT_REQUIRE_ALL=1 REMOTEMOUNT_BINARY=/usr/bin/remotemount ./integration.test -test.run '^TestContract\$/^root\$'"
	check "the contract, of the pool on OpenSSH" "cd /opt; REMOTEMOUNT_REQUIRE_ALL=1 ./pool.test -test.run '^TestContractOn(OpenSSH|OneConnection)\$'"
	check "median of 20 times unmount" "for i in \$(seq 20); do remotemount mount -F none -p 2222 root@127.0.0.1:/srv/unit /mnt/unit
		a=\$(cut -d' ' -f1 /proc/uptime); remotemount unmount /mnt/unit; echo \"\$(cut -d' ' -f1 /proc/uptime) \$a\" | awk '{print (\$1-\$2)*1000 \" ms\"}'; done | sort -n | sed -n 10p"
}

awaits() {
	n=0
	until test -e "$1" || [ $n = 100 ]; do
		sleep 0.1
		n=$((n + 1))
	done
}

# goes_down WHAT [UNIT]: leaves the machine with data that is not on the server.
goes_down() {
	systemctl start boot-writer.service
	awaits /srv/netdev/pending
	pkill -STOP sshd # no answer comes any more, and nothing says why
	: >/run/frozen
	awaits /run/written
	say "$1: $(remotemount status --json /mnt/netdev | sed -n 's/.*"unacknowledged_bytes": \([0-9]*\),*/\1/p') bytes are not on the server; going down"
	if [ $# = 2 ]; then systemctl start "$2"; fi
	systemctl --no-block reboot
}

run() {
	systemctl is-system-running --wait >/dev/null
	boot=$(ls "$state" | wc -l)
	touch "$state/$boot"
	case $boot in
	0)
		first_boot
		goes_down "shutdown with data pending" boot-thaw.service
		;;
	1)
		check "data that was pending at the shutdown" "cmp /root/pending /srv/netdev/pending; ls -l /srv/netdev/pending"
		rm -f /srv/netdev/pending
		goes_down "shutdown without a server"
		;;
	2)
		check "up after a shutdown without a server" "$(mounted /mnt/netdev /srv/netdev)"
		say "all done"
		systemctl --no-block poweroff
		;;
	esac
}

scale=$(sed -n 's/.*scale=\([0-9]*\).*/\1/p' /proc/cmdline 2>/dev/null)
scale=${scale:-1}
"$1"
