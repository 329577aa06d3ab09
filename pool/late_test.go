package pool

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is kept of files that nobody has open is gone when nothing can come late any more.
func TestLateIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := unreachable(t, Config{})
		p.files.doubt(p, "dir/f", 0)
		time.Sleep(lateFor / 2)
		p.files.renamed("dir/f", "dir/g")
		p.files.renamed("dir", "other")
		for _, path := range []string{"dir/f", "other/g", "other/f"} {
			if o := p.files.at(path); o == nil || len(o.lates(true)) != 1 {
				t.Errorf("nothing is late at %s", path)
			}
		}
		time.Sleep(lateFor / 2)
		synctest.Wait()
		if n, m := len(p.files.everything()), len(p.files.open.At)+len(p.files.open.Inside); n != 0 || m != 0 {
			t.Errorf("%d objects and %d paths are kept", n, m)
		}
	})
}
