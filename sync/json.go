package sync

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// A line is an event as a JSON object for programs. Fields may be added.
type line struct {
	Event     EventKind     `json:"event"`
	Time      time.Time     `json:"time"`
	Op        string        `json:"op,omitempty"`
	Path      string        `json:"path,omitempty"`
	PathBytes []byte        `json:"path_bytes,omitempty"` // base64, when path is not UTF-8
	From      string        `json:"from,omitempty"`
	Why       Why           `json:"why,omitempty"`
	Size      int64         `json:"size,omitempty"`
	Bytes     int64         `json:"bytes,omitempty"`
	Delete    bool          `json:"delete_source,omitempty"`
	Side      string        `json:"side,omitempty"`
	Error     string        `json:"error,omitempty"`
	Progress  *progressLine `json:"progress,omitempty"`
	Result    *resultLine   `json:"result,omitempty"`
}

type progressLine struct {
	Elapsed    float64 `json:"elapsed"` // seconds
	Scanned    bool    `json:"scanned"`
	Folders    int64   `json:"folders"`
	Seen       int64   `json:"seen"`
	Files      int64   `json:"files"`
	FilesTotal int64   `json:"files_total"`
	Bytes      int64   `json:"bytes"`
	BytesTotal int64   `json:"bytes_total"`
	Rate       int64   `json:"bytes_per_second"`
	Left       float64 `json:"left,omitempty"` // seconds
	Problems   int64   `json:"problems"`
}

// A resultLine is a Result, and what of it has another form for programs.
type resultLine struct {
	Mode    string    `json:"mode"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	*Result
	Partial bool `json:"partial"`
}

// MarshalJSON gives the event in the form that the manual describes.
func (e Event) MarshalJSON() ([]byte, error) {
	l := line{Event: e.Kind, Time: e.Time.UTC(), Bytes: e.Bytes}
	switch e.Kind {
	case EventProgress:
		l.Progress = e.Progress.line()
	case EventResult:
		l.Result = e.Result.line()
	default:
		l.action(e.Action)
	}
	if e.Err != nil {
		l.Error, l.Side = e.Err.Error(), e.Side.String()
	}
	return json.Marshal(l)
}

func (l *line) action(a Action) {
	l.Op, l.Path, l.From = a.Op.String(), a.Path, a.From.String()
	l.Why, l.Size, l.Delete = a.Why, a.Source.Size, a.Delete
	if !utf8.ValidString(a.Path) {
		l.PathBytes = []byte(a.Path)
	}
}

func (p Progress) line() *progressLine {
	return &progressLine{
		Elapsed: p.Elapsed.Seconds(), Scanned: p.Scanned, Folders: p.Folders, Seen: p.Seen,
		Files: p.Files, FilesTotal: p.FilesTotal, Bytes: p.Bytes, BytesTotal: p.BytesTotal,
		Rate: p.Rate, Left: p.Left().Seconds(), Problems: p.Problems,
	}
}

func (r *Result) line() *resultLine {
	return &resultLine{Mode: r.Mode.String(), Began: r.Began.UTC(), Seconds: r.Duration.Seconds(), Result: r, Partial: r.Partial()}
}
