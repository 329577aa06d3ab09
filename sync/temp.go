package sync

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Temporary files are named
//
//	.remotemount-sync-OOOOOOOO-TTTTTTTTRRRR-pVVVVVVVVVVVVVVVV-CCCC.part
//	.remotemount-sync-OOOOOOOO-TTTTTTTTRRRR-aNNNNNNNNNNNNNNNN-CCCC.NAME
//
// The first is a copy being written, the second a source set aside just before it is
// removed. With o for a it is a target set aside just before it is replaced, on
// servers that cannot rename over a file; with q for p, a file made to find out about
// a side. O is the owner: this pair of folders on this machine, for
// this user; whoever holds the pair's lock may take up what an earlier run of it
// has left. T is when the run began, in seconds, and R random: together they name
// the run. V is the version of the source (name, size, mtime), so a part of an
// older version never matches. N is the name alone; it follows in clear where
// there is room, because after a crash it may stand nowhere else. C is a sum over
// the rest: no other program makes such a name by chance.
//
// The age stands in the name because a part gets its source's time, which may be
// years back, before it gets its place.
const (
	tempPrefix    = ".remotemount-sync-"
	partSuffix    = ".part" // unless Config says otherwise
	partKind      = 'p'
	oldKind       = 'o'
	asideKind     = 'a'
	probeKind     = 'q'
	fieldsLength  = len(tempPrefix) + 8 + 1 + 12 + 1 + 17 + 1 + 4
	longestName   = 255 // bytes, on nearly all filesystems
	orphanAge     = 7 * 24 * 3600
	versionDigits = 16
)

// A runName is what the temporary files of one run have in common.
type runName struct{ owner, run, suffix string }

func newRunName(owner string, began time.Time, suffix string) runName {
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails
	if suffix == "" {
		suffix = partSuffix
	}
	return runName{owner, fmt.Sprintf("%08x%x", uint32(began.Unix()), random), suffix}
}

// ownerOf shortens what names a pair.
func ownerOf(pair string) string {
	sum := sha256.Sum256([]byte(pair))
	return hex.EncodeToString(sum[:4])
}

func (r runName) name(kind byte, hash string) string {
	fields := fmt.Sprintf("%s%s-%s-%c%s-", tempPrefix, r.owner, r.run, kind, hash)
	return fields + checksum(fields)
}

// part is the name under which a version of a file is written.
func (r runName) part(name string, i Item) string {
	return r.name(partKind, versionHash(name, i)) + r.suffix
}

// aside is the name that a source has while it is removed.
func (r runName) aside(name string) string { return r.named(asideKind, name) }

// old is the name that a target has while it is replaced.
func (r runName) old(name string) string { return r.named(oldKind, name) }

// asideShort and oldShort are for a filesystem of short names.
func (r runName) asideShort(name string) string { return r.name(asideKind, short(name, nil)) }
func (r runName) oldShort(name string) string   { return r.name(oldKind, short(name, nil)) }

func (r runName) named(kind byte, name string) string {
	temp := r.name(kind, short(name, nil))
	if clear := temp + "." + name; len(clear) <= longestName {
		return clear
	}
	return temp
}

// probe is a name that nothing has.
func (r runName) probe() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return r.name(probeKind, hex.EncodeToString(random[:])) + r.suffix
}

func versionHash(name string, i Item) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(i.Size))
	binary.BigEndian.PutUint64(b[8:], uint64(i.Mtime))
	return short(name, b[:])
}

func short(name string, more []byte) string {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write(more)
	return hex.EncodeToString(h.Sum(nil)[:versionDigits/2])
}

func checksum(fields string) string {
	sum := sha256.Sum256([]byte(fields))
	return hex.EncodeToString(sum[:2])
}

// A temp is what the name of a temporary file tells.
type temp struct {
	Named
	owner, run string
	began      int64 // when its run began, seconds
	kind       byte
	hash       string
	clear      string // of a file set aside: the name it had, where there was room
}

// parseTemp reads the name of a temporary file of any run.
func parseTemp(n Named) (temp, bool) {
	t := temp{Named: n}
	rest, ok := strings.CutPrefix(n.Name, tempPrefix)
	if !ok || len(n.Name) < fieldsLength {
		return t, false
	}
	fields := n.Name[:fieldsLength-4]
	t.owner, t.run, t.kind, t.hash = rest[:8], rest[9:21], rest[22], rest[23:39]
	made := runName{owner: t.owner, run: t.run}.name(t.kind, t.hash)
	if !strings.HasPrefix(n.Name, made) || made[:len(fields)] != fields || !strings.ContainsRune("poaq", rune(t.kind)) {
		return t, false
	}
	began, err := strconv.ParseUint(t.run[:8], 16, 32)
	if err != nil {
		return t, false
	}
	t.began = int64(began)
	if t.isAside() {
		t.clear = strings.TrimPrefix(n.Name[fieldsLength:], ".")
	}
	return t, true
}

// isAside reports whether it is a whole file that had another name.
func (t temp) isAside() bool { return t.kind == asideKind || t.kind == oldKind }

// had reports whether a file set aside had a name before.
func (t temp) had(name string) bool {
	return t.clear == name || t.clear == "" && t.hash == short(name, nil)
}

// mountNames are what mounts, and connections to servers without posix-rename, call files
// for a while: what was removed and is open, what is replaced, trials.
var mountNames = regexp.MustCompile(`^\.remotemount-(hidden-[0-9a-f]{16}-[0-9]+|replaced-[a-z2-7]{26}|probe-[a-z2-7]{8}-[12]|trial-[a-z2-7]{12})$`)
