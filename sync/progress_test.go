package sync

import (
	"strings"
	"testing"
)

// What is read to be compared counts, as does a copy that comes after it; a copy that is
// made twice is planned twice. "0 B of 1 TiB" stood there for hours.
func TestProgressComesToItsEnd(t *testing.T) {
	same, other := strings.Repeat("same", 1<<20), strings.Repeat("abcd", 1<<20)
	for name, c := range map[string]struct {
		options Options
		there   string
		want    int64
	}{
		"compared":            {Options{Mode: Pull, Compare: CompareHash}, same, 4 << 20},
		"compared and copied": {Options{Mode: Pull, Compare: CompareHash}, other, 8 << 20},
		"compared to delete":  {Options{Mode: Pull, Delete: true}, same, 4 << 20},
		"only planned":        {Options{Mode: Pull, Compare: CompareHash, DryRun: true}, other, 4 << 20},
		"copied twice":        {Options{Mode: Pull}, "", 8 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPairing(t, c.options)
			put(t, p.remote, "f", same, old)
			if c.there != "" {
				put(t, p.local, "f", c.there, old)
			} else {
				p.dir.Before = once("lstat", func(string) error {
					put(t, p.remote, "f", other, old+2)
					return nil
				})
			}
			run := p.passOn(t)
			first, err := run.root(t.Context())
			must(t, err)
			run.run(t.Context(), first)
			if got, total := run.journal.bytes.Load(), run.journal.bytesTotal.Load(); got != c.want || total != c.want {
				t.Errorf("%d of %d, want %d; failures %v", got, total, c.want, run.journal.result.Failures)
			}
		})
	}
}
