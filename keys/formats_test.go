package keys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

const testPassphrase = "correct horse; battery staple"

// A toolkit makes key files with the programs people use.
type toolkit struct {
	t    testing.TB
	dir  string
	pass string // a file holding the passphrase
	none string // an empty file
	n    int
}

func newToolkit(t testing.TB) *toolkit {
	k := &toolkit{t: t, dir: t.TempDir()}
	k.pass, k.none = filepath.Join(k.dir, "pass"), filepath.Join(k.dir, "none")
	k.write(k.pass, testPassphrase+"\n")
	k.write(k.none, "")
	return k
}

func (k *toolkit) write(file, content string) {
	k.t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k *toolkit) file(kind string) string {
	k.n++
	return filepath.Join(k.dir, fmt.Sprintf("%s.%d", kind, k.n))
}

// generate makes a key with ssh-keygen: rsa, dsa, ed25519, or ecdsa with bits.
func (k *toolkit) generate(kind string) string {
	k.t.Helper()
	file := k.file(kind)
	args := []string{"-q", "-N", "", "-C", "a comment", "-f", file, "-t", strings.TrimRight(kind, "0123456789")}
	if bits := strings.TrimPrefix(kind, "ecdsa"); bits != kind {
		args = append(args, "-b", bits)
	}
	if kind == "rsa" {
		args = append(args, "-b", "2048")
	}
	if kind == "ed25519" {
		args[8] = kind
	}
	run(k.t, "", "ssh-keygen", args...)
	return file
}

// rewrite copies a key and lets ssh-keygen -p write it anew.
func (k *toolkit) rewrite(key, passphrase string, args ...string) string {
	k.t.Helper()
	data, err := os.ReadFile(key)
	if err != nil {
		k.t.Fatal(err)
	}
	file := k.file("openssh")
	k.write(file, string(data))
	if len(args) == 0 || args[0] != "-a" {
		args = append(args, "-a", "1") // the default takes its time, see TestDefaultCosts
	}
	run(k.t, "", "ssh-keygen", append([]string{"-q", "-p", "-P", "", "-N", passphrase, "-f", file}, args...)...)
	return file
}

func (k *toolkit) openssl(args ...string) string {
	k.t.Helper()
	file := k.file("openssl")
	run(k.t, "", "openssl", append(args, "-out", file)...)
	if err := os.Chmod(file, 0o600); err != nil {
		k.t.Fatal(err)
	}
	return file
}

func (k *toolkit) puttygen(key string, encrypted bool, args ...string) string {
	k.t.Helper()
	file, pass := k.file("putty"), k.none
	if encrypted {
		pass = k.pass
	}
	args = append([]string{key, "-o", file, "--old-passphrase", k.none, "--new-passphrase", pass}, args...)
	run(k.t, "", "puttygen", args...)
	return file
}

// A madeKey is a file made by a tool, and what it should be.
type madeKey struct {
	name      string
	file      string
	format    Format
	encrypted bool
}

// all makes every format, type and encryption the tools can make.
func (k *toolkit) all() []madeKey {
	k.t.Helper()
	var made []madeKey
	add := func(name, file string, format Format, encrypted bool) {
		made = append(made, madeKey{name, file, format, encrypted})
	}
	for _, kind := range k.kinds() {
		key := k.generate(kind)
		add(kind+"/openssh", key, FormatOpenSSH, false)
		add(kind+"/openssh/encrypted", k.rewrite(key, testPassphrase), FormatOpenSSH, true)
		k.ppk(key, kind, add)
		pem := k.pem(key, kind, add)
		k.pkcs8(pem, kind, add)
	}
	k.ciphers(add)
	return made
}

// kinds are the types of key that this OpenSSH knows: from 10.0 on there is no DSA.
func (k *toolkit) kinds() []string {
	kinds := []string{"rsa", "ecdsa256", "ecdsa384", "ecdsa521", "ed25519"}
	if knowsDSA(k.t) {
		kinds = append(kinds, "dsa")
	}
	return kinds
}

func knowsDSA(t testing.TB) bool { return strings.Contains(run(t, "", "ssh", "-Q", "key"), "ssh-dss") }

type adder func(name, file string, format Format, encrypted bool)

func (k *toolkit) ciphers(add adder) {
	key := k.generate("ed25519")
	for _, c := range strings.Fields(run(k.t, "", "ssh", "-Q", "cipher")) {
		add("openssh/"+c, k.rewrite(key, testPassphrase, "-Z", c), FormatOpenSSH, true)
	}
	add("openssh/three rounds", k.rewrite(key, testPassphrase, "-a", "3"), FormatOpenSSH, true)
}

func (k *toolkit) ppk(key, kind string, add adder) {
	for _, v := range []struct {
		format Format
		params string
		crypt  bool
	}{
		{FormatPPK2, "version=2", false}, {FormatPPK2, "version=2", true},
		{FormatPPK3, "version=3", false},
		{FormatPPK3, "version=3,kdf=argon2id,memory=256,passes=2", true},
		{FormatPPK3, "version=3,kdf=argon2i,memory=256,passes=2", true},
		{FormatPPK3, "version=3,kdf=argon2d,memory=256,passes=3,parallelism=2", true},
	} {
		file := k.puttygen(key, v.crypt, "-O", "private", "--ppk-param", v.params)
		add(fmt.Sprintf("%s/ppk/%s/%v", kind, v.params, v.crypt), file, v.format, v.crypt)
	}
	if kind == "rsa" || kind == "dsa" {
		add(kind+"/ssh2", k.puttygen(key, false, "-O", "private-sshcom"), FormatSSH2, false)
		add(kind+"/ssh2/3des", k.puttygen(key, true, "-O", "private-sshcom"), FormatSSH2, true)
	}
}

// pem gives a file openssl can read, and adds the traditional forms.
func (k *toolkit) pem(key, kind string, add adder) string {
	if kind == "ed25519" {
		return k.openssl("genpkey", "-algorithm", "ed25519")
	}
	plain := k.rewrite(key, "", "-m", "PEM")
	add(kind+"/pem", plain, FormatPEM, false)
	add(kind+"/pem/ssh-keygen", k.rewrite(key, testPassphrase, "-m", "PEM"), FormatPEM, true)
	if strings.HasPrefix(kind, "ecdsa") {
		add(kind+"/pem/compressed", k.openssl("ec", "-in", plain, "-conv_form", "compressed"), FormatPEM, false)
	}
	tool := map[byte]string{'r': "rsa", 'd': "dsa", 'e': "ec"}[kind[0]]
	for _, c := range []string{"-aes128", "-aes192", "-aes256", "-des3"} {
		args := []string{tool, "-in", plain, c, "-passout", "file:" + k.pass}
		if tool == "rsa" {
			args = append(args, "-traditional")
		}
		add(kind+"/pem/"+c, k.openssl(args...), FormatPEM, true)
	}
	return plain
}

func (k *toolkit) pkcs8(pem, kind string, add adder) {
	topk8 := func(args ...string) string {
		return k.openssl(append([]string{"pkcs8", "-topk8", "-in", pem, "-passout", "file:" + k.pass}, args...)...)
	}
	add(kind+"/pkcs8", topk8("-nocrypt"), FormatPKCS8, false)
	for _, args := range []string{
		"-v2 aes-128-cbc", "-v2 aes-192-cbc", "-v2 aes-256-cbc", "-v2 des3", "-v2 aes-256-cbc -v2prf hmacWithSHA1",
		"-v2 aes-256-cbc -v2prf hmacWithSHA512", "-scrypt -scrypt_N 1024", "-v1 PBE-SHA1-3DES",
	} {
		add(kind+"/pkcs8/"+args, topk8(strings.Fields(args)...), FormatPKCS8, true)
	}
}

// Every format, type and encryption the tools can make logs in to a real sshd.
func TestEveryKeyLogsIn(t *testing.T) {
	var options []string
	if knowsDSA(t) {
		options = append(options, "PubkeyAcceptedAlgorithms +ssh-dss")
	}
	server := startSSHD(t, options...)
	kit := newToolkit(t)
	made := kit.all()
	t.Logf("%d key files", len(made))
	for _, m := range made {
		t.Run(m.name, func(t *testing.T) { checkMade(t, server, m) })
	}
}

func checkMade(t *testing.T, server *sshd, m madeKey) {
	data, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := Inspect(data)
	if err != nil || info.Format != m.format || info.Encrypted != m.encrypted {
		t.Fatalf("inspect: %+v, %v", info, err)
	}
	passphrase := ""
	if m.encrypted {
		passphrase = testPassphrase
		checkWrongPassphrase(t, data)
	}
	key, err := Parse(data, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	// Pasted on standard input, through a program that likes CR and blanks.
	pasted := strings.ReplaceAll("\ufeff  "+string(data), "\n", " \r\n")
	if again, err := Parse([]byte(pasted), []byte(passphrase)); err != nil || !sameKey(again.Public(), key.Public()) {
		t.Fatalf("pasted: %v", err)
	}
	server.authorize(key.Public())
	cfg := server.config()
	cfg.Identities, cfg.Prompt = []string{m.file}, &scripted{answers: []string{passphrase}}
	cfg.Options = []string{"PubkeyAcceptedAlgorithms=+ssh-dss"}
	if err := login(t, cfg); err != nil {
		t.Fatal(err)
	}
}

func checkWrongPassphrase(t *testing.T, data []byte) {
	t.Helper()
	if _, err := Parse(data, nil); !errors.Is(err, ErrPassphraseNeeded) {
		t.Fatalf("without a passphrase: %v", err)
	}
	for _, wrong := range []string{"x", testPassphrase + " "} {
		if _, err := Parse(data, []byte(wrong)); !errors.Is(err, ErrWrongPassphrase) {
			t.Fatalf("passphrase %q: %v", wrong, err)
		}
	}
}

// lightCosts make a guess cheap, and tests quick.
func lightCosts() costs {
	return costs{bcryptRounds: 2, pbkdf2Iterations: 1000, argonMemory: 64, argonPasses: 2}
}

// What people get without choosing, both ways.
func TestDefaultCosts(t *testing.T) {
	if raceEnabled {
		t.Skip("key derivation takes minutes under the race detector")
	}
	kit := newToolkit(t)
	file := kit.file("default")
	run(t, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", testPassphrase, "-f", file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := Parse(data, []byte(testPassphrase))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []Format{FormatOpenSSH, FormatPKCS8, FormatPPK3} {
		out, err := Marshal(key, format, []byte(testPassphrase))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(out, []byte(testPassphrase)); err != nil || !sameKey(back.Public(), key.Public()) {
			t.Fatalf("%s: %v", format, err)
		}
	}
}

// What Marshal writes, puttygen and ssh-keygen read, and it comes back the same.
func TestMarshalRoundTrip(t *testing.T) {
	kit := newToolkit(t)
	for _, kind := range kit.kinds() {
		data, err := os.ReadFile(kit.generate(kind))
		if err != nil {
			t.Fatal(err)
		}
		key, err := Parse(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		if key.Comment != "a comment" {
			t.Errorf("%s: comment %q", kind, key.Comment)
		}
		for _, format := range []Format{FormatOpenSSH, FormatPEM, FormatPKCS8, FormatPPK3} {
			if kind == "dsa" && format == FormatPKCS8 {
				continue // crypto/x509 does not write it
			}
			t.Run(fmt.Sprintf("%s/%s", kind, format), func(t *testing.T) {
				checkMarshal(t, kit, key, format, "")
				if kind != "dsa" || format != FormatPEM {
					checkMarshal(t, kit, key, format, testPassphrase)
				}
			})
		}
	}
}

func checkMarshal(t *testing.T, kit *toolkit, key *Key, format Format, passphrase string) {
	t.Helper()
	out, err := lightCosts().marshal(key, format, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(out, []byte(passphrase))
	if err != nil || !sameKey(back.Public(), key.Public()) {
		t.Fatalf("read back: %v", err)
	}
	if back.Info.Encrypted != (passphrase != "") {
		t.Fatalf("encrypted: %v", back.Info.Encrypted)
	}
	file := kit.file("converted")
	kit.write(file, string(out))
	var shown string
	if format == FormatPPK3 {
		pass := kit.none
		if passphrase != "" {
			pass = kit.pass
		}
		// Reading the private half, not only the public: a new file is written of it.
		copied := kit.file("copied")
		run(t, "", "puttygen", file, "-O", "private-openssh-new", "-o", copied, "--old-passphrase", pass, "--new-passphrase", kit.none)
		shown = run(t, "", "ssh-keygen", "-y", "-P", "", "-f", copied)
	} else if strings.Contains(string(out), "PRIVATE KEY-----") && key.Public().Type() == ssh.KeyAlgoED25519 && format != FormatOpenSSH {
		// ssh-keygen does not read Ed25519 in PKCS #8; openssl does, and its copy is read back.
		copied := kit.openssl("pkey", "-in", file, "-passin", "pass:"+passphrase)
		again, err := os.ReadFile(copied)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := Parse(again, nil)
		if err != nil {
			t.Fatal(err)
		}
		shown = PublicLine(theirs.Public(), "")
	} else {
		shown = run(t, "", "ssh-keygen", "-y", "-P", passphrase, "-f", file)
	}
	got, _, err := ParsePublic([]byte(shown))
	if err != nil || !sameKey(got, key.Public()) {
		t.Fatalf("the tool reads %q: %v", shown, err)
	}
}

func TestRFC4716(t *testing.T) {
	kit := newToolkit(t)
	file := kit.generate("rsa")
	want, err := readPublicKey(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	theirs := run(t, "", "ssh-keygen", "-e", "-m", "RFC4716", "-f", file+".pub")
	got, comment, err := ParsePublic([]byte(theirs))
	if err != nil || !sameKey(got, want) || !strings.Contains(comment, "RSA") {
		t.Fatalf("%v, %q", err, comment)
	}
	ours := kit.file("rfc4716")
	kit.write(ours, PublicRFC4716(want, strings.Repeat("a long comment ", 9)))
	back, _, err := ParsePublic([]byte(run(t, "", "ssh-keygen", "-i", "-m", "RFC4716", "-f", ours)))
	if err != nil || !sameKey(back, want) {
		t.Fatal(err)
	}
	data, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	if _, comment, err := ParsePublic(data); err != nil || comment != strings.Repeat("a long comment ", 9) {
		t.Fatalf("%q, %v", comment, err)
	}
	for _, comment := range []string{`DOM\kim`, `"kim"`, `a "b" c\`, "kim@büro", strings.Repeat(`\x`, 99), "a" + strings.Repeat(" long", 30)} {
		text := PublicRFC4716(want, comment)
		if _, got, err := ParsePublic([]byte(text)); err != nil || got != comment {
			t.Errorf("%q: %q, %v", comment, got, err)
		}
		if short := len(comment) < 50; short && !strings.Contains(text, "Comment: \""+comment+"\"\n") {
			t.Errorf("%q is written otherwise: %s", comment, text)
		}
	}
}

func TestGenerate(t *testing.T) {
	for _, kind := range []string{"rsa", "ed25519"} {
		key, err := Generate(kind, 0, "me@here")
		if err != nil {
			t.Fatal(err)
		}
		out, err := Marshal(key, FormatOpenSSH, nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(out, nil)
		if err != nil || back.Comment != "me@here" || Describe(back.Public()) != Describe(key.Public()) {
			t.Fatalf("%s: %v", kind, err)
		}
		if kind == "rsa" && Bits(key.Public()) != 4096 {
			t.Fatalf("%d bits", Bits(key.Public()))
		}
	}
	for _, bad := range []struct {
		kind string
		bits int
	}{{"rsa", 1024}, {"ed25519", 512}, {"dsa", 0}, {"", 0}} {
		if _, err := Generate(bad.kind, bad.bits, ""); err == nil {
			t.Errorf("%+v was generated", bad)
		}
	}
}
