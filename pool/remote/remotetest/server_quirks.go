package remotetest

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Quirks are what other servers do otherwise than OpenSSH's. The zero value is none.
type Quirks struct {
	Refuse        func(Request) uint32 // the status (section 7) that a request gets and is not executed for; 0 executes it
	SetTimes      func(sec int64) int64
	KeepsNoTimes  bool                // times are accepted, and not set
	NoTypes       bool                // listings have permissions without the type of file
	NoLongNames   bool                // and nothing in the place of a line of ls -l
	DraftSymlink  bool                // SYMLINK has its arguments as the draft has them
	ByPath        bool                // FSTAT and FSETSTAT go by the path that the handle was opened with
	EndsAtOpening bool                // a handle ends where the file ended when it was opened
	AbsoluteLinks bool                // READLINK tells all targets as absolute ones
	FollowsLinks  bool                // LSTAT follows those that lead somewhere, and so do the renames, at both ends
	Mode          uint32              // the permissions that everything is made with, in place of those asked for; 0 for none
	Replaces      bool                // RENAME is rename(2)
	Names         func(string) string // how names are told in listings
	Printed       string              // by the start files of the shell, before SFTP begins
}

// meant is the path that the renames take for one.
func (q Quirks) meant(at string) string {
	if !q.FollowsLinks {
		return at
	}
	if to, err := filepath.EvalSymlinks(at); err == nil {
		return to
	}
	return at
}

// lookFlags are those of LSTAT.
func (q Quirks) lookFlags(at string) int {
	if !q.FollowsLinks {
		return unix.AT_SYMLINK_NOFOLLOW
	}
	if _, err := os.Stat(at); err != nil {
		return unix.AT_SYMLINK_NOFOLLOW
	}
	return 0
}

// statusError is an answer that no errno has.
type statusError uint32

func (statusError) Error() string { return "refused" }

// refusal is why a request is not executed, or nil.
func (q Quirks) refusal(r Request) error {
	if q.Refuse == nil {
		return nil
	}
	if code := q.Refuse(r); code != 0 {
		return statusError(code)
	}
	return nil
}

// setting is what is left of attributes that are to be set.
func (q Quirks) setting(a attrs) attrs {
	switch {
	case q.KeepsNoTimes:
		a.flags &^= attrACModTime
	case q.SetTimes != nil:
		a.atime, a.mtime = uint32(q.SetTimes(int64(a.atime))), uint32(q.SetTimes(int64(a.mtime)))
	}
	return a
}

// listed is an entry of a listing as it is told.
func (q Quirks) listed(name string, st *unix.Stat_t) (told, long string) {
	told, long = name, longNameOf(name, st)
	if q.Names != nil {
		told = q.Names(name)
	}
	if q.NoLongNames {
		long = told
	}
	if q.NoTypes {
		st.Mode &^= unix.S_IFMT
	}
	return told, long
}
