package serve

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
)

// recorder notes what is set, and fails what it is told to.
type recorder struct {
	fails map[string]error
	set   []string
}

func (r *recorder) note(what string) error {
	r.set = append(r.set, what)
	return r.fails[what]
}

func (r *recorder) Truncate(int64) error               { return r.note("size") }
func (r *recorder) Chown(int, int) error               { return r.note("owner") }
func (r *recorder) Chmod(uint32) error                 { return r.note("mode") }
func (r *recorder) Chtimes(time.Time, time.Time) error { return r.note("times") }

// An attribute that cannot be set keeps none of the others from being set.
func TestSetstatGoesOn(t *testing.T) {
	all := sftp.FileAttrFlags{Size: true, UidGid: true, Permissions: true, Acmodtime: true}
	for _, c := range []struct {
		name  string
		flags sftp.FileAttrFlags
		size  uint64
		fails map[string]error
		set   string
		want  error
	}{
		{"all", all, 0, nil, "size owner mode times", nil},
		{"nothing", sftp.FileAttrFlags{}, 0, nil, "", nil},
		{"owner fails", all, 0, map[string]error{"owner": syscall.EPERM}, "size owner mode times", syscall.EPERM},
		{"the last failure is told", all, 0, map[string]error{"size": syscall.EINVAL, "mode": syscall.EROFS}, "size owner mode times", syscall.EROFS},
		{"a size beyond any", all, 1 << 63, nil, "owner mode times", syscall.EFBIG},
	} {
		r := &recorder{fails: c.fails}
		err := apply(c.flags, &sftp.FileStat{Size: c.size}, r)
		if !errors.Is(err, c.want) || !slices.Equal(r.set, strings.Fields(c.set)) {
			t.Errorf("%s: %v were set, %v", c.name, r.set, err)
		}
	}
}
