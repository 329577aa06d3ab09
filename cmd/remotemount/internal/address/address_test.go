package address

import (
	"strings"
	"testing"
)

func named(name string) bool { return name == "work" || name == "a.b" }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want Address
	}{
		{"work", Address{Name: "work"}},
		{"work:", Address{Name: "work"}},
		{"work:sub/dir", Address{Name: "work", Path: "sub/dir"}},
		{"work:/srv", Address{Name: "work", Path: "/srv"}},
		{"a.b", Address{Name: "a.b"}},
		{"host:", Address{Host: "host"}},
		{"sshfs#u@host:x", Address{User: "u", Host: "host", Path: "x"}},
		{"/usr/bin/sshfs#host:", Address{Host: "host"}},
		{"host:/", Address{Host: "host", Path: "/"}},
		{"host:folder", Address{Host: "host", Path: "folder"}},
		{"host:2222", Address{Host: "host", Path: "2222"}},
		{"host:a:b", Address{Host: "host", Path: "a:b"}},
		{"host:a@b", Address{Host: "host", Path: "a@b"}},
		{"host:dir [1]", Address{Host: "host", Path: "dir [1]"}},
		{"u@host:/srv/data", Address{User: "u", Host: "host", Path: "/srv/data"}},
		{"u@work:/srv", Address{User: "u", Host: "work", Path: "/srv"}},
		{"u@corp.example@host:", Address{User: "u@corp.example", Host: "host"}},
		{"[::1]:", Address{Host: "::1"}},
		{"[::1]:/x:y", Address{Host: "::1", Path: "/x:y"}},
		{"u@[fe80::1%eth0]:x", Address{User: "u", Host: "fe80::1%eth0", Path: "x"}},
		{"192.0.2.7:x", Address{Host: "192.0.2.7", Path: "x"}},
		{"sftp://host", Address{Host: "host"}},
		{"sftp://host/", Address{Host: "host", Path: "/"}},
		{"SFTP://host/srv", Address{Host: "host", Path: "/srv"}},
		{"sftp://u@host:2222/srv/a%20b", Address{User: "u", Host: "host", Port: 2222, Path: "/srv/a b"}},
		{"sftp://host/~/docs", Address{Host: "host", Path: "docs"}},
		{"sftp://host/~", Address{Host: "host"}},
		{"sftp://host/~user", Address{Host: "host", Path: "/~user"}},
		{"sftp://[::1]:22/x", Address{Host: "::1", Port: 22, Path: "/x"}},
	} {
		got, err := Parse(c.text, named)
		if err != nil || got != c.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, why := range map[string]string{
		"":                        "empty",
		"host":                    "no remote of this name",
		"/srv/data":               "no remote of this name",
		":path":                   "no host",
		"@host:x":                 "before the @",
		"u@:x":                    "no host",
		"-oProxyCommand=x:y":      "dash",
		"-l@host:x":               "dash",
		"::1:/x":                  "brackets",
		"u@fe80::1:/x":            "brackets",
		"[::1:/x":                 "not closed",
		"[::1]2222:/x":            "between the bracket",
		"[host]:/x":               "no IP address",
		"./a:b":                   "not the name of a host",
		"ho st:b":                 "not the name of a host",
		"ftp://host/":             "only URL",
		"sftp://u:secret@host/":   "never stands in an argument",
		"sftp://host:0/":          "no port",
		"sftp://host:99999/":      "no port",
		"sftp://host/a?b":         "no ?",
		"sftp:///path":            "no host",
		"sftp://host/%00":         "NUL",
		"host:a\nb":               "line break",
		"sftp://-oProxyCommand/x": "dash",
	} {
		_, err := Parse(text, named)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("Parse(%q): %v; want something of %q", text, err, why)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("Parse(%q) repeats the password: %v", text, err)
		}
	}
}

// What String writes is read as the same address.
func TestString(t *testing.T) {
	for _, a := range []Address{
		{Name: "work"}, {Name: "work", Path: "x"},
		{Host: "h"}, {Host: "h", Path: "/x"}, {Host: "::1", Path: "x", User: "u"},
		{Host: "h", Port: 22}, {Host: "h", Port: 22, Path: "/"}, {Host: "::1", Port: 22, Path: "a b"},
		{Host: "h", Port: 22, Path: "/a%b?", User: "u@v"},
	} {
		got, err := Parse(a.String(), named)
		if err != nil || got != a {
			t.Errorf("%+v is written %q and read as %+v, %v", a, a.String(), got, err)
		}
	}
}

func TestJoin(t *testing.T) {
	for _, c := range [][3]string{
		{"", "", ""}, {"/srv", "", "/srv"}, {"/srv", "a", "/srv/a"}, {"/", "a", "/a"},
		{"docs", "a", "docs/a"}, {"docs", "/a", "/a"}, {"", "a", "a"},
	} {
		if got := Join(c[0], c[1]); got != c[2] {
			t.Errorf("Join(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"work", "u@[::1]:x", "sftp://u@h:22/x", "h:a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s, named)
		if err != nil {
			return
		}
		if (a.Name == "") == (a.Host == "") {
			t.Fatalf("%q gives %+v: neither a name nor a host, or both", s, a)
		}
	})
}
