package serve

import (
	"encoding/binary"
	"io"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Packet types only the tests need.
const (
	fxpInit     = 1
	fxpClose    = 4
	fxpSetstat  = 9
	fxpRemove   = 13
	fxpRmdir    = 15
	fxpStat     = 17
	fxpExtended = 200

	fxpStatus = 101
	fxpHandle = 102
)

// raw is a client that sends whatever it is told, one packet at a time.
type raw struct {
	t  testing.TB
	rw io.ReadWriteCloser
	id uint32
}

func (s *served) raw(t testing.TB) *raw {
	t.Helper()
	conn, err := s.dial(s.key)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return rawSession(t, conn)
}

func rawSession(t testing.TB, conn *ssh.Client) *raw {
	t.Helper()
	ch, requests, err := conn.OpenChannel("session", nil)
	must(t, err)
	go ssh.DiscardRequests(requests)
	ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
	must(t, err)
	if !ok {
		t.Fatal("no sftp subsystem")
	}
	c := &raw{t: t, rw: ch}
	c.write(append([]byte{fxpInit}, u32(3)...))
	if kind, _ := c.read(); kind != 2 {
		t.Fatalf("answer to INIT is packet type %d", kind)
	}
	return c
}

func (c *raw) write(packet []byte) {
	c.t.Helper()
	if _, err := c.rw.Write(append(u32(uint32(len(packet))), packet...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *raw) read() (kind byte, body []byte) {
	c.t.Helper()
	head := make([]byte, 5)
	if _, err := io.ReadFull(c.rw, head); err != nil {
		c.t.Fatal(err)
	}
	body = make([]byte, binary.BigEndian.Uint32(head)-1)
	if _, err := io.ReadFull(c.rw, body); err != nil {
		c.t.Fatal(err)
	}
	return head[4], body
}

// call sends a request and gives the answer without its id.
func (c *raw) call(kind byte, fields ...[]byte) (byte, []byte) {
	c.t.Helper()
	c.id++
	packet := append([]byte{kind}, u32(c.id)...)
	for _, f := range fields {
		packet = append(packet, f...)
	}
	c.write(packet)
	answer, body := c.read()
	if id := binary.BigEndian.Uint32(body); id != c.id {
		c.t.Fatalf("answer to request %d when %d was asked", id, c.id)
	}
	return answer, body[4:]
}

// status sends a request and gives the code of the STATUS that answers it.
func (c *raw) status(kind byte, fields ...[]byte) uint32 {
	c.t.Helper()
	answer, body := c.call(kind, fields...)
	if answer != fxpStatus {
		c.t.Fatalf("answer to packet type %d is of type %d", kind, answer)
	}
	return binary.BigEndian.Uint32(body)
}

func (c *raw) open(path string, pflags uint32, attrs ...[]byte) (handle string) {
	c.t.Helper()
	answer, body := c.call(fxpOpen, append([][]byte{str(path), u32(pflags)}, attrs...)...)
	if answer != fxpHandle {
		c.t.Fatalf("open %q: packet type %d, %q", path, answer, body)
	}
	return string(body[4:])
}

func u32(v uint32) []byte     { return binary.BigEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte     { return binary.BigEndian.AppendUint64(nil, v) }
func str(s string) []byte     { return append(u32(uint32(len(s))), s...) }
func perm(mode uint32) []byte { return append(u32(attrPermissions), u32(mode)...) }
