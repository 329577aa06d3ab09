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

// TestListingBegunBeforeAChange pins that `ls` shows what its own user has just done
// also while another program is in the middle of listing the folder.
func TestListingBegunBeforeAChange(t *testing.T) {
	t.Parallel() // it takes long
	s := newSite(t, ordinary(t))
	s.sh(t, s.remote, `mkdir big; cd big; mkdir old; touch gone moved; seq 20000 | sed 's/^/name/' | xargs touch`)
	l := s.far(t, 40*time.Millisecond)
	s.mountBy(t, l.Port(), "--attr-timeout", "2s")
	s.sh(t, s.point, `ls -d big >/dev/null`)
	l.SetRate(1 << 20) // the listing takes seconds
	for _, c := range []struct{ change, look string }{
		{`mkdir new`, `ls | grep -qx new`},
		{`rmdir old`, `! ls | grep -qx old`},
		{`rm gone`, `! ls | grep -qx gone`},
		{`mv moved here`, `names=$(ls); echo "$names" | grep -qx here; ! echo "$names" | grep -qx moved`},
		{`chmod 600 here`, `ls -l here name1 | grep -q '^-rw------- .* here$'`},
	} {
		other := s.start(t, `ls -U "$M/big" >/dev/null`)
		time.Sleep(300 * time.Millisecond)
		s.sh(t, s.point, `cd big; `+c.change)
		select {
		case <-other.ended:
			t.Errorf("%s: the listing was over before the change: the test shows nothing", c.change)
		default:
		}
		s.sh(t, s.point, `cd big; `+c.look)
		other.succeeds(t)
		s.sh(t, s.point, `cd big; `+c.look)
		time.Sleep(2 * time.Second) // what is held is over
	}
}

// TestListedNotPassed pins what is said of names in folders that may be listed and
// not passed: the server's listing leaves out what it cannot look at.
func TestListedNotPassed(t *testing.T) {
	s := newSite(t, ordinary(t))
	if s.User.UID == 0 {
		t.Skip("root passes every folder")
	}
	s.sh(t, s.remote, `mkdir d empty later; echo x >d/f; echo x >later/f; chmod 644 d empty`)
	s.mount(t)
	denied := func(script string) {
		t.Helper()
		_, stderr, code := s.run(t, "sh", "-c", "cd "+s.point+"; "+script)
		if code == 0 || !strings.Contains(stderr, "Permission denied") {
			t.Errorf("%s: exit code %d, %s", script, code, stderr)
		}
	}
	for _, dir := range []string{"d", "empty"} {
		denied(`cat ` + dir + `/f`)
		s.sh(t, s.point, `ls -l `+dir+` 2>/dev/null || true`)
		denied(`cat ` + dir + `/f`)
		denied(`cat ` + dir + `/none`)
		denied(`echo x >` + dir + `/new`)
	}
	s.sh(t, s.point, `ls later; chmod 600 later`)
	denied(`cat later/none`)
	s.sh(t, s.point, `mkdir -m 600 own`)
	denied(`cat own/none`)
	s.sh(t, s.point, `chmod 755 d later own; cat d/f later/f; test ! -e own/none`)
}
