package serve

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/crypto/ssh"
)

func TestCutMark(t *testing.T) {
	for _, c := range []struct {
		in     string
		path   string
		mode   uint32
		pflags uint32
		ok     bool
	}{
		{"/a", "", 0, 0, false},
		{"/a" + pathMark{mode: 0o640, hasMode: true, pflags: 3}.String(), "/a", 0o640, 3, true},
		{"/a" + pathMark{hasMode: true}.String(), "/a", 0, 0, true},
		{"/a" + pathMark{pflags: 1}.String(), "/a", 0o666, 1, true},
		{"/a\x00b" + pathMark{mode: 0o7777, hasMode: true}.String(), "/a\x00b", 0o7777, 0, true},
		{"/a\x00644.3" + pathMark{pflags: 1}.String(), "/a\x00644.3", 0o666, 1, true},
		{"/a\x00", "", 0, 0, false},
		{"/a\x00xyz", "", 0, 0, false},
		{"/a\x00777777.1", "/a", 0o666, 1, true},
	} {
		path, m, err := cutMark(c.in, 0o666)
		if (err == nil) != c.ok || c.ok && (path != c.path || m.mode != c.mode || m.pflags != c.pflags) {
			t.Errorf("%q: %q %+v %v, want %q %o %d", c.in, path, m, err, c.path, c.mode, c.pflags)
		}
	}
}

// answered are packets of which each is answered by the time the next is read.
type answered struct{ packets }

func (a *answered) Read(b []byte) (int, error) {
	a.turns.out = 0
	return a.packets.Read(b)
}

// FuzzPackets holds that editing keeps the stream in step: as many packets come
// out as went in, each with its type, and only OPEN, MKDIR and the draft's SYMLINK
// changed.
func FuzzPackets(f *testing.F) {
	f.Add(append(append([]byte{fxpOpen, 0, 0, 0, 1}, str("/a")...), append(u32(1), perm(0o600)...)...))
	f.Add(append(append([]byte{fxpMkdir, 0, 0, 0, 1}, str("/a")...), perm(0o600)...))
	f.Add([]byte{fxpMkdir, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{fxpOpen})
	f.Add([]byte{5, 1, 2, 3})
	f.Add(append(append([]byte{fxpSymlink, 0, 0, 0, 1}, str("/a")...), str("b")...))
	f.Add(append(append([]byte{fxpSymlink, 0, 0, 0, 1}, str("/a")...), 0, 0, 0, 9))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) == 0 || len(packet) > maxPacket {
			return
		}
		marker := append(u32(5), 42, 4, 3, 2, 1)
		in := append(append(u32(uint32(len(packet))), packet...), marker...)
		p := packets{r: iotest.HalfReader(bytes.NewReader(in)), handles: &handles{}, turns: newTurns(), draft: true}
		out, err := io.ReadAll(&answered{p})
		if err != nil {
			t.Fatal(err)
		}
		length := int(binary.BigEndian.Uint32(out))
		if len(out) != 4+length+len(marker) || !bytes.HasSuffix(out, marker) || out[4] != packet[0] {
			t.Fatalf("%x became %x", in, out)
		}
		switch packet[0] {
		case fxpOpen, fxpMkdir:
			return
		case fxpSymlink:
			out = append(swapStrings(out[:4+length]), marker...)
		}
		if !bytes.Equal(in, out) {
			t.Fatalf("%x became %x", in, out)
		}
	})
}

// One bad line keeps no other key out.
func TestUsableAuthorizedKeys(t *testing.T) {
	key := string(ssh.MarshalAuthorizedKey(newKey(t).PublicKey()))
	for text, want := range map[string][2]int{
		key + "ssh-rsa garbage\n" + key:                 {2, 1},
		"from=\"10.0.0.0/8\" " + key + key[:40]:         {0, 2},
		strings.Repeat("x", 2<<20) + "\n" + key:         {1, 1},
		strings.Repeat("#\n", maxKeysFile/2) + key + "": {0, 0},
	} {
		keys, bad, err := UsableAuthorizedKeys(strings.NewReader(text))
		if len(keys) != want[0] || len(bad) != want[1] || (err == nil) != (want[0] > 0) {
			t.Errorf("%d keys, bad %v, %v; want %v", len(keys), bad, err, want)
		}
	}
}

func TestParseAuthorizedKeys(t *testing.T) {
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(newKey(t).PublicKey())))
	for _, c := range []struct {
		name, text string
		keys       int // 0: an error
	}{
		{"one", key + " me@here\n", 1},
		{"comments and blanks", "# mine\n\n  " + key + "\r\n" + key, 2},
		{"harmless options", "restrict,no-pty,environment=\"A=b c\" " + key, 1},
		{"nothing", "# nobody\n", 0},
		{"not a key", key + "\nssh-rsa garbage\n", 0},
		{"from", "from=\"10.0.0.0/8\" " + key, 0},
		{"command", "no-pty,command=\"true\" " + key, 0},
		{"cert-authority", "cert-authority " + key, 0},
	} {
		keys, err := ParseAuthorizedKeys(strings.NewReader(c.text))
		if len(keys) != c.keys || (err == nil) != (c.keys > 0) {
			t.Errorf("%s: %d keys, %v; want %d", c.name, len(keys), err, c.keys)
		}
		if err != nil && strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%s: the error repeats the key: %v", c.name, err)
		}
	}
}
