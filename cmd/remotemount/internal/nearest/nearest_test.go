package nearest

import "testing"

func TestFind(t *testing.T) {
	names := []string{"mount", "unmount", "allow_other", "allow_root", "IdentityFile", "ro", "rw"}
	for word, want := range map[string]string{
		"mont": "mount", "unmont": "unmount", "alow_other": "allow_other", "allow_ohter": "allow_other",
		"identityfile": "IdentityFile", "identiyfile": "IdentityFile", "zebra": "", "r": "ro", "": "",
	} {
		if got := Find(word, names); got != want {
			t.Errorf("Find(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
