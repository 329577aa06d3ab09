package integration

import (
	"strings"
	"testing"
)

// TestScriptsTellWhy pins that a script of a test which ends at a command that
// says nothing names this command, with what it was given.
func TestScriptsTellWhy(t *testing.T) {
	s := newSite(t, currentUser(t))
	_, err := s.shell(t, s.Dir, `test -z "$(echo odd)"`)
	if err == nil || !strings.Contains(err.Error(), "+ test -z odd") {
		t.Errorf("it says: %v", err)
	}
	j := s.start(t, `test "$(echo one)" = two`)
	if code := j.code(t, commandTime); code != 1 || !strings.Contains(j.out.String(), "+ test one = two") {
		t.Errorf("it says: exit code %d, %s", code, j.out.String())
	}
}
