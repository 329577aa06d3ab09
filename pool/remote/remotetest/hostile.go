package remotetest

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// A Corruption makes something else of the answer to a request: the bytes that
// are sent in its place, and whether the session ends then. The answer is a whole
// packet, with its length.
type Corruption func(r Request, answer []byte) (sent []byte, end bool)

// Corrupt sends every answer from now on through c; nil sends them as they are.
// The answer to INIT is one to a request of that type.
func (s *Server) Corrupt(c Corruption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corrupt = c
}

func (s *Server) corruption() Corruption {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.corrupt
}

// A Lie is one way of answering as no server should.
type Lie struct {
	Name  string
	Types string // of requests it is for, as for Server.Next; "" is any
	Tell  Corruption

	// Stalls: the client waits for the rest of a packet, behind which every other
	// answer of the session would come.
	Stalls bool

	// Endless: who wants all of it waits until it gives up.
	Endless bool
}

// Fits reports whether the lie can be told in answer to a request of that type.
func (l Lie) Fits(kind string) bool {
	return l.Types == "" && kind != "INIT" || (&Trap{kind: l.Types}).meets(Request{Type: kind}) && l.Types != ""
}

// Requests are the types of request that a mount, browse, doctor and sync send.
func RequestTypes() []string {
	return []string{"INIT", "REALPATH", "STAT", "LSTAT", "FSTAT", "OPENDIR", "READDIR", "OPEN", "READ", "WRITE", "CLOSE",
		"SETSTAT", "FSETSTAT", "MKDIR", "RMDIR", "REMOVE", "READLINK", "SYMLINK", "posix-rename@openssh.com",
		"hardlink@openssh.com", "statvfs@openssh.com", "limits@openssh.com", "fsync@openssh.com", "lsetstat@openssh.com", "copy-data"}
}

// Lies are all of them: on every answer, and on those of one form.
func Lies() []Lie {
	return append(append(append(anyLies(), statusLies()...), resultLies()...), nameLies()...)
}

// packetOf is a packet of a type, to the request that answer was for.
func packetOf(kind byte, answer []byte, body ...[]byte) []byte {
	b := append([]byte{0, 0, 0, 0, kind}, answer[5:9]...)
	for _, part := range body {
		b = append(b, part...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func u32(v uint32) []byte     { return binary.BigEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte     { return binary.BigEndian.AppendUint64(nil, v) }
func text(s string) []byte    { return append(u32(uint32(len(s))), s...) }
func many(b []byte) []byte    { return bytes.Repeat(b, 100) }
func edited(b []byte) []byte  { return bytes.Clone(b) }
func zeros(n int) []byte      { return make([]byte, n) }
func long(n int) string       { return strings.Repeat("x", n) }
func status(c uint32) []byte  { return append(append(u32(c), text("")...), text("")...) }
func plain(mode uint32) attrs { return attrs{flags: attrPermissions, permissions: mode} }

// as makes a Corruption of what keeps the session.
func as(make func(answer []byte) []byte) Corruption {
	return func(_ Request, answer []byte) ([]byte, bool) { return make(answer), false }
}

// instead answers with a packet of another type or body.
func instead(kind byte, body ...[]byte) Corruption {
	return as(func(a []byte) []byte { return packetOf(kind, a, body...) })
}

// length lies about the packet's length.
func length(of func(n uint32) uint32) Corruption {
	return as(func(a []byte) []byte {
		b := edited(a)
		binary.BigEndian.PutUint32(b, of(binary.BigEndian.Uint32(b)))
		return b
	})
}

// anyLies can be told of every answer.
func anyLies() []Lie {
	constant := func(n uint32) func(uint32) uint32 { return func(uint32) uint32 { return n } }
	id := func(change func(uint32) uint32) Corruption {
		return as(func(a []byte) []byte {
			b := edited(a)
			binary.BigEndian.PutUint32(b[5:], change(binary.BigEndian.Uint32(b[5:])))
			return b
		})
	}
	return []Lie{
		{Name: "of length 0", Tell: length(constant(0))},
		{Name: "of length 1", Tell: length(constant(1))},
		{Name: "of length 4", Tell: length(constant(4))},
		{Name: "of length 2^31", Tell: length(constant(1 << 31))},
		{Name: "of length 2^32-1", Tell: length(constant(1<<32 - 1))},
		{Name: "longer than it is", Tell: length(func(n uint32) uint32 { return n + 1 }), Stalls: true},
		{Name: "shorter than it is", Tell: length(func(n uint32) uint32 { return n - 1 })},
		{Name: "cut off, and the end", Tell: func(_ Request, a []byte) ([]byte, bool) { return a[:len(a)-1], true }},
		{Name: "cut off in its head, and the end", Tell: func(_ Request, a []byte) ([]byte, bool) { return a[:6], true }},
		{Name: "nothing, and the end", Tell: func(Request, []byte) ([]byte, bool) { return nil, true }},
		{Name: "to request 2^32-1", Tell: id(constant(1<<32 - 1))},
		{Name: "to the next request", Tell: id(func(n uint32) uint32 { return n + 1 })},
		{Name: "to the request before", Tell: id(func(n uint32) uint32 { return n - 1 })},
		{Name: "given twice", Tell: as(func(a []byte) []byte { return append(edited(a), a...) })},
		{Name: "given a hundred times", Tell: as(many)},
		{Name: "after a VERSION", Tell: as(func(a []byte) []byte { return append(packetOf(typeVersion, append(zeros(5), u32(3)...)), a...) })},
		{Name: "after noise", Tell: as(func(a []byte) []byte { return append([]byte("Welcome!\r\n"), a...) })},
		{Name: "with nothing in it", Tell: as(func(a []byte) []byte { return packetOf(a[4], a) })},
		{Name: "of zeros", Tell: as(func(a []byte) []byte { return packetOf(a[4], a, zeros(len(a)-9)) })},
		{Name: "of ones", Tell: as(func(a []byte) []byte { return packetOf(a[4], a, bytes.Repeat([]byte{0xff}, len(a)-9)) })},
		{Name: "with 200 KiB behind it", Tell: as(func(a []byte) []byte { return packetOf(a[4], a, a[9:], zeros(200<<10)) })},
		{Name: "of type 0", Tell: as(func(a []byte) []byte { return packetOf(0, a, a[9:]) })},
		{Name: "of type 255", Tell: as(func(a []byte) []byte { return packetOf(255, a, a[9:]) })},
		{Name: "that is a request", Tell: as(func(a []byte) []byte { return packetOf(typeRead, a, a[9:]) })},

		{Name: "VERSION 2", Types: "INIT", Tell: as(func([]byte) []byte { return packetOf(typeVersion, append(zeros(5), u32(2)...)) })},
		{Name: "VERSION 6", Types: "INIT", Tell: as(func([]byte) []byte { return packetOf(typeVersion, append(zeros(5), u32(6)...)) })},
		{Name: "a login message", Types: "INIT", Tell: as(func([]byte) []byte { return []byte("\x1b[2JLast login: never\n") })},
		{Name: "VERSION with half an extension", Types: "INIT", Tell: as(func(a []byte) []byte { return packetOf(typeVersion, a, text("x")) })},
		{Name: "VERSION with an extension of 64 KiB", Types: "INIT", Tell: as(func(a []byte) []byte { return packetOf(typeVersion, a, text(long(64<<10)), text("")) })},
		{Name: "VERSION twice", Types: "INIT", Tell: as(func(a []byte) []byte { return append(edited(a), a...) })},
		{Name: "nothing but the end", Types: "INIT", Tell: func(Request, []byte) ([]byte, bool) { return nil, true }},
	}
}

// statusLies answer with a STATUS that means nothing here.
func statusLies() []Lie {
	return []Lie{
		{Name: "STATUS OK in place of a result", Tell: instead(typeStatus, status(0))},
		{Name: "STATUS EOF", Tell: instead(typeStatus, status(1))},
		{Name: "STATUS 2^32-1", Tell: instead(typeStatus, status(1<<32-1))},
		{Name: "STATUS cut off", Tell: instead(typeStatus, u32(4), u32(100))},
		{Name: "STATUS with a message that is longer than it", Tell: instead(typeStatus, u32(4), u32(1<<32-1), []byte("x"))},
		{Name: "STATUS with a message of 200 KiB", Tell: instead(typeStatus, u32(4), text(long(200<<10)), text(""))},
		{Name: "STATUS that speaks to the terminal", Tell: instead(typeStatus, u32(4), text("\x1b]0;x\x07\x1b[2J\r\n\u202eok\u0085\xff"), text("\x1b[2J"))},
		{Name: "NAME in its place", Endless: true, Tell: instead(typeNames, u32(1), text("x"), text("x"), u32(0))},
		{Name: "DATA in its place", Tell: instead(typeData, text("data"))},
		{Name: "HANDLE in its place", Tell: instead(typeHandle, text("1"))},
		{Name: "ATTRS in its place", Tell: instead(typeAttrs, u32(0))},
		{Name: "an answer of an extension in its place", Tell: instead(typeExtendedReply, zeros(88))},
	}
}

// encode writes attributes.
func (a attrs) encode() []byte {
	b := u32(a.flags)
	if a.flags&attrSize != 0 {
		b = append(b, u64(a.size)...)
	}
	if a.flags&attrUIDGID != 0 {
		b = append(append(b, u32(a.uid)...), u32(a.gid)...)
	}
	if a.flags&attrPermissions != 0 {
		b = append(b, u32(a.permissions)...)
	}
	if a.flags&attrACModTime != 0 {
		b = append(append(b, u32(a.atime)...), u32(a.mtime)...)
	}
	return b
}
