package remotemount_test

import (
	"os"
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
