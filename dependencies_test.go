package remotemount_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDependenciesAreExplained: docs/DEPENDENCIES.md says of each module that is
// asked for directly why it is there.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("docs/DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := 0
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && strings.HasPrefix(fields[1], "v") {
			direct++
			if !strings.Contains(string(doc), fields[0]) {
				t.Errorf("%s is not explained", fields[0])
			}
		}
	}
	if direct == 0 {
		t.Error("no direct dependency is found in go.mod")
	}
}

// TestSecurityNamesTests: each test and script that SECURITY.md says holds a promise is
// there.
func TestSecurityNamesTests(t *testing.T) {
	doc, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(d.Name(), ".txtar"); ok {
			there["script "+name] = true
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, f := range function.FindAllSubmatch(text, -1) {
			there[string(f[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("(script )?`([a-z]+|(?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(doc), -1)
	count := 0
	for _, n := range named {
		if n[1] == "" && n[2] == strings.ToLower(n[2]) {
			continue // a flag, an option, a program
		}
		if count++; !there[n[1]+n[2]] {
			t.Errorf("SECURITY.md names %s%s, which is nowhere", n[1], n[2])
		}
	}
	if count < 30 {
		t.Errorf("only %d tests are found in SECURITY.md", count)
	}
}
