package serve

import (
	"encoding/binary"
	"io"
	"strconv"
	"strings"
	"syscall"
)

// Packet types and attribute flags of draft-ietf-secsh-filexfer-02, sections 3
// and 5.
const (
	fxpOpen    = 3
	fxpRead    = 5
	fxpWrite   = 6
	fxpOpendir = 11
	fxpMkdir   = 14
	fxpSymlink = 20

	pflagsBoth = 1 | 2 // SSH_FXF_READ and SSH_FXF_WRITE

	attrSize        = 1 << 0
	attrUIDGID      = 1 << 1
	attrPermissions = 1 << 2
)

// maxPacket is the longest packet pkg/sftp takes.
const maxPacket = 256 << 10

// packets is the stream of a client's requests on its way to the request
// server. It is edited where that server would go wrong:
//
//   - OPEN and MKDIR lose their permissions there, so here these are put behind
//     the path, after a NUL, where cutMark finds them. A NUL is in no path that a
//     file can have, and cutMark takes the last one, so a client gains nothing by
//     sending such a path itself.
//   - A READ of a handle opened for writing overwrites the file with zeros there,
//     and a WRITE to one opened for reading is answered with data, because it goes
//     by how the handle was opened and not by the packet. So every OPEN asks for
//     both; what the client asked for goes behind the path as well, the file is
//     opened so, and the kernel refuses the rest.
//   - A READ of an open folder is answered with names there. Handles are numbered
//     as OPENs and OPENDIRs come, so it is known which are folders; a READ or WRITE
//     of one names no handle then.
//   - It takes a SYMLINK in OpenSSH's order, the target first. That of a client which
//     keeps to the draft's is put in the other order.
//
// All other packets pass untouched and uncopied. Each takes its turn before anything
// of it is handed out.
type packets struct {
	r       io.Reader
	handles *handles
	turns   *turns
	draft   bool   // SYMLINKs come in the draft's order
	pending []byte // to be handed out first
	rest    int64  // then so many bytes as they come
}

// Read is an io.Reader's.
func (p *packets) Read(b []byte) (int, error) {
	if len(p.pending) == 0 && p.rest == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	if len(p.pending) > 0 {
		n := copy(b, p.pending)
		p.pending = p.pending[n:]
		return n, nil
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.rest)])
	p.rest -= int64(n)
	return n, err
}

// next reads the head of a packet, and the body of those that are edited. A
// length of nothing or of too much is for the request server to refuse.
func (p *packets) next() error {
	head := make([]byte, 4, 64)
	if _, err := io.ReadFull(p.r, head); err != nil {
		return err
	}
	length := int64(binary.BigEndian.Uint32(head))
	if length == 0 || length > maxPacket {
		p.pending, p.rest = head, length
		return nil
	}
	head = head[:5]
	if _, err := io.ReadFull(p.r, head[4:]); err != nil {
		return err
	}
	if !p.turns.take(head[4] == fxpRead) {
		return io.EOF
	}
	switch head[4] {
	case fxpOpen:
		p.handles.asked(false)
		return p.nextEdited(head, length, mark)
	case fxpMkdir:
		return p.nextEdited(head, length, mark)
	case fxpSymlink:
		if p.draft {
			return p.nextEdited(head, length, swapStrings)
		}
	case fxpRead, fxpWrite:
		return p.nextData(head, length)
	case fxpOpendir:
		p.handles.asked(true)
	}
	p.pending, p.rest = head, length-1
	return nil
}

// nextEdited reads the whole of a packet and edits it.
func (p *packets) nextEdited(head []byte, length int64, edit func([]byte) []byte) error {
	packet := make([]byte, 4+length)
	copy(packet, head)
	if _, err := io.ReadFull(p.r, packet[len(head):]); err != nil {
		return err
	}
	p.pending = edit(packet)
	return nil
}

// longestHandle is longer than any that the request server gives.
const longestHandle = 20

// nextData reads a READ or WRITE up to the end of its handle.
func (p *packets) nextData(head []byte, length int64) error {
	const upTo = 4 + 1 + 4 + 4 // length, type, id, length of the handle
	if length < upTo-4 {
		p.pending, p.rest = head, length-1
		return nil
	}
	head = head[:upTo]
	if _, err := io.ReadFull(p.r, head[5:]); err != nil {
		return err
	}
	p.pending, p.rest = head, length-(upTo-4)
	size := int64(binary.BigEndian.Uint32(head[9:]))
	if size > longestHandle || size > p.rest {
		return nil
	}
	head = head[:upTo+size]
	if _, err := io.ReadFull(p.r, head[upTo:]); err != nil {
		return err
	}
	if p.handles.isFolder(string(head[upTo:])) {
		clear(head[upTo:]) // a handle of NULs, which was given to nobody
	}
	p.pending, p.rest = head, p.rest-size
	return nil
}

// mark gives an OPEN or MKDIR packet with its permissions, and what an OPEN asks
// for, behind its path. A malformed packet is given back as it is.
func mark(packet []byte) []byte {
	path, afterPath, ok := cutString(packet[min(9, len(packet)):])
	if !ok {
		return packet
	}
	attrs, m := afterPath, pathMark{}
	if packet[4] == fxpOpen {
		if len(attrs) < 4 {
			return packet
		}
		m.pflags, attrs = binary.BigEndian.Uint32(attrs), attrs[4:]
	}
	m.mode, m.hasMode = permissions(attrs)
	longer := append([]byte(nil), packet[:9]...)
	name := path + m.String()
	longer = binary.BigEndian.AppendUint32(longer, uint32(len(name)))
	longer = append(longer, name...)
	if packet[4] == fxpOpen {
		longer = binary.BigEndian.AppendUint32(longer, pflagsBoth)
	}
	longer = append(longer, attrs...)
	binary.BigEndian.PutUint32(longer, uint32(len(longer)-4))
	return longer
}

// swapStrings exchanges the two strings of a packet. A malformed one is given back as
// it is.
func swapStrings(packet []byte) []byte {
	first, rest, ok := cutString(packet[min(9, len(packet)):])
	if !ok {
		return packet
	}
	second, rest, ok := cutString(rest)
	if !ok {
		return packet
	}
	swapped := append([]byte(nil), packet[:9]...)
	for _, s := range []string{second, first} {
		swapped = binary.BigEndian.AppendUint32(swapped, uint32(len(s)))
		swapped = append(swapped, s...)
	}
	return append(swapped, rest...)
}

// permissions finds the permissions in an encoded ATTRS.
func permissions(attrs []byte) (uint32, bool) {
	if len(attrs) < 4 {
		return 0, false
	}
	flags, attrs := binary.BigEndian.Uint32(attrs), attrs[4:]
	skip := 0
	if flags&attrSize != 0 {
		skip += 8
	}
	if flags&attrUIDGID != 0 {
		skip += 8
	}
	if flags&attrPermissions == 0 || len(attrs) < skip+4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(attrs[skip:]) & 0o7777, true
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if n > uint64(len(b)-4) {
		return "", nil, false
	}
	return string(b[4 : 4+n]), b[4+n:], true
}

// A pathMark is what of a packet goes behind its path.
type pathMark struct {
	mode    uint32
	hasMode bool
	pflags  uint32 // of an OPEN
}

// String is a NUL, the mode in octal digits if there is one, a dot, and pflags.
func (m pathMark) String() string {
	mode := ""
	if m.hasMode {
		mode = strconv.FormatUint(uint64(m.mode), 8)
	}
	return "\x00" + mode + "." + strconv.FormatUint(uint64(m.pflags), 10)
}

// cutMark separates a path from its mark; the mode of one without is fallback. A
// path without a mark did not come through packets.
func cutMark(path string, fallback uint32) (string, pathMark, error) {
	i := strings.LastIndexByte(path, 0)
	if i < 0 {
		return "", pathMark{}, syscall.EINVAL
	}
	mode, pflags, _ := strings.Cut(path[i+1:], ".")
	m := pathMark{mode: fallback}
	if n, err := strconv.ParseUint(mode, 8, 12); mode != "" && err == nil {
		m.mode, m.hasMode = uint32(n), true
	}
	n, err := strconv.ParseUint(pflags, 10, 32)
	if err != nil {
		return "", m, syscall.EINVAL
	}
	m.pflags = uint32(n)
	return path[:i], m, nil
}
