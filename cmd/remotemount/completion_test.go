package main

import (
	"strings"
	"testing"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
)

// What can stand at a place: values of flags, remotes, mountpoints, local folders.
func TestComplete(t *testing.T) {
	if err := configHome(t).Add("work", config.Remote{Address: "h:"}); err != nil {
		t.Fatal(err)
	}
	known := knowledge{remotes: namedRemotes, mounts: func() []string { return []string{"/mnt/a b", "/srv"} }}
	for line, want := range map[string]string{
		"mo":                                   "words mount",
		"--v":                                  "words --version",
		"--allow":                              "words --allow-other",
		"help mount ":                          "words",
		"help w":                               "words",
		"help sync pu":                         "words push pull",
		"w":                                    "words work",
		"mount w":                              "words work",
		"mount work ":                          "folders",
		"mount --read-only work -p 22 ":        "folders",
		"mount work /mnt ":                     "words",
		"work ":                                "folders",
		"u@h:x ":                               "folders",
		"-p 22 w":                              "words work",
		"mount --host-key-policy s":            "words strict",
		"mount --host-key-policy=s":            "words --host-key-policy=strict",
		"mount --log-level ":                   "words debug info warn error",
		"mount --sync ":                        "words push pull two-way",
		"mount --sync-dir ":                    "folders",
		"mount -i ":                            "files",
		"mount --identity=":                    "files",
		"mount -fi ":                           "files",
		"mount -p ":                            "words",
		"mount --timeout ":                     "words",
		"mount -- -":                           "words",
		"mount --wa":                           "words --wait",
		"mount -o ro,allow_o":                  "words ro,allow_other",
		"mount -o passiv":                      "words",
		"mount -o slav":                        "words",
		"mount -o IdentityF":                   "words IdentityFile=",
		"unmount ":                             "words /mnt/a b /srv",
		"status /s":                            "words /srv",
		"demo ":                                "folders",
		"sync p":                               "words push pull",
		"sync push ":                           "folders",
		"sync push . ":                         "words work",
		"sync pull ":                           "words work",
		"sync pull work ":                      "folders",
		"sync two-way --compare ":              "words size mtime hash",
		"sync push --links ":                   "words safe copy skip follow",
		"sync push --links=f":                  "words --links=follow",
		"sync push --after ":                   "words keep delete",
		"sync push --fsync a":                  "words auto always",
		"sync push --verify ":                  "words read",
		"sync push --exclude-from ":            "files",
		"remote show ":                         "words work",
		"remote add ":                          "words",
		"remote add x ":                        "words",
		"remote edit work --address ":          "words work",
		"remote add --passphrase-file ":        "files",
		"remote import ":                       "words ssh rclone",
		"remote import rclone ":                "files",
		"remote add --new":                     "words --new-key",
		"key generate --type ":                 "words rsa ed25519",
		"key convert --to p":                   "words pem pkcs8 ppk",
		"key public ":                          "files",
		"key convert ":                         "files",
		"key generate ":                        "words",
		"hostkey show ":                        "words work",
		"serve ":                               "folders",
		"serve --authorized-keys ":             "files",
		"serve --log-level w":                  "words warn",
		"completion ":                          "words bash zsh fish",
		"browse ":                              "words work",
		"doctor --ssh-config ":                 "files",
		"top --every ":                         "words",
		"top --every 1s --count 3 ":            "words /mnt/a b /srv",
		"browse --json --max-connections 3 wo": "words work",
	} {
		o := known.complete(newApp(), strings.Split(line, " "))
		if got := strings.Join(append([]string{o.kind}, o.words...), " "); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

// Folders of a remote lie in a mount of the same one, or below none.
func TestFoldersBelow(t *testing.T) {
	for _, c := range []struct{ typed, mounted, root, dir string }{
		{"work:", "work", "/home/kim/proj", ""},
		{"work:su", "work:", "/home/kim/proj", ""},
		{"work:sub/x/y", "work", "/home/kim/proj", "sub/x/"},
		{"work:sub/x/y", "work:sub", "/home/kim/proj/sub", "x/"},
		{"work:other/x", "work:sub", "/home/kim/proj/sub", "-"},
		{"work:subother/x", "work:sub", "/home/kim/proj/sub", "-"},
		{"work:/home/kim/proj/sub/x", "work", "/home/kim/proj", "sub/"},
		{"work:/home/kim/x", "work", "/home/kim/proj", "-"},
		{"work:/etc/x", "work:/", "/", "/etc/"},
		{"work:x/y", "work:/", "/", "-"},
		{"work:x/../../y", "work", "/home/kim", "-"},
		{"kim@h:a/", "kim@h:", "/home/kim", "a/"},
		{"eva@h:a/", "kim@h:", "/home/kim", "-"},
		{"work:a/", "h:", "/home/kim", "-"},
	} {
		named := func(name string) bool { return name == "work" }
		at, err := address.Parse(c.typed, named)
		if err != nil {
			t.Fatal(err)
		}
		of, err := address.Parse(c.mounted, named)
		if err != nil {
			t.Fatal(err)
		}
		dir, ok := below(at, of, c.root)
		if !ok {
			dir = "-"
		}
		if dir != c.dir {
			t.Errorf("%s in a mount of %s: %q, want %q", c.typed, c.mounted, dir, c.dir)
		}
	}
}
