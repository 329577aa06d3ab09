package keys

import (
	"os"
	"path/filepath"
	"testing"
)

// The corpora are in testdata/fuzz; the seeds below are files the real tools
// made, kept in testdata/keys. Their passphrase is "test".

func addSeeds(f *testing.F, patterns ...string) {
	f.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: no seeds (%v)", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

// fuzzPrivate is what holds for every private key file: no panic, and what can
// be read can be written and read again as the same key.
func fuzzPrivate(f *testing.F, patterns ...string) {
	addSeeds(f, patterns...)
	f.Fuzz(func(t *testing.T, data []byte) {
		if info, err := Inspect(data); err == nil && info.Format == "" {
			t.Fatal("a key of no format")
		}
		key, err := Parse(data, []byte("test"))
		if err != nil {
			if sentinel(err) == nil {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		out, err := lightCosts().marshal(key, FormatOpenSSH, nil)
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		back, err := Parse(out, nil)
		if err != nil || !sameKey(back.Public(), key.Public()) {
			t.Fatalf("comes back another: %v", err)
		}
	})
}

func FuzzOpenSSH(f *testing.F) { fuzzPrivate(f, "keys/openssh*") }
func FuzzPEM(f *testing.F)     { fuzzPrivate(f, "keys/pem*") }
func FuzzPKCS8(f *testing.F)   { fuzzPrivate(f, "keys/pkcs8*") }
func FuzzPPK(f *testing.F)     { fuzzPrivate(f, "keys/ppk*") }
func FuzzSSH2(f *testing.F)    { fuzzPrivate(f, "keys/ssh2*") }

func FuzzPublic(f *testing.F) {
	addSeeds(f, "public/*")
	f.Fuzz(func(t *testing.T, data []byte) {
		key, comment, err := ParsePublic(data)
		if err != nil {
			return
		}
		for _, text := range []string{PublicLine(key, comment), PublicRFC4716(key, comment)} {
			back, _, err := ParsePublic([]byte(text))
			if err != nil || !sameKey(back, key) {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

func FuzzKnownHosts(f *testing.F) {
	addSeeds(f, "known_hosts/*")
	log, _ := captureLog()
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := parseKnownHosts("file", data, log)
		for _, name := range []string{"example.com", "[example.com]:2222", "10.0.0.1"} {
			set := linesFor(lines, name)
			out := withoutName(data, set.keys, name)
			if left := linesFor(parseKnownHosts("file", out, log), name); len(left.keys) > 0 {
				t.Fatalf("%s is still known after it was taken out: %q", name, out)
			}
		}
	})
}
