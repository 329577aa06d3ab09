package keys

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// sentinel is the one of our errors that err is, nil for any other.
func sentinel(err error) error {
	for _, s := range []error{ErrPassphraseNeeded, ErrWrongPassphrase, ErrDamaged, ErrUnsupported, ErrNotAKey} {
		if errors.Is(err, s) {
			return s
		}
	}
	return nil
}

// A file that is cut or changed anywhere is never taken for another key, and
// the error is always one of ours: damage is not called a wrong passphrase
// where the form can tell.
func TestDamagedFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/keys/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		key, err := Parse(data, []byte("test"))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		plain := !key.Info.Encrypted
		// PKCS #8 holds nothing to compare these private numbers with.
		unchecked := strings.Contains(file, "pkcs8_dsa") || strings.Contains(file, "pkcs8_ed25519")
		for i := 20; i < len(data)-20; i += 37 {
			for _, broken := range [][]byte{
				data[:i],
				append(bytes.Clone(data[:i]), data[i+1:]...),
				append(append(bytes.Clone(data[:i]), data[i]^1), data[i+1:]...),
			} {
				got, err := Parse(broken, []byte("test"))
				if err == nil && !unchecked && !sameKey(got.Public(), key.Public()) {
					t.Fatalf("%s, damaged at %d, gives another key", file, i)
				}
				if err != nil && (sentinel(err) == nil || plain && errors.Is(err, ErrWrongPassphrase)) {
					t.Fatalf("%s, damaged at %d: %v", file, i, err)
				}
			}
		}
	}
}

// A header in very many lines takes memory by its length, and not by its square.
func TestLongHeader(t *testing.T) {
	text := "---- BEGIN SSH2 PUBLIC KEY ----\nComment: " + strings.Repeat("ab\\\n", 30_000) + "c\nAAAA\n---- END SSH2 PUBLIC KEY ----\n"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := ParsePublic([]byte(text)); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 50<<20 {
		t.Errorf("%d MiB for %d KiB", took>>20, len(text)>>10)
	}
}

// Of a public key and a certificate no more is read than a key can have.
func TestEndlessPublicKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "id.pub")
	line := PublicLine(testSigner(t).PublicKey(), "") + "\n"
	for before, works := range map[int]bool{10: true, 2 << 20: false} {
		if err := os.WriteFile(file, []byte(strings.Repeat("\n", before)+line), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readPublicKey(file); (err == nil) != works {
			t.Errorf("after %d bytes: %v", before, err)
		}
	}
}

func TestUnsupportedFiles(t *testing.T) {
	ed448 := func() string {
		return run(t, "", "openssl", "genpkey", "-algorithm", "ed448")
	}
	ppk, err := os.ReadFile("testdata/keys/ppk2_ed25519256")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"empty":         {"", ErrNotAKey},
		"text":          {"hello, world\n", ErrNotAKey},
		"a certificate": {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ErrNotAKey},
		"ed448":         {ed448(), ErrUnsupported},
		"secp256k1":     {run(t, "", "openssl", "ecparam", "-name", "secp256k1", "-genkey", "-noout"), ErrUnsupported},
		"RSA 512":       {run(t, "", "openssl", "genrsa", "512"), ErrUnsupported},
		"X25519":        {run(t, "", "openssl", "genpkey", "-algorithm", "x25519"), ErrUnsupported},
		"PPK 4":         {strings.Replace(string(ppk), "File-2", "File-4", 1), ErrUnsupported},
		"PPK cipher":    {strings.Replace(string(ppk), "Encryption: none", "Encryption: rot13", 1), ErrUnsupported},
		"PPK comment":   {strings.Replace(string(ppk), "Comment: ", "Comment: x", 1), ErrDamaged},
		"PGP":           {"-----BEGIN PGP PRIVATE KEY BLOCK-----\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n", ErrNotAKey},
		"another PEM":   {"-----BEGIN ANY PRIVATE KEY-----\nAAAA\n-----END ANY PRIVATE KEY-----\n", ErrUnsupported},
		"not base64":    {"-----BEGIN RSA PRIVATE KEY-----\n!!!!\n-----END RSA PRIVATE KEY-----\n", ErrDamaged},
		"no end":        {"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n", ErrDamaged},
	} {
		if _, err := Parse([]byte(tt.text), nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
		if _, err := Inspect([]byte(tt.text)); err != nil && sentinel(err) == nil {
			t.Errorf("%s: inspect: %v", name, err)
		}
	}
}

// A key kept in a variable has lost its newlines.
func TestKeyOnOneLine(t *testing.T) {
	for _, file := range []string{"openssh_ed25519256", "pem_rsa1024", "pkcs8_ecdsa256_enc"} {
		data, err := os.ReadFile(filepath.Join("testdata/keys", file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(bytes.ReplaceAll(data, []byte("\n"), []byte(" ")), []byte("test")); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Work that a hostile file asks for is refused, not done.
func TestCostsAreBounded(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join("testdata/keys", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	ppk := read("ppk3_argon2d")
	for name, text := range map[string]string{
		"memory":      strings.Replace(ppk, "Argon2-Memory: 8", "Argon2-Memory: 4000000000", 1),
		"passes":      strings.Replace(ppk, "Argon2-Passes: 1", "Argon2-Passes: 4000000000", 1),
		"parallelism": strings.Replace(ppk, "Argon2-Parallelism: 1", "Argon2-Parallelism: 4000000000", 1),
		"no lanes":    strings.Replace(ppk, "Argon2-Parallelism: 1", "Argon2-Parallelism: 0", 1),
	} {
		if text == ppk {
			t.Fatalf("%s: the vector is not what was thought", name)
		}
		if _, err := Parse([]byte(text), []byte("test")); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key that ssh.com's own program made, with a header no other program writes;
// puttygen, which reads the form as well, must see the same key.
func TestForeignSSH2(t *testing.T) {
	const file = "testdata/foreign/ssh2_rsa"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := Parse(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1024-bit rsa, Tue Apr 27 2021 23:55:53 -0700"; key.Comment != want || Bits(key.Public()) != 1024 {
		t.Errorf("comment %q, %d bits", key.Comment, Bits(key.Public()))
	}
	theirs, _, err := ParsePublic([]byte(run(t, "", "puttygen", "-L", file)))
	if err != nil || !sameKey(theirs, key.Public()) {
		t.Errorf("puttygen sees %v, %v", theirs, err)
	}
}
