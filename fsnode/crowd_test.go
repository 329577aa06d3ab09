package fsnode_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The kernel is asked to let go of the names that it has known for longest, and what is
// open, and where somebody works, goes on as before.
func TestCrowd(t *testing.T) {
	m := mount(t, setup{AttrTimeout: time.Minute, MostNames: 200})
	const all = 1000
	check(t, os.MkdirAll(filepath.Join(m.dir, "sub/work"), 0o755))
	for i := range all {
		check(t, os.WriteFile(filepath.Join(m.dir, "sub", fmt.Sprint(i)), []byte("data"), 0o644))
	}
	work, err := os.Open(filepath.Join(m.mnt, "sub/work"))
	check(t, err)
	defer func() { _ = work.Close() }()
	open, err := os.Open(filepath.Join(m.mnt, "sub/0"))
	check(t, err)
	defer func() { _ = open.Close() }()
	for i := range all {
		_, err := os.Lstat(filepath.Join(m.mnt, "sub", fmt.Sprint(i)))
		check(t, err)
	}
	known := 0
	for range 100 {
		if known = m.must(command{Op: "calls"}).Stats.Nodes; known <= 250 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if known > 250 {
		t.Errorf("the kernel knows %d of %d names", known, all)
	}
	for _, f := range []*os.File{work, open} {
		if at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil || at != f.Name() {
			t.Errorf("%s is now %s, %v", f.Name(), at, err)
		}
	}
	for i := range all {
		data, err := os.ReadFile(filepath.Join(m.mnt, "sub", fmt.Sprint(i)))
		if err != nil || string(data) != "data" {
			t.Errorf("%d: %q, %v", i, data, err)
		}
	}
}
