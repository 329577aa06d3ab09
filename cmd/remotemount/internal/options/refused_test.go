package options

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What is refused stands in docs/sshfs.md, with the reason and what to use.
func TestRefusedIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../../docs/sshfs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		o := table()[name]
		if o.cannot == "" {
			continue
		}
		if o.instead == "" {
			t.Errorf("%s: nothing to use instead", name)
		}
		if row := fmt.Sprintf("| `%s` | %s | %s |", name, o.cannot, o.instead); !strings.Contains(string(doc), row+"\n") {
			t.Errorf("docs/sshfs.md has no row\n%s", row)
		}
	}
}

// Every option of sshfs and FUSE stands in docs/sshfs.md.
func TestFuseOptionsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../../docs/sshfs.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range fuseOptions() {
		if o.value == needed {
			name += "="
		}
		if !strings.Contains(string(doc), "`"+name) && !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/sshfs.md has no row for %s", name)
		}
	}
}
