package remotemount_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestTroubleshootingNamesMessages: each message in docs/troubleshooting.md is one of the
// program's, and each errno one that it uses. "…" stands for what is filled in.
func TestTroubleshootingNamesMessages(t *testing.T) {
	doc, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	texts, names := literals(t, "cmd", "keys", "pool", "cache", "fsnode", "sync", "serve")
	has := func(part string) bool {
		for _, text := range texts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	count := 0
	for line := range strings.Lines(string(doc)) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
			if !strings.HasPrefix(line, "| `") && !strings.HasPrefix(line, "| *") {
				continue
			}
			count++
			if regexp.MustCompile(`^E[A-Z]+$`).MatchString(m[1]) {
				if !names[m[1]] {
					t.Errorf("syscall.%s is nowhere in the program", m[1])
				}
				continue
			}
			for part := range strings.SplitSeq(m[1], "…") {
				if part = strings.Trim(part, " "); len(part) > 4 && !has(part) {
					t.Errorf("%q of %q is no message of the program", part, m[1])
				}
			}
		}
	}
	if count < 80 {
		t.Errorf("only %d messages are found", count)
	}
}

// literals are all texts in the program, and the names behind syscall.
func literals(t *testing.T, dirs ...string) (texts []string, names map[string]bool) {
	t.Helper()
	names = map[string]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "remotetest") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if n.Kind == token.STRING {
						text, err := strconv.Unquote(n.Value)
						if err != nil {
							t.Error(err)
						}
						texts = append(texts, text)
					}
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "syscall" {
						names[n.Sel.Name] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return texts, names
}
