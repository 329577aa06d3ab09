package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/remotemount/remotemount/integration/lab"
)

// TestVimSaves saves with vim in both of its ways: a new file renamed over the
// old, with the old kept as a backup, and writing in place.
func TestVimSaves(t *testing.T) {
	need(t, "vim")
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		for _, how := range []string{"no", "yes"} {
			s.sh(t, s.point, `
				save() { vim -es -u NONE -i NONE -c 'set nocompatible backup backupskip= backupcopy=`+how+`' "$@"; }
				echo first >file
				chmod 640 file
				save -c '%s/first/second/' -c 'wq' file </dev/null
				test "$(cat file)" = second
				test "$(cat file~)" = first
				test "$(cat "$R/file")" = second
				test "$(stat -c %a "$R/file")" = 640
				test "$(ls -A | wc -l)" = 2
				rm file file~`)
		}
		unmount(t, m)
	})
}

// TestGLibSaves does what g_file_replace does, and so every GNOME program.
func TestGLibSaves(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		s.inside(t, "glib", s.point)
		unmount(t, m)
		wantContent(t, filepath.Join(s.remote, "document"), "new")
		wantContent(t, filepath.Join(s.remote, "document~"), "old")
		if got := names(t, s.remote); len(got) != 2 {
			t.Errorf("on the server: %v", got)
		}
		info, err := os.Stat(filepath.Join(s.remote, "document"))
		must(t, err)
		if info.Mode() != 0o604 {
			t.Errorf("mode %v, want 0604: that of the old file", info.Mode())
		}
	})
}

func glibSaveJob(t *testing.T, dir string) {
	document := filepath.Join(dir, "document")
	must(t, os.WriteFile(document, []byte("old"), 0o644))
	must(t, os.Chmod(document, 0o604))
	var old unix.Stat_t
	must(t, unix.Stat(document, &old))

	temporary := filepath.Join(dir, ".goutputstream-ABCDEF")
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	must(t, err)
	if info, err := f.Stat(); err != nil || info.Mode() != 0o600 {
		t.Errorf("created with mode %v, %v; want 0600 from the first moment", info.Mode(), err)
	}
	// GLib rewrites the file in place, with the risk of losing it, unless owner
	// and mode can be given to the new one.
	must(t, unix.Fchown(int(f.Fd()), int(old.Uid), int(old.Gid)))
	must(t, unix.Fchmod(int(f.Fd()), old.Mode))
	_, err = f.WriteString("new")
	must(t, err)
	must(t, f.Sync())

	must(t, os.Link(document, document+"~"))
	must(t, os.Rename(temporary, document))
	must(t, f.Close())

	if _, err := os.OpenFile(document, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("O_EXCL on a file that is there: %v", err)
	}
	err = unix.Renameat2(unix.AT_FDCWD, document+"~", unix.AT_FDCWD, document, unix.RENAME_NOREPLACE)
	if !errors.Is(err, syscall.EEXIST) {
		t.Errorf("RENAME_NOREPLACE on a file that is there: %v", err)
	}
}
