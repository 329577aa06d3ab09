package remotemount_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/remotemount/remotemount/"

// directions says which of our packages a package may import. A package below
// one that is listed follows the same rule, unless it is listed itself. The
// design is in docs/ARCHITECTURE.md: the walls that this keeps up are what lets
// a fake stand behind remote.Remote in every test above it.
var directions = map[string][]string{
	"cmd/remotemount":        {"cmd/remotemount", "fsnode", "cache", "pool", "pool/remote", "pool/sftp3", "keys", "sync", "serve"},
	"fsnode":                 {"pool/remote"},
	"cache":                  {"pool/remote"},
	"sync":                   {"pool/remote"},
	"pool":                   {"pool/remote", "pool/sftp3"},
	"pool/remote":            {},
	"pool/sftp3":             {},
	"pool/remote/remotetest": {"pool/remote", "pool/sftp3"},
	"keys":                   {},
	"serve":                  {},
	"integration":            {"integration/link", "serve"},
	"integration/link":       {},
	"packaging/tools":        {},
}

// inTests says what tests may import besides: servers and fakes to test against.
var inTests = []string{"pool", "pool/remote", "pool/remote/remotetest", "serve", "integration/link"}

// TestImportDirections reads the imports of every file of the module.
func TestImportDirections(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (name[0] == '.' || name == "testdata" || name == "build") {
				return filepath.SkipDir
			}
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if !strings.HasSuffix(path, ".go") || dir == "." {
			return nil
		}
		seen[checkFile(t, path, dir)] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for rule := range directions {
		if !seen[rule] {
			t.Errorf("the rule for %s is about no file", rule)
		}
	}
}

// checkFile holds a file against the rule it falls under, and gives that rule.
func checkFile(t *testing.T, path, dir string) (rule string) {
	t.Helper()
	rule = ruleOf(dir)
	if rule == "" {
		t.Errorf("%s: no rule says what it may import", path)
		return ""
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return rule
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		name, ours := strings.CutPrefix(imported, module)
		if ours && !allowed(rule, name, strings.HasSuffix(path, "_test.go")) {
			t.Errorf("%s imports %s", path, name)
		}
	}
	return rule
}

func ruleOf(dir string) string {
	for ; dir != "."; dir = filepath.ToSlash(filepath.Dir(dir)) {
		if _, ok := directions[dir]; ok {
			return dir
		}
	}
	return ""
}

// allowed also lets the packages under one rule import each other.
func allowed(rule, name string, test bool) bool {
	target := ruleOf(name)
	switch {
	case target == rule:
		return true
	case test && slices.Contains(inTests, target):
		return true
	}
	return slices.Contains(directions[rule], target)
}

func TestDirectionsForbid(t *testing.T) {
	for _, c := range []struct {
		dir, imports string
		test, want   bool
	}{
		{"cmd/remotemount", "fsnode", false, true},
		{"fsnode", "pool/remote", false, true},
		{"fsnode", "pool", false, false},
		{"fsnode", "cache", false, false},
		{"fsnode", "pool/sftp3", false, false},
		{"fsnode", "pool/remote/remotetest", false, false},
		{"fsnode", "pool/remote/remotetest", true, true},
		{"pool", "cache", true, false},
		{"pool/sftp3", "pool", false, false},
		{"keys", "cmd/remotemount/internal/config", false, false},
		{"integration/lab", "integration/link", false, true},
		{"integration/link", "integration/lab", false, false},
		{"integration", "pool", false, false},
	} {
		if got := allowed(ruleOf(c.dir), c.imports, c.test); got != c.want {
			t.Errorf("%s may import %s (test: %v): %v, want %v", c.dir, c.imports, c.test, got, c.want)
		}
	}
}
