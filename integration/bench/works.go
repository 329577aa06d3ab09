package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// A work is one thing to measure. The scripts run in a shell, as the user: $M
// is the mountpoint, $R the folder on the server's side, $L the lab.
type work struct {
	name  string
	title string
	unit  string // what amount counts: "MB", "reads", "" for the work as a whole

	// prepare is run on the server's side, not measured.
	prepare func(z sizes) string
	// warm is run in the mount, not measured, before script.
	warm string
	// script is measured, together with the time until done holds.
	script func(z sizes) string
	// done is a shell condition on the server's side that ends the work.
	done func(z sizes) string
	// amount is how much was done, in the unit.
	amount func(z sizes) float64
}

// sizes are how much of everything, for one round-trip time.
type sizes struct {
	mb     int // of a large file
	random int // MB of the file read at random
	reads  int // of 4 KiB
}

// sizesFor keeps the slowest tool's measurement within minutes.
func sizesFor(rtt time.Duration, scale float64) sizes {
	z := sizes{mb: 1024, random: 1024, reads: 20000}
	switch {
	case rtt > 50*time.Millisecond:
		z = sizes{mb: 64, random: 64, reads: 400}
	case rtt > 0:
		z = sizes{mb: 1024, random: 256, reads: 2000}
	}
	times := func(n, least int) int { return max(int(math.Round(float64(n)*scale)), least) }
	return sizes{mb: times(z.mb, 4), random: times(z.random, 4), reads: times(z.reads, 8)}
}

func megabytes(z sizes) float64 { return float64(z.mb) * 1.048576 }

func text(s string) func(sizes) string { return func(sizes) string { return s } }

// bigFile makes $R/NAME of random bytes.
func bigFile(name string) func(sizes) string {
	return func(z sizes) string { return fmt.Sprintf(`head -c %dM /dev/urandom >"$R/%s"`, z.mb, name) }
}

const (
	hundredFolders = `for d in $(seq 100); do mkdir "$R/d$d"; (cd "$R/d$d"; seq 100 | sed 's/^/file/' | xargs touch); done`
	smallFiles     = `mkdir "$R/small"; head -c 4096000 /dev/urandom | split -b 4096 -a 3 - "$R/small/f"`
	sourceRepo     = `mkdir "$L/source"; cd "$(go env GOROOT)/src"; cp -r net go encoding "$L/source"; cd "$L/source"
		git init -q . && git add . && git -c user.name=a -c user.email=a@example.org commit -q -m all; cd "$L"`
	repoInside = sourceRepo + `; git clone -q --no-local "$L/source" "$R/repo"; rm -rf "$L/source"
		(cd "$R/repo" && find . -path ./.git -prune -o -exec touch -d '2020-01-01' {} + && git update-index -q --refresh)`
)

var mountWorks = slices.Concat([]*work{
	{
		name: "read", title: "sequential read", unit: "MB", amount: megabytes,
		prepare: bigFile("big"),
		script:  text(`dd if="$M/big" of=/dev/null bs=1M status=none`),
	},
	{
		name: "direct", title: "sequential read, past the page cache (O_DIRECT)", unit: "MB", amount: megabytes,
		prepare: bigFile("big"),
		script:  text(`dd if="$M/big" of=/dev/null bs=1M iflag=direct status=none`),
	},
	{
		name: "write", title: "sequential write, with fsync", unit: "MB", amount: megabytes,
		prepare: func(z sizes) string { return fmt.Sprintf(`head -c %dM /dev/urandom >"$L/source"`, z.mb) },
		script:  text(`dd if="$L/source" of="$M/out" bs=1M conv=fsync status=none`),
		done:    text(`cmp -s "$L/source" "$R/out"`),
	},
	{
		name: "write4k", title: "sequential write in pieces of 4 KiB, with fsync", unit: "MB",
		amount:  func(z sizes) float64 { return megabytes(z.quarter()) },
		prepare: func(z sizes) string { return fmt.Sprintf(`head -c %dM /dev/urandom >"$L/source"`, z.quarter().mb) },
		script:  text(`dd if="$L/source" of="$M/out" bs=4k conv=fsync status=none`),
		done:    text(`cmp -s "$L/source" "$R/out"`),
	},
	{
		name: "echo", title: "1,000 lines to one descriptor, by a shell",
		prepare: text(`:`),
		script:  text(`exec 3>"$M/out"; for i in $(seq 1000); do echo $i >&3; done; exec 3>&-`),
		done:    text(`test "$(wc -l <"$R/out")" = 1000`),
	},
	{
		name: "read4", title: "four sequential readers", unit: "MB", amount: megabytes,
		prepare: func(z sizes) string {
			return fmt.Sprintf(`for i in 1 2 3 4; do head -c %dM /dev/urandom >"$R/big$i"; done`, z.mb/4)
		},
		script: text(`p=; for i in 1 2 3 4; do dd if="$M/big$i" of=/dev/null bs=1M status=none & p="$p $!"; done
			for i in $p; do wait "$i"; done`),
	},
	{
		name: "random", title: "random reads of 4 KiB, 8 threads with one descriptor", unit: "reads",
		amount:  func(z sizes) float64 { return float64(z.reads) },
		prepare: func(z sizes) string { z.mb = z.random; return bigFile("big")(z) },
		script:  func(z sizes) string { return fmt.Sprintf(`"$B" `+insideArg+` random "$M/big" 8 %d 0`, z.reads) },
	},
}, randomWorks(), []*work{
	{
		name: "ls-lR", title: "ls -lR, 100 folders of 100",
		prepare: text(hundredFolders),
		script:  text(`ls -lR "$M" >/dev/null`),
	},
	{
		name: "ls-l", title: "ls -l of 20,000 files",
		prepare: text(`(cd "$R"; seq 20000 | sed 's/^/file/' | xargs touch)`),
		script:  text(`ls -l "$M" >/dev/null`),
	},
	{
		name: "find", title: "find again, 100 folders of 100",
		prepare: text(hundredFolders),
		warm:    `find "$M" -newer /etc/passwd >/dev/null`,
		script:  text(`find "$M" -newer /etc/passwd >/dev/null`),
	},
	{
		name: "tar", title: "tar c of 1,000 files of 4 KiB",
		prepare: text(smallFiles),
		script:  text(`tar -C "$M" -cf - small | cat >/dev/null`),
	},
	{
		name: "untar", title: "untar of 1,000 files of 4 KiB",
		prepare: text(smallFiles + `; tar -C "$R" -cf "$L/small.tar" small; rm -r "$R/small"; mkdir "$L/same"; tar -C "$L/same" -xf "$L/small.tar"`),
		script:  text(`tar -C "$M" -xf "$L/small.tar"`),
		done:    text(`diff -r "$L/same/small" "$R/small" >/dev/null 2>&1`),
	},
	{
		name: "rm", title: "rm -r of 1,000 files",
		prepare: text(smallFiles),
		script:  text(`rm -r "$M/small"`),
		done:    text(`test ! -e "$R/small"`),
	},
	{
		name: "copy", title: "copy inside the mount", unit: "MB",
		amount:  func(z sizes) float64 { return megabytes(z.quarter()) },
		prepare: func(z sizes) string { return bigFile("big")(z.quarter()) },
		script:  text(`cp "$M/big" "$M/copy"`),
		done:    text(`cmp -s "$R/big" "$R/copy"`),
	},
	{
		name: "git-clone", title: "git clone of 1,100 files",
		prepare: text(sourceRepo),
		script:  text(`git clone -q --no-local "$L/source" "$M/clone"`),
		done:    text(`diff -r --exclude=.git "$L/source" "$R/clone" >/dev/null 2>&1`),
	},
	{
		name: "git-status", title: "git status of those, first",
		prepare: text(repoInside),
		script:  text(`git -C "$M/repo" status --porcelain >/dev/null`),
	},
	{
		name: "git-grep", title: "git grep in those",
		prepare: text(repoInside),
		script:  text(`git -C "$M/repo" grep -c DialTimeout >/dev/null`),
	},
})

// randomWorks read files from a quarter of a mount's usual memory to sixteen times as
// much. The files are sparse: what is in them makes no difference.
func randomWorks() (all []*work) {
	for _, mb := range []int{64, 256, 1024, 4096} {
		prepare := text(fmt.Sprintf(`truncate -s %dM "$R/big"`, mb))
		reads := func(z sizes) float64 { return float64(z.reads) }
		title := fmt.Sprintf("random reads of 4 KiB of %d MiB, 8 ", mb)
		all = append(all, &work{
			name: fmt.Sprintf("random-threads-%d", mb), title: title + "threads, a descriptor each", unit: "reads",
			amount: reads, prepare: prepare,
			script: func(z sizes) string { return fmt.Sprintf(`"$B" `+insideArg+` random-each "$M/big" 8 %d 0`, z.reads) },
		}, &work{
			name: fmt.Sprintf("random-processes-%d", mb), title: title + "processes", unit: "reads",
			amount: reads, prepare: prepare,
			script: func(z sizes) string {
				return fmt.Sprintf(`p=; for i in $(seq 8); do "$B" `+insideArg+` random "$M/big" 1 %d $i & p="$p $!"; done
			for i in $p; do wait "$i"; done`, z.reads/8)
			},
		})
	}
	return all
}

func (z sizes) quarter() sizes { z.mb = max(z.mb/4, 1); return z }

var allWorks = slices.Concat(mountWorks, syncWorks)

func workNames() []string {
	var names []string
	for _, w := range allWorks {
		names = append(names, w.name)
	}
	return names
}

func workNamed(name string) *work {
	for _, w := range allWorks {
		if w.name == name {
			return w
		}
	}
	return nil
}
