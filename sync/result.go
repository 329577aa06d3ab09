package sync

import "time"

// keptProblems bounds the problems a Result carries; all are counted, and all
// are given to Events.
const keptProblems = 1000

// A Tally counts what went to one side.
type Tally struct {
	Files   int64 `json:"files"`
	Bytes   int64 `json:"bytes"`
	Links   int64 `json:"links"`
	Folders int64 `json:"folders"`
}

func (t Tally) zero() bool { return t == Tally{} }

// A Problem is a name about which something is left to do.
type Problem struct {
	Path string
	Side Side // where it happened; of no meaning for a conflict
	Why  Why  // of a conflict
	Err  error
}

// A Result is what a run did, or in a dry run would have done. Programs get it by the
// names that stand beside the fields; see resultLine.
type Result struct {
	Mode     Mode          `json:"-"`
	DryRun   bool          `json:"dry_run"`
	Ended    bool          `json:"ended_early"` // before all was done: by the user, the remote, or too many errors
	Began    time.Time     `json:"-"`
	Duration time.Duration `json:"-"`

	ToLocal  Tally `json:"to_local"`
	ToRemote Tally `json:"to_remote"`

	Attributes int64 `json:"attributes"`       // files and folders whose mode, owner or time was set
	Deleted    int64 `json:"deleted"`          // sources removed after their copies were verified
	Pruned     int64 `json:"pruned"`           // folders removed because that left them empty
	Unchanged  int64 `json:"unchanged"`        // files and links that were as they should be
	LeftAlone  int64 `json:"left_alone"`       // two-way by size: equal in size, different in time
	KeptNewer  int64 `json:"kept_newer"`       // targets newer than their source, with Update
	Settling   int64 `json:"settling"`         // files that changed a moment ago
	Busy       int64 `json:"busy"`             // files that were written to each time they were looked at
	Filtered   int64 `json:"filtered"`         // files outside the bounds of size and age
	Special    int64 `json:"special"`          // special files and skipped links
	InUse      int64 `json:"in_use"`           // sources kept because another program has them open
	Vanished   int64 `json:"vanished"`         // files gone before they could be copied
	Unsafe     int64 `json:"unsafe_links"`     // links that lead out of the local folder and were not made there
	Elsewhere  int64 `json:"other_filesystem"` // folders and files on another filesystem
	Unverified int64 `json:"kept_unverified"`  // sources kept because size is equal and content is not
	Resumed    int64 `json:"resumed_bytes"`    // bytes that an earlier run had left and were used
	Cleaned    int64 `json:"cleaned"`          // temporary files of dead runs that were removed

	ConflictCount int64     `json:"conflicts"`
	FailureCount  int64     `json:"failures"`
	Conflicts     []Problem `json:"-"` // the first thousand
	Failures      []Problem `json:"-"` // the first thousand

	LeftNames   []string `json:"-"` // the first of LeftAlone
	UnsafeNames []string `json:"-"` // the first of Unsafe
	strict      bool
}

// keptNames is how many names a summary has of what was left alone.
const keptNames = 10

// Partial reports whether something that should be alike is not: names that
// failed or were refused, or conflicts; with Strict also what was left alone.
func (r *Result) Partial() bool {
	return r.ConflictCount > 0 || r.FailureCount > 0 || r.strict && r.Left() > 0
}

// Left counts what was left alone without having been asked to.
func (r *Result) Left() int64 { return r.LeftAlone + r.Unverified + r.Unsafe + r.InUse + r.Busy }

// Changed reports whether the run changed anything that a next run could see.
func (r *Result) Changed() bool {
	return !r.ToLocal.zero() || !r.ToRemote.zero() || r.Attributes+r.Deleted+r.Pruned > 0
}

func (r *Result) tally(to Side) *Tally {
	if to == Local {
		return &r.ToLocal
	}
	return &r.ToRemote
}

// done counts an action that was carried out, or would be.
func (r *Result) done(a Action, bytes int64) {
	t := r.tally(a.From.Other())
	switch a.Op {
	case OpCopy:
		t.Files++
		t.Bytes += bytes
	case OpLink:
		t.Links++
	case OpFolder:
		t.Folders++
	case OpAttr:
		r.Attributes++
	case OpNone:
		r.unchanged(a)
	}
	if a.Delete {
		r.Deleted++
	}
}

func (r *Result) unchanged(a Action) {
	switch {
	case a.Source.Kind == File && a.Target.Kind == File,
		a.Source.Kind == Symlink && a.Target.Kind == Symlink:
		r.Unchanged++
	}
}

func (r *Result) skipped(a Action) {
	switch a.Why {
	case WhyLeft:
		r.LeftAlone++
		r.LeftNames = keepName(r.LeftNames, a.Path)
	case WhyUnsafe:
		r.Unsafe++
		r.UnsafeNames = keepName(r.UnsafeNames, a.Path)
	case WhyElsewhere:
		r.Elsewhere++
	case WhyKeepNewer:
		r.KeptNewer++
	case WhySettling:
		r.Settling++
	case WhyBusy:
		r.Busy++
	case WhyFiltered:
		r.Filtered++
	case WhyUnverified:
		r.Unverified++
	case WhyInUse:
		r.InUse++
	default:
		r.Special++
	}
}

func (r *Result) conflict(p Problem) {
	r.ConflictCount++
	if len(r.Conflicts) < keptProblems {
		r.Conflicts = append(r.Conflicts, p)
	}
}

func (r *Result) failed(p Problem) {
	r.FailureCount++
	if len(r.Failures) < keptProblems {
		r.Failures = append(r.Failures, p)
	}
}

func keepName(names []string, name string) []string {
	if len(names) < keptNames {
		names = append(names, name)
	}
	return names
}
