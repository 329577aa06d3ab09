package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// gnu is how a file says that it is under a licence of GNU.
const gnu = `This program is free software: you can redistribute it and/or modify it under the
terms of the GNU KIND General Public License as published by the Free Software Foundation,
either version 3 of the License, or (at your option) any later version.

This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY;
without even the implied warranty of MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.
See the GNU KIND General Public License for more details.

You should have received a copy of the GNU KIND General Public License along with this
program. If not, see <https://www.gnu.org/licenses/>.
`

func gnuText(kind string) string {
	return strings.ReplaceAll(strings.ReplaceAll(gnu, "KIND ", kind), "  ", " ")
}

func ourLicence(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestClassify(t *testing.T) {
	mit := ourLicence(t)
	for _, c := range []struct {
		name, text, want, err string
	}{
		{"MIT", mit, "MIT", ""},
		{"GPL", gnuText(""), "", "GPL-3.0-or-later may not be linked"},
		{"LGPL", gnuText("Lesser "), "", "LGPL-3.0-or-later may not be linked"},
		{"AGPL", gnuText("Affero "), "", "AGPL-3.0-or-later may not be linked"},
		{"GPL below MIT", mit + "\n\n" + gnuText(""), "", "GPL-3.0-or-later may not be linked"},
		{"words", "Ask the author before you copy this.", "", "a licence that cannot be told"},
		{"empty", "", "", "a licence that cannot be told"},
	} {
		names, err := classify([]byte(c.text))
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
	}
}

// TestDocuments: a licence deeper down counts, and a module without one is an error.
func TestDocuments(t *testing.T) {
	mit := ourLicence(t)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int
		err   string
	}{
		{"one", map[string]string{"LICENSE": mit, "license.go": "package p", "NOTICE": "by us"}, 2, ""},
		{"by its other name", map[string]string{"COPYING.md": mit}, 1, ""},
		{"deeper", map[string]string{"LICENSE": mit, "c/COPYING": gnuText("")}, 2, "c/COPYING: GPL-3.0-or-later"},
		{"of test data", map[string]string{"LICENSE": mit, "testdata/COPYING": gnuText("")}, 1, ""},
		{"none", map[string]string{"README": "hello"}, 0, "no licence"},
		{"a notice alone", map[string]string{"NOTICE": mit}, 1, "no licence"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			found, err := part{"example.org/m", "v1.0.0", dir}.documents()
			if len(found) != c.want {
				t.Errorf("%d documents, want %d", len(found), c.want)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	var out bytes.Buffer
	lru := part{name: "example.org/lru/v2", version: "v2.0.1"}
	lru.write(&out, []document{{[]byte("terms"), []string{"MPL-2.0"}}, {[]byte("terms"), []string{"MPL-2.0"}}})
	part{name: "example.org/b", version: "v1"}.write(&out, []document{{[]byte("other"), []string{"MIT", "ISC"}}})
	lines := strings.Split(out.String(), "\n")
	for _, want := range []string{
		"example.org/lru/v2 v2.0.1 (MPL-2.0)",
		"used unchanged; its source: https://example.org/lru, and the module of that name and version",
		"example.org/b v1 (ISC, MIT)",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in %s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "terms"); n != 1 {
		t.Errorf("the same text is there %d times", n)
	}
}
