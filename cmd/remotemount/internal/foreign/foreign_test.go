package foreign

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
)

func TestRclone(t *testing.T) {
	found, err := Rclone(`
# a comment
[plain]
type = sftp
host = files.example
[full]
type = sftp
host = ::1
user = kim
port = 2222
key_file = ~/.ssh/id_rsa
known_hosts_file = ~/.ssh/known_hosts
ciphers = aes256-ctr aes128-ctr
server_command = sudo /usr/lib/openssh/sftp-server
connections = 4
shell_type = unix
md5sum_command = md5sum
[secret]
type = sftp
host = h
port = 22
pass = lCvzMVRnc68Du07ycHlv1ATRTb1cA7u8iP_m
[cloud]
type = s3
secret_access_key = x
[far]
type = sftp
host = h
socks_proxy = localhost:1080
[two words]
type = sftp
host = h
[nowhere]
type = sftp
[evil]
type = sftp
host = h
user = $(touch mark)
[cipher]
type = sftp
host = h
ciphers = rot13
[broken]
type = sftp
host = h
pass = plain text
`)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Found{}
	for _, f := range found {
		byName[f.Name] = f
	}
	for name, want := range map[string]config.Remote{
		"plain":  {Address: "files.example:"},
		"secret": {Address: "h:"},
		"full": {Address: "kim@[::1]:", Connection: config.Connection{
			Port: 2222, Identities: []string{"~/.ssh/id_rsa"}, KnownHosts: []string{"~/.ssh/known_hosts"}, MaxConnections: 4,
			SFTPCommand: "sudo /usr/lib/openssh/sftp-server", SSH: map[string]string{"Ciphers": "aes256-ctr,aes128-ctr"},
		}},
	} {
		if f := byName[name]; f.Wrong != nil || !reflect.DeepEqual(f.Remote, want) {
			t.Errorf("%s: %+v, %v; want %+v", name, f.Remote, f.Wrong, want)
		}
	}
	if got := byName["secret"].Password; got != "open-sesame" {
		t.Errorf("the password is %q", got)
	}
	if got := byName["full"].Unkept; !reflect.DeepEqual(got, []string{"md5sum_command", "shell_type"}) {
		t.Errorf("not kept: %q", got)
	}
	for name, want := range map[string]string{
		"far": "socks_proxy", "two words": "cannot be the name", "nowhere": "host: there is none", "evil": "a shell would act on",
		"cipher": "ciphers: ", "broken": "pass: it is not obscured",
	} {
		if f := byName[name]; f.Wrong == nil || !strings.Contains(f.Wrong.Error(), want) {
			t.Errorf("%s: %v, want %q", name, f.Wrong, want)
		}
		if f := byName[name]; f.Wrong != nil && strings.Contains(f.Wrong.Error(), "plain text") {
			t.Errorf("%s tells the password", name)
		}
	}
	if len(found) != 9 {
		t.Errorf("%d remotes: %+v", len(found), found)
	}
}

func TestRcloneKey(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(block))
	found, err := Rclone("[k]\ntype = sftp\nhost = h\nkey_pem = " + strings.ReplaceAll(text, "\n", `\n`) + "\n")
	if err != nil || len(found) != 1 || found[0].Wrong != nil || string(found[0].Key) != text {
		t.Errorf("%v, %v", found, err)
	}
}

func TestRcloneRefuses(t *testing.T) {
	if _, err := Rclone("# x\n\nRCLONE_ENCRYPT_V0:\nabc\n"); !errors.Is(err, ErrEncrypted) {
		t.Errorf("encrypted: %v", err)
	}
	if _, err := Rclone("[a]\ntype = sftp\nhunter2\n"); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("no key: %v", err)
	}
}

// FuzzRclone: whatever the file is, what is found can be kept or says why not.
func FuzzRclone(f *testing.F) {
	f.Add("[a]\ntype = sftp\nhost = h\npass = lCvzMVRnc68Du07ycHlv1ATRTb1cA7u8iP_m\n")
	f.Add("[a b]\ntype=sftp\nport=x\nciphers=+a\nkey_pem=x\n;\n[")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := Rclone(text)
		if err != nil {
			return
		}
		for _, one := range found {
			if one.Wrong == nil && (config.CheckName(one.Name) != nil || one.Remote.Check() != nil) {
				t.Fatalf("%+v", one)
			}
		}
	})
}
