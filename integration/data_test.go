package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/remotemount/remotemount/integration/history"
)

// repeat plays a history so many times, and tells of the first that differs.
func (st *stage) repeat(t testing.TB, times int, steps []history.Step, points ...string) error {
	t.Helper()
	if len(points) == 0 {
		points = []string{st.point, st.point}
	}
	processes := st.processes(t, points...)
	for i := range times {
		diff, err := st.play(processes, steps)
		if err != nil {
			return err
		}
		if diff != nil {
			return fmt.Errorf("the %d. of %d times: %v", i+1, times, diff)
		}
	}
	return nil
}

// A pinned history is one that went wrong once. A and B are two processes.
type pinned struct {
	name   string
	times  int
	script string
}

var pinnedHistories = []pinned{
	{"older write of an idle descriptor never lands over a newer one", 1, `
		A open 0 a rdwr,create
		B open 0 a rdwr
		A pwrite 0 0 2 1
		A pause 100
		B pwrite 0 0 2 2
		B close 0
		A pause 700
		A there-same a
		A close 0`},
	{"hole just made is zeros and not the end of the file", 3, `
		A open 0 a rdwr,create
		A pwrite 0 100000 1000 1
		A pread 0 0 100
		A pread 0 100000 1000
		A fstat 0`},
	{"existing file made longer with a gap reads whole", 3, `
		A there-make a 200000 1
		A open 0 a rdwr
		A pwrite 0 500000 10 2
		A pread 0 0 600000
		B open 0 a rdonly
		B pread 0 0 600000`},
	{"hole just made is zeros to a mapping", 3, `
		A open 0 a rdwr,create
		A pwrite 0 100000 1000 1
		A mmap 0 0 0 101000 rdonly
		A load 0 0 101000`},
	{"existing file made longer with a gap maps whole", 3, `
		A there-make a 200000 1
		A open 0 a rdwr
		A pwrite 0 500000 10 2
		B open 0 a rdonly
		B mmap 0 0 0 500010 rdonly
		B load 0 0 500010`},
	{"stores to a mapping of a file made longer are kept", 3, `
		A open 0 a rdwr,create
		A pwrite 0 100000 1000 1
		A mmap 0 0 0 101000 rdwr
		A store 0 50000 60000 2
		A msync 0
		B open 0 a rdonly
		B pread 0 0 200000`},
	{"writes of one descriptor in one flight keep their order", 20, `
		A open 0 a rdwr,create
		A pwrite 0 4096 4096 1
		A pwrite 0 1048576 1 2
		A pwrite 0 0 4096 3
		A pwrite 0 4096 4096 4
		A flush 0
		A there-same a
		A close 0`},
	{"second open knows the end of what was just written", 60, `
		A open 0 a rdonly,create
		A close 0
		A open 0 a rdwr
		A write 0 10 16
		A pwrite 0 3468 32 33
		A open 2 a rdwr
		A pread 2 0 50
		A fstat 2`},
	{"second open knows the end of what was just appended", 60, `
		B open 0 a rdwr,create,append
		B resize 0 10
		B pwrite 0 1 8192 60
		B open 1 a rdonly
		B seek 1 0 rdonly,append`},
	{"a write beside the closing of another descriptor counts", 60, `
		A open 1 a rdwr,create
		B open 0 a rdwr
		A open 0 a rdwr
		A close 1
		B pwrite 0 0 1 78
		A pread 0 0 1`},
	{"appending opens begin behind what others have appended", 2, turns(`
		A open 0 a wronly,create,append
		A write 0 20 $1
		A close 0
		A there-append a 30 $2`)},
	{"an append after a flush begins behind what others have appended", 2, `
		A open 0 a wronly,create,append` + turns(`
		A write 0 20 $1
		A fsync 0
		A there-append a 30 $2`)},
	{"a file that others made longer is whole to a mapping after opening", 2, longer + `
		A open 0 a rdonly
		A mmap 0 0 0 100010 rdonly
		A load 0 0 100010`},
	{"a file that others made longer is appended to where it ends after opening", 12, longer + `
		A open 0 a rdwr,append
		A write 0 5 3
		A read 0 10
		A pread 0 0 200000`},
	{"a file that others made longer is copied whole after opening", 2, longer + `
		A open 0 a rdwr
		A copy 0 0 0 200000 100010
		A pread 0 0 400000`},
	{"copy_file_range within one file", 2, `
		A open 0 a rdwr,create
		A pwrite 0 0 100000 1
		A copy 0 10 0 200000 50000
		A pread 0 0 300000
		B open 0 a rdwr
		B copy 0 0 0 150000 50000
		B close 0
		A pread 0 0 300000`},
	{"copy_file_range between two descriptors of one file", 2, `
		A open 0 a rdwr,create
		A pwrite 0 0 100000 1
		A open 1 a rdwr
		A copy 0 0 1 100000 100000
		A copy 1 50000 0 300000 1000
		A pread 1 0 400000`},
}

// longer is a file that another machine has made longer since we saw it.
const longer = `
		A open 0 a rdwr,create
		A write 0 10 1
		A close 0
		A there-append a 100000 2`

// turns repeats steps with new contents.
func turns(script string) string {
	var b strings.Builder
	for i := range 8 {
		b.WriteString(strings.NewReplacer("$1", fmt.Sprint(2*i+1), "$2", fmt.Sprint(2*i+2)).Replace(script))
	}
	return b.String()
}

// TestData plays the pinned histories in every setting.
func TestData(t *testing.T) {
	all := append(pinnedHistories, overlapping()...)
	for _, in := range settings {
		t.Run(in.name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, in)
			for _, p := range all {
				t.Run(p.name, func(t *testing.T) {
					steps, err := history.Parse(p.script)
					must(t, err)
					times := p.times
					if in.pairs > 1 {
						times = (times + 3) / 4 // far away it takes long
					}
					verdict(t, p.name, in, st.repeat(t, times, steps))
				})
			}
		})
	}
}

// overlapping are histories too long to be written out.
func overlapping() []pinned {
	var list []pinned
	for _, size := range []int64{4, 100, 4096, 32 << 10, 261120, 1 << 20} {
		list = append(list, pinned{
			fmt.Sprintf("overlapping writes of two descriptors of %d bytes keep their order", size), 10, fmt.Sprintf(`
				A open 0 a rdwr,create
				B open 0 a rdwr
				A pwrite 0 0 %d 1
				B pwrite 0 %d %[1]d 2
				B close 0
				A close 0`, size, size/2),
		})
	}
	r := rand.New(rand.NewPCG(1, 2))
	const open = "A open 0 a rdwr,create\n"
	large := history.Stretch(r.Int64N, history.Step{Op: "pwrite"}, 12, 1)
	list = append(list, pinned{"patches of a large file that is being written land on it", 6, open + history.Format(large)})
	var small strings.Builder
	for i := range 60 {
		fmt.Fprintf(&small, "A pwrite 0 %d %d %d\n", r.Int64N(100), 1+r.Int64N(100), i+1)
	}
	return append(list, pinned{"small overlapping writes of one descriptor keep their order", 12, open + small.String()})
}

// TestAppendByTwoMounts pins that two mounts which append by turns, each with an
// fsync after its line, lose none.
func TestAppendByTwoMounts(t *testing.T) {
	for _, in := range settings {
		t.Run(in.name, func(t *testing.T) {
			st := newStage(t, in)
			must(t, st.Mkdir("mnt2", 0o755))
			st.mountAt(t, st.server.port, st.remoteOf(), st.Path("mnt2"), in.flags...)
			steps, err := history.Parse(`
				A open 0 a wronly,create,append
				B open 0 a wronly,append` + turns(`
				A write 0 20 $1
				A fsync 0
				B write 0 30 $2
				B fsync 0`))
			must(t, err)
			verdict(t, "appends by two mounts by turns, each with its fsync", in, st.repeat(t, 1, steps, st.point, st.Path("mnt2")))
		})
	}
}
