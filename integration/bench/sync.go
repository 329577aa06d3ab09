package main

import "fmt"

// The works of copying a folder to the server, and the programs that do it. None
// of them mounts anything; the folder is $L/tree, and becomes $R/tree.

const manyFiles = `mkdir -p "$L/tree"; for d in $(seq 50); do mkdir "$L/tree/d$d"
	head -c 204800 /dev/urandom | split -b 2048 -a 2 - "$L/tree/d$d/f"; done`

var syncWorks = []*work{
	{
		name: "sync-many", title: "5,000 files of 2 KiB, first",
		prepare: text(manyFiles + "; sleep 1.1"), // remotemount waits for the end of the second in which a file was written
		done:    text(`diff -r "$L/tree" "$R/tree" >/dev/null 2>&1`),
	},
	{
		name: "sync-again", title: "100,000 files, unchanged",
		prepare: text(`mkdir "$L/tree"; for d in $(seq 100); do mkdir "$L/tree/d$d"; (cd "$L/tree/d$d"; seq 1000 | sed 's/^/file/' | xargs touch); done
	cp -a "$L/tree" "$R/tree"`),
	},
	{
		name: "sync-large", title: "one large file", unit: "MB", amount: megabytes,
		prepare: func(z sizes) string {
			return fmt.Sprintf(`mkdir "$L/tree"; head -c %dM /dev/urandom >"$L/tree/large"`, z.mb)
		},
		done: text(`cmp -s "$L/tree/large" "$R/tree/large"`),
	},
}

var syncTools = []*tool{
	{
		name: "sync", title: "remotemount sync",
		which: func(o *options) string { return o.binary },
		plain: copies(func(s *site) string {
			return fmt.Sprintf("%s sync push --quiet --port %s --identity %s --known-hosts %s --host-key-policy strict --ssh-config none %s/tree %s/tree",
				s.opt.binary, s.port(), s.sshd.Identity, s.known, s.Dir, s.address())
		}),
	},
	{
		name: "rsync", title: "rsync over ssh",
		which: func(*options) string { return "rsync" },
		plain: copies(func(s *site) string {
			return fmt.Sprintf("rsync -a -e 'ssh %s' %s/tree %s/", s.sshFlags("-p"), s.Dir, s.address())
		}),
	},
	{
		name: "lftp", title: "lftp mirror",
		which: func(*options) string { return "lftp" },
		plain: copies(func(s *site) string {
			return fmt.Sprintf(`lftp -c "set sftp:connect-program 'ssh -a -x %s'; open -u %s, sftp://127.0.0.1:%s; mirror -R --parallel=8 %s/tree %s/tree"`,
				s.sshFlags("-p"), s.sshd.User, s.port(), s.Dir, s.remote)
		}),
	},
	{
		name: "rclone-sync", title: "rclone sync",
		which: func(o *options) string { return o.rclone },
		build: buildRclone,
		plain: copies(func(s *site) string {
			return fmt.Sprintf("%s sync %s/tree :sftp:%s/tree --config /dev/null --sftp-host 127.0.0.1 --sftp-port %s --sftp-user %s --sftp-key-file %s --sftp-known-hosts-file %s --sftp-shell-type none",
				s.opt.rclone, s.Dir, s.remote, s.port(), s.sshd.User, s.sshd.Identity, s.known)
		}),
	},
}

// copies is a tool that does every work of copying with the same command.
func copies(command func(s *site) string) map[string]func(s *site) string {
	all := map[string]func(s *site) string{}
	for _, w := range syncWorks {
		all[w.name] = command
	}
	return all
}
