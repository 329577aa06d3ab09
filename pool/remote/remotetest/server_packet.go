package remotetest

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Packet types, draft-ietf-secsh-filexfer-02 section 3.
const (
	typeInit          = 1
	typeVersion       = 2
	typeOpen          = 3
	typeClose         = 4
	typeRead          = 5
	typeWrite         = 6
	typeLstat         = 7
	typeFstat         = 8
	typeSetstat       = 9
	typeFsetstat      = 10
	typeOpenDir       = 11
	typeReadDir       = 12
	typeRemove        = 13
	typeMkdir         = 14
	typeRmdir         = 15
	typeRealPath      = 16
	typeStat          = 17
	typeRename        = 18
	typeReadLink      = 19
	typeSymlink       = 20
	typeStatus        = 101
	typeHandle        = 102
	typeData          = 103
	typeNames         = 104
	typeAttrs         = 105
	typeExtended      = 200
	typeExtendedReply = 201
)

// typeName is how tests call a request.
func typeName(m message) string {
	if m.kind == typeExtended {
		return m.ext
	}
	names := [...]string{
		typeOpen: "OPEN", typeClose: "CLOSE", typeRead: "READ", typeWrite: "WRITE", typeLstat: "LSTAT",
		typeFstat: "FSTAT", typeSetstat: "SETSTAT", typeFsetstat: "FSETSTAT", typeOpenDir: "OPENDIR",
		typeReadDir: "READDIR", typeRemove: "REMOVE", typeMkdir: "MKDIR", typeRmdir: "RMDIR",
		typeRealPath: "REALPATH", typeStat: "STAT", typeRename: "RENAME", typeReadLink: "READLINK",
		typeSymlink: "SYMLINK",
	}
	if int(m.kind) >= len(names) {
		return ""
	}
	return names[m.kind]
}

var errMalformed = errors.New("malformed packet")

// maxMessage is the longest packet that OpenSSH's server takes.
const maxMessage = 256 << 10

// A packet is a request without its length.
type packet struct {
	kind byte
	body []byte
}

// cutPacket takes the first packet off b. rest is nil when it is not whole.
func cutPacket(b []byte) (p packet, rest []byte, err error) {
	if len(b) < 4 {
		return packet{}, nil, nil
	}
	n := binary.BigEndian.Uint32(b)
	if n < 1 || n > maxMessage {
		return packet{}, nil, errMalformed
	}
	if uint32(len(b)-4) < n {
		return packet{}, nil, nil
	}
	return packet{kind: b[4], body: b[5 : 4+n]}, b[4+n:], nil
}

// attrs are attributes on the wire, section 5.
type attrs struct {
	flags                               uint32
	size                                uint64
	uid, gid, permissions, atime, mtime uint32
}

const (
	attrSize        = 1
	attrUIDGID      = 2
	attrPermissions = 4
	attrACModTime   = 8
	attrExtended    = 0x80000000
)

// A message is a request taken apart. Each type uses the fields it has.
type message struct {
	kind         byte
	id           uint32
	ext          string
	path, target string
	handle       string
	second       string // copy-data writes to it
	off, to, n   uint64
	flags        uint32
	attrs        attrs
	data         []byte
}

func parse(p packet) (message, error) {
	d := decoder{b: p.body}
	m := message{kind: p.kind, id: d.uint32()}
	switch p.kind {
	case typeOpen:
		m.path, m.flags, m.attrs = d.string(), d.uint32(), d.attrs()
	case typeClose, typeFstat, typeReadDir:
		m.handle = d.string()
	case typeRead:
		m.handle, m.off, m.n = d.string(), d.uint64(), uint64(d.uint32())
	case typeWrite:
		m.handle, m.off, m.data = d.string(), d.uint64(), []byte(d.string())
	case typeLstat, typeStat, typeOpenDir, typeRemove, typeRmdir, typeRealPath, typeReadLink:
		m.path = d.string()
	case typeSetstat, typeMkdir:
		m.path, m.attrs = d.string(), d.attrs()
	case typeFsetstat:
		m.handle, m.attrs = d.string(), d.attrs()
	case typeRename:
		m.path, m.target = d.string(), d.string()
	case typeSymlink: // the arguments are OpenSSH's way round
		m.target, m.path = d.string(), d.string()
	case typeExtended:
		m.ext = d.string()
		d.extended(&m)
	}
	if d.failed {
		return message{}, errMalformed
	}
	return m, nil
}

// extended are the arguments of OpenSSH's extensions, PROTOCOL section 4.
func (d *decoder) extended(m *message) {
	switch m.ext {
	case "posix-rename@openssh.com", "hardlink@openssh.com":
		m.path, m.target = d.string(), d.string()
	case "statvfs@openssh.com", "expand-path@openssh.com", "home-directory":
		m.path = d.string()
	case "fstatvfs@openssh.com", "fsync@openssh.com":
		m.handle = d.string()
	case "lsetstat@openssh.com":
		m.path, m.attrs = d.string(), d.attrs()
	case "copy-data":
		m.handle, m.off, m.n = d.string(), d.uint64(), d.uint64()
		m.second, m.to = d.string(), d.uint64()
	case "users-groups-by-id@openssh.com":
		m.path, m.target = d.string(), d.string()
	}
}

// A decoder reads what a packet is made of; failed is set when it is too short.
type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.failed, d.b = true, nil
		return make([]byte, min(max(n, 0), 8))
	}
	head := d.b[:n]
	d.b = d.b[n:]
	return head
}

func (d *decoder) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) string() string { return string(d.take(int(d.uint32()))) }

func (d *decoder) attrs() attrs {
	a := attrs{flags: d.uint32()}
	if a.flags&attrSize != 0 {
		a.size = d.uint64()
	}
	if a.flags&attrUIDGID != 0 {
		a.uid, a.gid = d.uint32(), d.uint32()
	}
	if a.flags&attrPermissions != 0 {
		a.permissions = d.uint32()
	}
	if a.flags&attrACModTime != 0 {
		a.atime, a.mtime = d.uint32(), d.uint32()
	}
	if a.flags&attrExtended != 0 {
		for n := d.uint32(); n > 0 && !d.failed; n-- {
			_, _ = d.string(), d.string()
		}
	}
	return a
}

// A reply is an answer in the making.
type reply struct{ b []byte }

// newReply begins a packet of that type.
func newReply(kind byte) *reply { return &reply{b: []byte{0, 0, 0, 0, kind}} }

// answer begins an answer to m.
func (m message) answer(kind byte) *reply {
	r := newReply(kind)
	r.uint32(m.id)
	return r
}

// packet is the answer with its length.
func (r *reply) packet() []byte {
	binary.BigEndian.PutUint32(r.b, uint32(len(r.b)-4))
	return r.b
}

func (r *reply) uint32(v uint32) { r.b = binary.BigEndian.AppendUint32(r.b, v) }
func (r *reply) uint64(v uint64) { r.b = binary.BigEndian.AppendUint64(r.b, v) }

func (r *reply) string(s string) {
	r.uint32(uint32(len(s)))
	r.b = append(r.b, s...)
}

// attrs describes a file, by a clock that is ahead of that of the disk.
func (r *reply) attrs(st *unix.Stat_t, ahead time.Duration) {
	r.uint32(attrSize | attrUIDGID | attrPermissions | attrACModTime)
	r.uint64(uint64(st.Size))
	off := int64(ahead / time.Second)
	for _, v := range []uint32{st.Uid, st.Gid, st.Mode, uint32(st.Atim.Sec + off), uint32(st.Mtim.Sec + off)} {
		r.uint32(v)
	}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
