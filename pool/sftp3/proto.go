package sftp3

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// The version of the protocol, draft-ietf-secsh-filexfer-02 section 4.
const protocolVersion = 3

// Packet types, draft section 3. They index Stats.ByType.
const (
	TypeInit          = 1
	TypeVersion       = 2
	TypeOpen          = 3
	TypeClose         = 4
	TypeRead          = 5
	TypeWrite         = 6
	TypeLstat         = 7
	TypeFstat         = 8
	TypeSetstat       = 9
	TypeFsetstat      = 10
	TypeOpenDir       = 11
	TypeReadDir       = 12
	TypeRemove        = 13
	TypeMkdir         = 14
	TypeRmdir         = 15
	TypeRealPath      = 16
	TypeStat          = 17
	TypeRename        = 18
	TypeReadLink      = 19
	TypeSymlink       = 20
	TypeStatus        = 101
	TypeHandle        = 102
	TypeData          = 103
	TypeName          = 104
	TypeAttrs         = 105
	TypeExtended      = 200
	TypeExtendedReply = 201
)

// Flags of OPEN, draft section 6.3 (SSH_FXF_*).
const (
	OpenRead      = 0x01
	OpenWrite     = 0x02
	OpenCreate    = 0x08
	OpenTruncate  = 0x10
	OpenExclusive = 0x20
)

// Flags of Attrs, draft section 5 (SSH_FILEXFER_ATTR_*).
const (
	AttrSize        = 0x00000001
	AttrUIDGID      = 0x00000002
	AttrPermissions = 0x00000004
	AttrACModTime   = 0x00000008
	attrExtended    = 0x80000000
)

// Codes of a StatusError, draft section 7 (SSH_FX_*).
const (
	StatusOK               = 0
	StatusEOF              = 1
	StatusNoSuchFile       = 2
	StatusPermissionDenied = 3
	StatusFailure          = 4
	StatusBadMessage       = 5
	StatusOpUnsupported    = 8
)

// Names of OpenSSH's extensions, as servers advertise them.
const (
	ExtPosixRename = "posix-rename@openssh.com"
	ExtStatVFS     = "statvfs@openssh.com"
	ExtFstatVFS    = "fstatvfs@openssh.com" // never sent: it tells OpenSSH's own server
	ExtHardlink    = "hardlink@openssh.com"
	ExtFsync       = "fsync@openssh.com"
	ExtLsetstat    = "lsetstat@openssh.com"
	ExtLimits      = "limits@openssh.com"
	ExtExpandPath  = "expand-path@openssh.com"
	ExtCopyData    = "copy-data"
	ExtUsersGroups = "users-groups-by-id@openssh.com"
)

// extensionVersion is the version of an extension that this client speaks.
func extensionVersion(name string) string {
	if name == ExtStatVFS {
		return "2"
	}
	return "1"
}

// Handle is an open file or folder, opaque to us. It lives as long as its
// session.
type Handle string

// maxHandle is the longest handle a server may give, draft section 6.3.
const maxHandle = 256

// Attrs are attributes as they stand on the wire; Flags says which of them are
// valid. Permissions is st_mode with the file type; times are seconds since
// 1970. Extended attributes in an answer are skipped.
type Attrs struct {
	Flags       uint32
	Size        uint64
	UID         uint32
	GID         uint32
	Permissions uint32
	Atime       uint32
	Mtime       uint32
}

// Name is one entry of a NAME answer. Nothing in it is checked. Longname shares
// memory with all of its batch, so keep what you need of it, not the string.
type Name struct {
	Filename string
	Longname string
	Attrs    Attrs
}

// StatVFS is the answer of statvfs@openssh.com, with the names of statvfs(3).
type StatVFS struct {
	Bsize   uint64
	Frsize  uint64
	Blocks  uint64
	Bfree   uint64
	Bavail  uint64
	Files   uint64
	Ffree   uint64
	Favail  uint64
	Fsid    uint64
	Flag    uint64
	NameMax uint64
}

// ErrLost is in every error of a request that the session could not finish: the
// server closed the channel or broke the protocol, or we ended the session. The
// request may have been executed, unless the error is also ErrUnsent.
var ErrLost = errors.New("sftp session lost")

// ErrUnsent is in the error of a lost request of which no byte had left.
var ErrUnsent = errors.New("request not sent")

// ErrOldest is in the error of the lost request that had waited longest when the
// session ended. Where the connection went on, that request may be what ended it.
var ErrOldest = errors.New("the oldest request")

// ErrOvertaken is in the error of a session on which an answer came ahead of an
// earlier one although InOrder was set.
var ErrOvertaken = errors.New("an answer overtook an earlier one")

// ErrProtocol is in the error of a session that was ended because the server
// broke the protocol.
var ErrProtocol = errors.New("protocol violation")

// ErrMalformed is, beside ErrProtocol, in the error of the request whose own answer
// broke it. The others of the session are lost, and may be made again.
var ErrMalformed = errors.New("malformed answer")

// ErrTooLong is the error of a WRITE above Limits.MaxWrite. Nothing is sent.
var ErrTooLong = errors.New("write longer than the server's limit")

// StatusError is a STATUS answer other than OK. errors.Is(err, io.EOF) holds
// for StatusEOF.
type StatusError struct {
	Code    uint32
	Message string // what the server said: printable, at most maxMessage bytes
}

const maxMessage = 256

// Error is the server's message, or the name of the code when it sent none.
func (e *StatusError) Error() string {
	if e.Message == "" {
		return "sftp: " + statusText(e.Code)
	}
	return fmt.Sprintf("sftp: %s (%s)", e.Message, statusText(e.Code))
}

// Is makes StatusEOF an io.EOF.
func (e *StatusError) Is(target error) bool {
	return target == io.EOF && e.Code == StatusEOF
}

func statusText(code uint32) string {
	texts := [...]string{"ok", "end of file", "no such file", "permission denied", "failure",
		"bad message", "no connection", "connection lost", "operation unsupported"}
	if int64(code) < int64(len(texts)) {
		return texts[code]
	}
	return fmt.Sprintf("status %d", code)
}

// printable makes text of a server fit to be shown: a terminal must not obey it.
func printable(b []byte) string {
	if len(b) > maxMessage {
		b = b[:maxMessage]
	}
	clean := func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}
	return strings.Map(clean, strings.ToValidUTF8(string(b), "?"))
}
