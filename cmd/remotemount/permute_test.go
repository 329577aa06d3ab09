package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func onlyWork(word string) bool { name, _, _ := strings.Cut(word, ":"); return name == "work" }

func TestPermute(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "remotemount",
		"--version":                       "remotemount --version",
		"-h":                              "remotemount --h",
		"mount h: /m":                     "remotemount mount -- h: /m",
		"mount h: /m -f":                  "remotemount mount --foreground -- h: /m",
		"mount -f h: --port 22 /m":        "remotemount mount --foreground --port=22 -- h: /m",
		"mount h: -p22 /m -oro,uid=1":     "remotemount mount --port=22 --option=ro,uid=1 -- h: /m",
		"mount -p=22 -o=a=b h: /m":        "remotemount mount --port=22 --option=a=b -- h: /m",
		"mount -fp 22 h: /m":              "remotemount mount --foreground --port=22 -- h: /m",
		"mount -fp22 h: /m":               "remotemount mount --foreground --port=22 -- h: /m",
		"mount -foreground h: /m":         "remotemount mount --foreground -- h: /m",
		"mount --foreground=false h: /m":  "remotemount mount --foreground=false -- h: /m",
		"mount h: -- -m":                  "remotemount mount -- h: -m",
		"mount -i - h: /m":                "remotemount mount --identity=- -- h: /m",
		"mount -h":                        "remotemount mount --help",
		"mount --user -x h: /m":           "remotemount mount --user=-x -- h: /m",
		"h: /m":                           "remotemount mount -- h: /m",
		"h: /m -o allow_other":            "remotemount mount --option=allow_other -- h: /m",
		"-o ro h: /m":                     "remotemount mount --option=ro -- h: /m",
		"-f -p 22 u@h:x /m":               "remotemount mount --foreground --port=22 -- u@h:x /m",
		"work /m":                         "remotemount mount -- work /m",
		"umount /m --force":               "remotemount unmount --force -- /m",
		"--json status":                   "remotemount status --json",
		"remote add x h: -i k --keyring":  "remotemount remote add --identity=k --keyring -- x h:",
		"remote --port 22 add x h:":       "",
		"-C h: /m":                        "remotemount mount --C -- h: /m",
		"-C work /m -s":                   "remotemount mount --C --s -- work /m",
		"mount h: /m --help":              "remotemount mount --help",
		"sync push x h: -h":               "remotemount sync push --help",
		"status /m --json":                "remotemount status --json -- /m",
		"sync push --exclude -x a h:":     "remotemount sync push --exclude=-x -- a h:",
		"sync two-way -n a h: --every 5m": "remotemount sync two-way --dry-run --every=5m -- a h:",
	} {
		got, err := permute(newApp(), append([]string{"remotemount"}, strings.Fields(in)...), onlyWork)
		if want == "" {
			if err == nil {
				t.Errorf("%q was taken: %q", in, got)
			}
			continue
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q is %q, %v; want %q", in, strings.Join(got, " "), err, want)
		}
	}
}

func TestPermuteRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"mont h: /m":         "did you mean remotemount mount?",
		"unmout /m":          "did you mean remotemount unmount?",
		"fileserver /m":      "remotemount mount fileserver: MOUNTPOINT",
		"mount --prot 22":    "did you mean --port?",
		"mount -z":           "mount has no flag -z",
		"mount -fz":          "mount has no flag -fz",
		"mount h: /m --port": "a value is missing",
		"remote ad x y":      "did you mean remotemount remote add?",
		"--json":             "no verb",
		"-f":                 "no verb",
	} {
		_, err := permute(newApp(), append([]string{"remotemount"}, strings.Fields(in)...), onlyWork)
		if err == nil {
			t.Errorf("%q was taken", in)
			continue
		}
		if f := explain(err); f.code != exitUsage || !strings.Contains(f.Error()+" "+f.hint, want) {
			t.Errorf("%q: %v (%s), code %d; want %q", in, f, f.hint, f.code, want)
		}
	}
}

// A command line in the library's order is read by it as it was meant.
func TestLibraryReadsIt(t *testing.T) {
	app := newApp()
	app.Writer, app.ErrWriter = io.Discard, io.Discard
	mount := find(app.Commands, "mount")
	var args, options []string
	var port int
	mount.Action = func(c *cli.Context) error {
		args, options, port = c.Args().Slice(), c.StringSlice("option"), c.Int("port")
		return nil
	}
	ordered, err := permute(app, []string{"remotemount", "mount", "h:", "-o", "a,b", "--", "-odd", "-p22"}, onlyWork)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Run(ordered); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(args, []string{"h:", "-odd", "-p22"}) || !slices.Equal(options, []string{"a,b"}) || port != 0 {
		t.Errorf("args %q, options %q, port %d", args, options, port)
	}
}

func TestHelper(t *testing.T) {
	for in, want := range map[string]string{
		"h: /m":                           "remotemount mount -- h: /m",
		"h: /m -o rw,nosuid":              "remotemount mount --option=rw,nosuid -- h: /m",
		"h: /m -n -v -s -o ro -t rm":      "remotemount mount --sloppy --option=ro -- h: /m",
		"-svo ro h: /m":                   "remotemount mount --sloppy --option=ro -- h: /m",
		"h: /m -rw -N /proc/1/ns/mnt":     "remotemount mount --read-only -- h: /m",
		"h: /m -f -o nosuchoption":        "",
		"h: /m -oIdentityFile=/k,_netdev": "remotemount mount --option=IdentityFile=/k,_netdev -- h: /m",
	} {
		got, err := mountHelper(newApp(), strings.Fields(in))
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"h:", "h: /m x", "h: /m -z"} {
		if _, err := mountHelper(newApp(), strings.Fields(in)); err == nil || explain(err).code != exitUsage {
			t.Errorf("%q: %v", in, err)
		}
	}
}
