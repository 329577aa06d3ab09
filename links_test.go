package remotemount_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// papers are the texts for people.
func papers(t *testing.T) []string {
	t.Helper()
	top, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(top, docs...)
}

// TestLinksLead: a link of a paper to another file leads to one, and behind # to a
// heading of it.
func TestLinksLead(t *testing.T) {
	count := 0
	for _, paper := range papers(t) {
		text, err := os.ReadFile(paper)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose(string(text)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			count++
			file, heading, has := strings.Cut(m[1], "#")
			if file = filepath.Join(filepath.Dir(paper), file); strings.HasPrefix(m[1], "#") {
				file = paper
			}
			target, err := os.ReadFile(file)
			if info, serr := os.Stat(file); serr == nil && info.IsDir() && !has {
				err = nil
			}
			if err != nil || has && !slices.Contains(headings(string(target)), heading) {
				t.Errorf("%s: the link %s leads nowhere: %v", paper, m[1], err)
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d links are found", count)
	}
}

// prose is a text without its blocks of code.
func prose(text string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
}

// headings are the names that links know the headings of a text by: in small letters,
// a dash for each blank, and without other signs.
func headings(text string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(prose(text), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// TestReadmeIsOneScreen: 60 lines of 90 columns. What does not fit is docs/.
func TestReadmeIsOneScreen(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) > 60 {
		t.Errorf("README.md has %d lines", len(lines))
	}
	for i, line := range lines {
		if n := len([]rune(line)); n > 90 {
			t.Errorf("README.md:%d has %d columns", i+1, n)
		}
	}
}
