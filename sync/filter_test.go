package sync

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		rules string // one a line, "+" before what --include adds
		path  string
		keep  bool
	}{
		{"", "a", true},
		{"*.o", "a.o", false},
		{"*.o", "deep/down/a.o", false},
		{"*.o", "a.c", true},
		{"/*.o", "deep/a.o", true},
		{"/*.o", "a.o", false},
		{"doc/*.txt", "doc/a.txt", false},
		{"doc/*.txt", "doc/sub/a.txt", true},
		{"doc/*.txt", "x/doc/a.txt", true},
		{"build/", "build", true},
		{"build/", "build/", false},
		{"build/", "x/build/", false},
		{"**/foo", "a/b/foo", false},
		{"abc/**", "abc/", true},
		{"abc/**", "abc/x", false},
		{"abc/**", "abc/x/y", false},
		{"a/**/b", "a/b", false},
		{"a/**/b", "a/x/y/b", false},
		{"*.o\n!keep.o", "keep.o", true},
		{"!keep.o\n*.o", "keep.o", false},
		{"*.o\n+keep.o", "keep.o", true},
		{"+!no", "no", false},
		{"# comment\n\n  ", "# comment", true},
		{`\#x`, "#x", false},
		{`\!x`, "!x", false},
		{"a ", "a", false},
		{`a\ `, "a ", false},
		{"{a,b}", "a", true},
		{"{a,b}", "{a,b}", false},
		{"[ab]c", "bc", false},
		{"[!ab]c", "bc", true},
		{"[!ab]c", "xc", false},
		{"a?c", "a/c", true},
		{"*", "\xff\xfe", false},
		{"x\xffy", "x\xffy", false},
		{"[[:digit:]]", "7", false},
		{"[[:digit:]]", "d", true},
		{"a[[:upper:]_]", "a_", false},
		{"a[![:upper:]]", "aB", true},
		{"[]x]", "]", false},
		{"[]x]", "x", false},
		{"[]x]", "y", true},
		{"[!]x]", "]", true},
		{"[!]x]", "y", false},
		{"[[x]", "[", false},
		{"[a\\]]", "]", false},
		{"[[:nonsense:]", "[", false},
		{"+doc/", "doc/", true},
		{"+doc/", "doc/a", true},
		{"+doc/", "x/doc/deep/a", true},
		{"+doc/", "a", false},
		{"+doc", "doc/a", true},
		{"+/doc/", "x/doc/a", false},
		{"+*.jpg", "a.jpg", true},
		{"+*.jpg", "a.txt", false},
		{"+*.jpg", "folder/", true},
		{"+*.jpg\ntmp/", "a.txt", true},
	} {
		f := filterOf(t, c.rules)
		path, folder := strings.CutSuffix(c.path, "/")
		if got := f.Keeps(path, folder); got != c.keep {
			t.Errorf("rules %q, %q: kept %v", c.rules, c.path, got)
		}
	}
}

func filterOf(t testing.TB, rules string) *Filter {
	t.Helper()
	f := &Filter{}
	for _, line := range strings.Split(rules, "\n") {
		add := f.Exclude
		if rest, ok := strings.CutPrefix(line, "+"); ok {
			line, add = rest, f.Include
		}
		must(t, add(line))
	}
	return f
}

func TestFilterRefusesBrokenPatterns(t *testing.T) {
	for _, p := range []string{"[a", "/", `a\`} {
		if err := new(Filter).Exclude(p); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %v", p, err)
		}
	}
	err := new(Filter).ExcludeFrom(strings.NewReader("fine\n[broken\n"))
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v", err)
	}
}

// git itself is asked whether a Filter means what .gitignore means.
func TestFilterAgreesWithGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		missing(t, "git")
	}
	rules := "*.o\n!keep.o\n/top\ndoc/*.txt\nbuild/\n**/deep\nabc/**\na/**/b\n[xy]z\n\\#lit\nq?\n{br,ace}\nsp\\ \n*.tmp/\nm*n\n/r/*\n!/r/keep\n"
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, ".gitignore"), []byte(rules), 0o644))
	if out, err := exec.Command(git, "-C", dir, "init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	f := &Filter{}
	must(t, f.ExcludeFrom(strings.NewReader(rules)))
	names := []string{"a.o", "keep.o", "top", "x", "b", "deep", "a", "doc", "n.txt", "build", "abc", "xz", "#lit", "qq", "{br,ace}", "br", "sp ", "d.tmp", "man", "r", "keep"}
	paths := names
	for _, one := range names {
		for _, two := range names {
			paths = append(paths, one+"/"+two)
		}
	}
	ask := exec.Command(git, "-C", dir, "check-ignore", "-z", "--stdin", "--no-index")
	ask.Stdin = strings.NewReader(strings.Join(paths, "\x00"))
	var stderr strings.Builder
	ask.Stderr = &stderr
	out, err := ask.Output()
	if err != nil {
		t.Fatalf("git check-ignore: %v: %s", err, &stderr)
	}
	ignored := map[string]bool{}
	for _, path := range strings.Split(string(out), "\x00") {
		ignored[path] = true
	}
	for _, path := range paths {
		if keeps := keepsAll(f, path); keeps == ignored[path] {
			t.Errorf("%q: kept here %v, ignored by git %v", path, keeps, ignored[path])
		}
	}
}

// keepsAll asks for the folders on the way, too.
func keepsAll(f *Filter, path string) bool {
	for i, c := range path {
		if c == '/' && !f.Keeps(path[:i], true) {
			return false
		}
	}
	return f.Keeps(path, false)
}

func TestFilterFileMayBeginWithAMark(t *testing.T) {
	f := &Filter{}
	must(t, f.ExcludeFrom(strings.NewReader("\ufeff*.o\r\n*.a\n")))
	if f.Keeps("x.o", false) || f.Keeps("x.a", false) || !f.Keeps("x.c", false) {
		t.Error("the first pattern of the file was not read")
	}
}
