package serve

import (
	"encoding/binary"
	"io"
	"strconv"
	"strings"
)

// Packet types and attribute flags of draft-ietf-secsh-filexfer-02, sections 3
// and 5.
const (
	fxpOpen  = 3
	fxpMkdir = 14

	attrSize        = 1 << 0
	attrUIDGID      = 1 << 1
	attrPermissions = 1 << 2
)

// maxPacket is the longest packet pkg/sftp takes.
const maxPacket = 256 << 10

// packets is the stream of a client's requests on its way to the request
// server. OPEN and MKDIR lose their permissions there, so here these are put
// behind the path, after a NUL, where withMode finds them. A NUL is in no path
// that a file can have, and withMode takes the last one, so a client gains
// nothing by sending such a path itself. All other packets pass untouched and
// uncopied.
type packets struct {
	r       io.Reader
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
	if head[4] != fxpOpen && head[4] != fxpMkdir {
		p.pending, p.rest = head, length-1
		return nil
	}
	packet := make([]byte, 4+length, 4+length+16)
	copy(packet, head)
	if _, err := io.ReadFull(p.r, packet[5:]); err != nil {
		return err
	}
	p.pending = moveMode(packet)
	return nil
}

// moveMode gives an OPEN or MKDIR packet with its permissions behind its path.
// A packet without permissions, or malformed, is given back as it is.
func moveMode(packet []byte) []byte {
	path, afterPath, ok := cutString(packet[min(9, len(packet)):])
	if !ok {
		return packet
	}
	attrs := afterPath
	if packet[4] == fxpOpen {
		if len(attrs) < 4 {
			return packet
		}
		attrs = attrs[4:] // pflags
	}
	mode, ok := permissions(attrs)
	if !ok {
		return packet
	}
	longer := append([]byte(nil), packet[:9]...)
	name := path + modeMark(mode)
	longer = binary.BigEndian.AppendUint32(longer, uint32(len(name)))
	longer = append(longer, name...)
	longer = append(longer, afterPath...)
	binary.BigEndian.PutUint32(longer, uint32(len(longer)-4))
	return longer
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

func modeMark(mode uint32) string {
	return "\x00" + strconv.FormatUint(uint64(mode), 8)
}

// withMode separates a path from the permissions that moveMode put behind it;
// missing ones are fallback.
func withMode(path string, fallback uint32) (string, uint32) {
	i := strings.LastIndexByte(path, 0)
	if i < 0 {
		return path, fallback
	}
	mode, err := strconv.ParseUint(path[i+1:], 8, 12)
	if err != nil {
		return path, fallback
	}
	return path[:i], uint32(mode)
}
