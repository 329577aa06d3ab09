package sftp3

import (
	"encoding/binary"
)

// A packet is uint32 length, byte type, uint32 id, and what the type has; the
// length does not count itself.
const (
	lengthSize = 4
	headerSize = lengthSize + 1 + 4
	idOffset   = lengthSize + 1
)

// beginPacket starts a packet in b, which is reused. The id is set when the
// request is queued, the length by endPacket.
func beginPacket(b []byte, kind uint8) []byte {
	return append(b[:0], 0, 0, 0, 0, kind, 0, 0, 0, 0)
}

// endPacket sets the length of a packet that payload bytes will follow.
func endPacket(b []byte, payload int) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-lengthSize+payload))
	return b
}

func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(appendUint32(b, uint32(len(s))), s...)
}

func appendAttrs(b []byte, a Attrs) []byte {
	b = appendUint32(b, a.Flags&(AttrSize|AttrUIDGID|AttrPermissions|AttrACModTime))
	if a.Flags&AttrSize != 0 {
		b = appendUint64(b, a.Size)
	}
	if a.Flags&AttrUIDGID != 0 {
		b = appendUint32(appendUint32(b, a.UID), a.GID)
	}
	if a.Flags&AttrPermissions != 0 {
		b = appendUint32(b, a.Permissions)
	}
	if a.Flags&AttrACModTime != 0 {
		b = appendUint32(appendUint32(b, a.Atime), a.Mtime)
	}
	return b
}

// A cursor reads the body of a packet. After anything that is not there it is
// bad, and gives zeros.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)) {
		c.bad = true
		return nil
	}
	taken := c.b[:n]
	c.b = c.b[n:]
	return taken
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bytes is a string of the protocol; it points into the packet.
func (c *cursor) bytes() []byte { return c.take(uint64(c.uint32())) }

func (c *cursor) attrs() Attrs {
	a := Attrs{Flags: c.uint32()}
	if a.Flags&AttrSize != 0 {
		a.Size = c.uint64()
	}
	if a.Flags&AttrUIDGID != 0 {
		a.UID, a.GID = c.uint32(), c.uint32()
	}
	if a.Flags&AttrPermissions != 0 {
		a.Permissions = c.uint32()
	}
	if a.Flags&AttrACModTime != 0 {
		a.Atime, a.Mtime = c.uint32(), c.uint32()
	}
	if a.Flags&attrExtended != 0 {
		for pairs := c.uint32(); pairs > 0 && !c.bad; pairs-- {
			c.bytes()
			c.bytes()
		}
		a.Flags &^= attrExtended
	}
	return a
}

// minName is the least that one entry of a NAME answer takes: two empty strings
// and attributes without any. It bounds a count before memory is taken for it.
const minName = 12

func (c *cursor) names() []Name {
	count := c.uint32()
	if uint64(count)*minName > uint64(len(c.b)) {
		c.bad = true
		return nil
	}
	text := string(c.b) // long names are cut from one copy of the batch
	names := make([]Name, 0, count)
	for ; count > 0 && !c.bad; count-- {
		file := string(c.bytes())
		long := c.bytes()
		end := len(text) - len(c.b)
		name := Name{Filename: file, Longname: text[end-len(long) : end]}
		name.Attrs = c.attrs()
		names = append(names, name)
	}
	return names
}

func (c *cursor) statVFS() StatVFS {
	return StatVFS{
		Bsize: c.uint64(), Frsize: c.uint64(), Blocks: c.uint64(), Bfree: c.uint64(), Bavail: c.uint64(),
		Files: c.uint64(), Ffree: c.uint64(), Favail: c.uint64(),
		Fsid: c.uint64(), Flag: c.uint64(), NameMax: c.uint64(),
	}
}

// stringList is a string that holds strings, as users-groups-by-id answers.
func (c *cursor) stringList() []string {
	inner := cursor{b: c.bytes()}
	var list []string
	for len(inner.b) > 0 && !inner.bad {
		list = append(list, string(inner.bytes()))
	}
	c.bad = c.bad || inner.bad
	return list
}

// parseStatus reads a STATUS: nil for OK. Old servers send neither message nor
// language.
func parseStatus(body []byte) (*StatusError, bool) {
	c := cursor{b: body}
	code := c.uint32()
	if c.bad || code == StatusOK {
		return nil, !c.bad
	}
	var message []byte
	if len(c.b) > 0 {
		message = c.bytes()
	}
	return &StatusError{Code: code, Message: printable(message)}, !c.bad
}

// parseExtensions reads the extensions that follow the version in a VERSION packet.
func parseExtensions(body []byte) (map[string]string, bool) {
	c := cursor{b: body}
	extensions := make(map[string]string)
	for len(c.b) > 0 && !c.bad {
		name, version := string(c.bytes()), string(c.bytes())
		extensions[name] = version
	}
	return extensions, !c.bad
}
