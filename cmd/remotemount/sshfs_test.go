package main

import (
	"os"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/options"
	"github.com/remotemount/remotemount/keys"
)

// Lines of sshfs that people published, with hosts and users replaced: each
// mounts, as far as that can be told without a server, or is refused for a reason
// that its row tells.
func TestSSHFSLines(t *testing.T) {
	data, err := os.ReadFile("testdata/sshfs_lines.tsv")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	mount, refuse := 0, 0
	for _, row := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
		field := strings.Split(row, "\t")
		if len(field) != 3 {
			t.Fatalf("%q", row)
		}
		err := tryLine(t, field[1])
		switch {
		case field[2] == "mounts" && err != nil:
			t.Errorf("%s\n%s\n%v", field[0], field[1], err)
		case field[2] != "mounts" && err == nil:
			t.Errorf("%s is not refused any more: %s", field[1], field[2])
		case err == nil:
			mount++
		default:
			refuse++
			if f := explain(err); f.code != exitUsage {
				t.Errorf("%s: exit code %d, %v", field[1], f.code, err)
			}
		}
	}
	t.Logf("%d lines mount, %d are refused", mount, refuse)
}

// tryLine goes as far as a line can without a server: words, options, address,
// the settings of ssh.
func tryLine(t *testing.T, line string) error {
	t.Helper()
	words := shellWords(t, line)
	call, err := readSSHFS(words[1:])
	if words[0] == "fstab" {
		call, err = sshfsCall{places: words[1:3], flags: []string{"--option=" + words[4]}}, nil
	}
	if err != nil {
		return err
	}
	var s options.Settings
	for _, flag := range call.flags {
		if text, ok := strings.CutPrefix(flag, "--option="); ok {
			if err := s.Parse(text, false); err != nil {
				return err
			}
		}
	}
	s.Finish()
	if _, err := address.Parse(call.places[0], nil); err != nil {
		return err
	}
	target, err := newTarget(call.places[0], s.Connection)
	if err != nil {
		return err
	}
	config := target.clientConfig(nil, nil)
	config.ConfigFile, config.Identities = "none", nil // which need not be there
	if _, err := keys.NewClient(t.Context(), config); err != nil {
		return target.explainSettings(err)
	}
	return nil
}

// shellWords takes a line apart at blanks outside single quotes.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 { // within quotes: belongs to what stands directly before it, if anything does
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// Every option of sshfs 3.7.6's manual has a row, and which kind of row is as the
// manual of ours says it.
func TestEveryOptionOfSSHFS(t *testing.T) {
	kept := `delay_connect idmap=user idmap=file uidfile=/dev/null gidfile=/dev/null nomap=ignore ssh_command=x sftp_server=x transform_symlinks contain_symlinks no_contain_symlinks
follow_symlinks password_stdin dir_cache=yes dcache_timeout=5 dcache_stat_timeout=5 dcache_link_timeout=5 dcache_dir_timeout=5
max_conns=2 umask=022 uid=0 gid=0 entry_timeout=1 negative_timeout=1 attr_timeout=1 ac_attr_timeout=1 allow_other allow_root disable_hardlink modules=subdir
subdir=x rellinks norellinks port=22 ssh_protocol=2 default_permissions direct_io workaround=rename fsname=x subtype=x debug sshfs_debug ro rw nonempty`
	nothing := `reconnect sshfs_sync no_readahead sync_readdir dcache_max_size=5 dcache_clean_interval=5
dcache_min_clean_interval=5 no_check_root kernel_cache auto_cache noauto_cache no_rofd_flush noforget remember=5
auto_unmount follow_inside_symlinks max_read=4096 clone_fd max_idle_threads=1`
	refused := `directport=1 passive slave from_code=x to_code=x
vsock=1 ssh_protocol=1 modules=iconv`
	doc, err := os.ReadFile("../../docs/sshfs.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, words := range map[string]string{"kept": kept, "nothing to do": nothing, "refused": refused} {
		for _, word := range strings.Fields(words) {
			name, _, _ := strings.Cut(word, "=")
			if !strings.Contains(string(doc), "`"+name+"`") && !strings.Contains(string(doc), "`"+name+"=") {
				t.Errorf("docs/sshfs.md does not tell of %s", name)
			}
			var s options.Settings
			err := s.Parse(word, false)
			is := "kept"
			switch {
			case err != nil:
				is = "refused"
			case len(s.Ignored) > 0:
				is = "nothing to do"
			}
			if is != kind {
				t.Errorf("%s is %s, not %s: %v", word, is, kind, err)
			}
			if err != nil && strings.Contains(err.Error(), "no such option") {
				t.Errorf("%s has no row", word)
			}
		}
	}
}

func TestReadSSHFS(t *testing.T) {
	for line, want := range map[string]string{
		"h: m":                         "--",
		"h: m -o a,b -oc":              "--option=a,b --option=c --",
		"-p 22 h: -p23 m":              "--option=port=22 --option=port=23 --",
		"-fC -s h: m -F f":             "--foreground --ssh-config=f --",
		"-d h: m":                      "--option=debug --",
		"h: m -- ":                     "--",
		"h: m --verbose":               "--log-level=info --",
		"user@h:a m -o x=a\\,b -o 'y'": "--option=x=a\\,b --option='y' --",
	} {
		c, err := readSSHFS(strings.Fields(line))
		if got := strings.Join(append(c.flags, "--"), " "); err != nil || got != want || len(c.places) != 2 {
			t.Errorf("%s: %s %q %v", line, got, c.places, err)
		}
	}
	for _, line := range []string{"-x", "--what", "-p", "-1 h: m"} {
		if _, err := readSSHFS(strings.Fields(line)); err == nil {
			t.Errorf("%s is taken", line)
		}
	}
}
