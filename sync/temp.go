package sync

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// Temporary files are named
//
//	.remotemount-sync-PPPPPPPP-VVVVVVVVVVVVVVVV.part   a copy being written
//	.remotemount-sync-PPPPPPPP-NNNNNNNNNNNNNNNN.old    the file it is to replace
//
// P is the pair of folders, V the version of the source (name, size, mtime): a
// partial copy of an older version never matches. N is the name alone. Old files
// exist only for the moment of a replacement on servers that cannot rename over
// a file.
const (
	tempPrefix = ".remotemount-sync-"
	partSuffix = ".part"
	oldSuffix  = ".old"

	// orphanAge is when another pair's temporary file is taken for abandoned.
	orphanAge = 7 * 24 * 3600 // seconds
)

// A pairID stands for one pair of folders in names of files.
type pairID string

func newPairID(pair string) pairID {
	sum := sha256.Sum256([]byte(pair))
	return pairID(hex.EncodeToString(sum[:4]))
}

// part is the name under which a version of a file is written.
func (p pairID) part(name string, i Item) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(i.Size))
	binary.BigEndian.PutUint64(b[8:], uint64(i.Mtime))
	return tempPrefix + string(p) + "-" + short(name, b[:]) + partSuffix
}

// old is the name that a file has while it is being replaced.
func (p pairID) old(name string) string {
	return tempPrefix + string(p) + "-" + short(name, nil) + oldSuffix
}

// owns reports whether a temporary file belongs to this pair.
func (p pairID) owns(name string) bool {
	return strings.HasPrefix(name, tempPrefix+string(p)+"-")
}

func short(name string, more []byte) string {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write(more)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// isTemp reports whether a name has the form of a temporary file, of any pair.
func isTemp(name string) bool {
	rest, ok := strings.CutPrefix(name, tempPrefix)
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, partSuffix); !ok {
		rest, ok = strings.CutSuffix(rest, oldSuffix)
	}
	return ok && len(rest) == 8+1+16 && rest[8] == '-' && isHex(rest[:8]) && isHex(rest[9:])
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

func isOld(name string) bool { return strings.HasSuffix(name, oldSuffix) }
