#!/bin/sh
# What a desktop does with a mount behind a link of 20 ms: Thunar opens a folder of
# 1,000 pictures, the mount is taken away while it shows there, LibreOffice edits a
# text and a table. The user, the server and the link are integration/desktop's, which
# runs this (make desktop) and says what is in the environment.
#
# What was seen is in build/desktop: results.txt, and pictures of the screen.
set -eu

mount=$HOME/Server

say() { echo "$*" | tee -a "$SHOTS/results.txt"; }
shot() { import -silent -window root "$SHOTS/$1.png"; }
fail() {
	say "FAILED: $*"
	ps -u "$(id -u)" -o pid,stat,wchan:20,args >&2
	shot failed || true
	exit 1
}
now() { date +%s%3N; } # in ms

# await SECONDS COMMAND...: waits until the command succeeds.
await() {
	limit=$(($(now) + $1 * 1000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(now)" -lt "$limit" ] || fail "not in time: $*"
		sleep 0.1
	done
}

# settled gives the time at which the screen had become what it has been for two
# seconds.
settled() {
	was='' since=$(now)
	while [ $(($(now) - since)) -lt 2000 ]; do
		at=$(now)
		is=$(import -silent -window root rgb:- | md5sum)
		[ "$is" = "$was" ] || since=$at
		was=$is
	done
	echo "$since"
}

requests() { "$REMOTEMOUNT" status --json "$mount" | sed -n 's/^ *"requests": \([0-9]*\),*$/\1/p'; }
mounted() { grep -q " $mount fuse" /proc/mounts; }
# shellcheck disable=SC2086 # the flags are words
mount() { "$REMOTEMOUNT" mount $FLAGS "$@" "$REMOTE" "$mount"; }

clean_up() {
	set +e
	thunar -q 2>/dev/null
	if mounted; then "$REMOTEMOUNT" unmount --force "$mount"; fi
	for pid in $started; do kill "$pid" 2>/dev/null; done
}
started=''
trap clean_up EXIT
trap 'exit 1' INT TERM

# screen starts one without a window manager, and programs that show no greetings and no
# blinking cursor on it.
screen() {
	mkdir -p "$mount" "$HOME/.config/gtk-3.0" "$HOME/.config/libreoffice/4/user"
	printf '[Settings]\ngtk-cursor-blink=0\n' >"$HOME/.config/gtk-3.0/settings.ini"
	cat >"$HOME/.config/libreoffice/4/user/registrymodifications.xcu" <<-END
		<?xml version="1.0" encoding="UTF-8"?>
		<oor:items xmlns:oor="http://openoffice.org/2001/registry">
		<item oor:path="/org.openoffice.Office.Common/Misc"><prop oor:name="ShowTipOfTheDay" oor:op="fuse"><value>false</value></prop></item>
		<item oor:path="/org.openoffice.Office.Common/Misc"><prop oor:name="FirstRun" oor:op="fuse"><value>false</value></prop></item>
		</oor:items>
	END
	Xvfb -displayfd 3 -screen 0 1280x800x24 -nolisten tcp 3>"$HOME/display" 2>"$HOME/xvfb.log" &
	started=$!
	await 20 test -s "$HOME/display"
	DISPLAY=:$(cat "$HOME/display")
	export DISPLAY NO_AT_BRIDGE=1
}

window() { xdotool search --onlyvisible --name "$1"; }

# listed: there is more than white in the part of Thunar's window that has the files.
listed() { [ "$(import -silent -window root -crop 450x370+180+75 -format %k info:)" -gt 1 ]; }

# show FOLDER TITLE: has Thunar show a folder; listed_after and took are when its files
# show, and when the screen was as it stayed, with thumbnails, in ms.
show() {
	begun=$(now)
	thunar "$1" >"$HOME/thunar.log" 2>&1 &
	await 60 window "$2"
	await 60 listed
	listed_after=$(($(now) - begun))
	took=$(($(settled) - begun))
}

pictures() {
	cp -r "$SERVED/pictures" "$HOME/local" # what Thunar itself takes
	show "$HOME/local" local
	say "Thunar, 1,000 pictures here: listed after $listed_after ms, thumbnails after $took ms"
	thunar -q
	mount --bookmark='The server'
	before=$(requests)
	show "$mount/pictures" pictures
	say "Thunar, 1,000 pictures in the mount: listed after $listed_after ms, thumbnails after $took ms," \
		"$(($(requests) - before)) requests"
	shot thunar
}

# unmount_shown takes the mount away under a window that shows it.
unmount_shown() {
	begun=$(now)
	"$REMOTEMOUNT" unmount "$mount" || fail "unmount, with a folder of the mount in a window of Thunar"
	say "unmount, with the folder in a window of Thunar: $(($(now) - begun)) ms"
	if grep -q Server "$HOME/.config/gtk-3.0/bookmarks"; then fail "the bookmark is still there"; fi
	settled >/dev/null
	shot unmounted
	thunar -q
}

# no_office: one that is about to end would still be handed the next document, and lose it.
no_office() { ! pgrep -u "$(id -u)" -x soffice.bin; }

# edit NAME WORD PROGRAM: opens a document, types a word, saves it and leaves.
edit() {
	await 60 no_office
	soffice "--$3" --norestore --nologo "$mount/$1" >&2 &
	office=$!
	started="$started $office"
	await 120 window "$1"
	await 20 test -e "$SERVED/.~lock.$1#"
	settled >/dev/null
	xdotool windowfocus --sync "$(window "$1" | tail -1)"
	xdotool type "$2"
	xdotool key Return
	begun=$(now)
	xdotool key ctrl+s
	await 60 sh -c 'unzip -p "$0" content.xml | grep -q "$1"' "$SERVED/$1" "$2"
	say "LibreOffice, $1: on the server $(($(now) - begun)) ms after Ctrl+S"
	settled >/dev/null
	shot "$3"
	if said=$("$REMOTEMOUNT" unmount "$mount" 2>&1); then
		fail "unmount, with a document open in LibreOffice: it succeeds"
	fi
	say "unmount, with $1 open: $said" | head -1
	xdotool key ctrl+q
	wait "$office" || fail "LibreOffice ended with $?"
	unzip -tqq "$SERVED/$1" || fail "$1 on the server is not whole"
}

documents() {
	echo "A letter." >"$HOME/letter.txt"
	echo "1,2" >"$HOME/table.csv"
	soffice --headless --convert-to odt --outdir "$SERVED" "$HOME/letter.txt" >/dev/null 2>&1
	soffice --headless --convert-to ods --outdir "$SERVED" "$HOME/table.csv" >/dev/null 2>&1
	there=$(ls -A "$SERVED")
	mount
	edit letter.odt Edited writer
	edit table.ods Changed calc
	"$REMOTEMOUNT" unmount "$mount" || fail "unmount after LibreOffice has ended"
	[ "$(ls -A "$SERVED")" = "$there" ] || fail "left on the server: $(ls -A "$SERVED")"
}

screen
pictures
unmount_shown
documents
