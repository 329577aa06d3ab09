package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/integration/lab"
	"github.com/remotemount/remotemount/integration/link"
)

// far puts a link of some round-trip time in front of the site's server.
func (s *site) far(t testing.TB, rtt time.Duration) *link.Link {
	t.Helper()
	l, err := link.New(s.sshd.Addr())
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	l.SetDelay(rtt / 2)
	return l
}

// TestListingCostsNoRoundTripPerName counts how often the conversation with the
// server changes direction while 10,000 names are listed with their attributes:
// OPENDIR, READDIRs that are under way together, CLOSE, and no LSTAT.
func TestListingCostsNoRoundTripPerName(t *testing.T) {
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		s.sh(t, s.remote, `seq 10000 | sed 's/^/name/' | xargs touch`)
		l := s.far(t, 20*time.Millisecond)
		s.mountBy(t, l.Port())
		before, begin := l.Stats().Turns, time.Now()
		out := s.sh(t, s.point, `ls -l`)
		turns, took := l.Stats().Turns-before, time.Since(begin)
		if n := strings.Count(out, "name"); n != 10000 {
			t.Errorf("%d names", n)
		}
		t.Logf("%d turns, %v", turns, took)
		// Seventeen were seen; a request per name would be thousands, and a batch of a
		// hundred names at a time a hundred.
		if turns > 60 {
			t.Errorf("%d turns of the link for one listing", turns)
		}
	})
}
