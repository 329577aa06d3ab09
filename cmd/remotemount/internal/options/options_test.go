package options

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
)

// said prints what options set, without what they left alone.
func said(s Settings) string {
	var out []string
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if f.IsZero() || !v.Type().Field(i).IsExported() || name == "Connection" {
			continue
		}
		if f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		out = append(out, fmt.Sprintf("%s=%v", name, f))
	}
	v = reflect.ValueOf(s.Connection)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			if d, ok := f.Interface().(config.Duration); ok {
				f = reflect.ValueOf(time.Duration(d))
			}
			out = append(out, fmt.Sprintf("%s=%v", v.Type().Field(i).Name, f))
		}
	}
	return strings.Join(out, " ")
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		"ro":                                 "ReadOnly=true",
		"ro,rw":                              "",
		"allow_other":                        "AllowOther=true DefaultPermissions=true",
		"allow_other,no_default_permissions": "AllowOther=true DefaultPermissions=false",
		"allow_root":                         "AllowRoot=true",
		"nomap=error":                        "NoMap=error",
		"default_permissions":                "DefaultPermissions=true",
		"uid=1000,gid=0":                     "UID=1000 GID=0",
		"uid=root":                           "UID=0",
		"umask=077":                          "Umask=63",
		"idmap=user":                         "IDMap=user",
		"reconnect":                          "Ignored=[reconnect]",
		"reconnect,ServerAliveInterval=15":   "Ignored=[reconnect] SSH=map[ServerAliveInterval:15]",
		"ServerAliveInterval=10,timeout=7":   "Timeout=7s SSH=map[ServerAliveInterval:10]",
		"ConnectTimeout=5":                   "SSH=map[ConnectTimeout:5]",
		"IdentityFile=/a b,IdentityFile=/c":  "Identities=[/a b /c]",
		"identityfile=/a":                    "Identities=[/a]",
		"port=2222":                          "Port=2222",
		"UserKnownHostsFile=/x /y":           "KnownHosts=[/x /y]",
		"StrictHostKeyChecking=yes":          "HostKeyPolicy=strict",
		"StrictHostKeyChecking=no":           "HostKeyPolicy=auto",
		"StrictHostKeyChecking=accept-new":   "HostKeyPolicy=auto",
		"ciphers=aes128-gcm@openssh.com":     "SSH=map[Ciphers:aes128-gcm@openssh.com]",
		`ProxyCommand=nc -x a\,b %h %p`:      "SSH=map[ProxyCommand:nc -x a,b %h %p]",
		"Compression=no":                     "Ignored=[Compression=no]",
		"cache=no":                           "AttrTimeout=0s",
		"cache_timeout=20,entry_timeout=3":   "AttrTimeout=3s",
		"attr-timeout=3s":                    "AttrTimeout=3s",
		"max_conns=4":                        "MaxConnections=4",
		"nosuid,nodev,noexec":                "Kernel=[nosuid nodev noexec]",
		"context=system_u:object_r:x":        "Kernel=[context=system_u:object_r:x]",
		"noauto,_netdev,user,x-systemd.automount,x-gvfs-name=Work": "Ignored=[noauto _netdev user x-systemd.automount x-gvfs-name=Work]",
		"fsname=host,subtype=sshfs,nonempty":                       "NonEmpty=true Source=host Subtype=sshfs",
		"cache_memory=64M":                                         "CacheMemory=67108864",
		"password_command=pass show x":                             "PasswordCommand=pass show x",
		"host_key=SHA256:abc+/=":                                   "HostKeys=[SHA256:abc+/=]",
		"BatchMode=yes":                                            "Batch=true",
		"ssh_command=ssh -p 22,sftp_server=/usr/x":                 "SFTPCommand=/usr/x SSHCommand=ssh -p 22",
		"delay_connect":                                            "Wait=true",
		"modules=subdir,subdir=/x,rellinks":                        "TransformSymlinks=true Subdir=/x",
		"ro,,rw,":                                                  "",
	} {
		var s Settings
		if err := s.Parse(text, false); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if s.Finish(); said(s) != want {
			t.Errorf("%q says %q, want %q", text, said(s), want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"alow_other":             "did you mean allow_other?",
		"allow-other=yes":        "takes no value",
		"IdentiyFile=/x":         "did you mean IdentityFile?",
		"zzzzzzzzzz":             "man remotemount",
		"uid":                    "needs a value",
		"uid=no-such-user-here":  "no such user",
		"umask=999":              "octal",
		"port=0":                 "no port",
		"idmap=group":            "user or file",
		"cache=perhaps":          "yes or no",
		"attr_timeout=-1":        "negative",
		"uidfile=/not/there":     "no such file",
		"ssh_protocol=1":         "only one",
		"modules=iconv":          "subdir",
		"remount":                "unmount it",
		"max_conns=0":            "from 1 on",
		"StrictHostKeyChecking=": "accept-new",
	} {
		err := new(Settings).Parse(text, false)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Error()+" "+e.Hint, want) {
			t.Errorf("%q: %v; want something of %q", text, err, want)
		}
	}
}

// mount -s lets unknown names pass, but not wrong values.
func TestSloppy(t *testing.T) {
	var s Settings
	if err := s.Parse("nosuchthing,ro", true); err != nil || !s.ReadOnly {
		t.Errorf("sloppy: %v, %+v", err, s)
	}
	if err := s.Parse("umask=9", true); err == nil {
		t.Error("a wrong value passed")
	}
}

// Every name of the table is found by itself, so none is shadowed.
func TestNames(t *testing.T) {
	for _, name := range Names() {
		if _, ok := find(name); !ok {
			t.Errorf("%s is not found", name)
		}
	}
	if len(Names()) < 100 {
		t.Errorf("only %d names", len(Names()))
	}
}

func TestNumbers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uids")
	for text, want := range map[string]string{
		"root:1000\n# note\n\n": "map[1000:0]", "": "map[]", "root": "want name:number", "root:x": "want name:number", "no-such-user-here:5": "no such user",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var s Settings
		err := s.Parse("idmap=file,nomap=ignore,uidfile="+file, false)
		if got := fmt.Sprint(s.UIDs); (err != nil || got != want) && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	if err := new(Settings).Parse("nomap=perhaps", false); err == nil {
		t.Error("nomap takes anything")
	}
	if err := os.Chmod(file, 0o620); err != nil {
		t.Fatal(err)
	}
	if err := new(Settings).Parse("uidfile="+file, false); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("a table that others can write to: %v", err)
	}
}

// What several options say together; files without a mapping are refused as sshfs does.
func TestTogether(t *testing.T) {
	for text, want := range map[string]string{
		"idmap=file":                   "uidfile=FILE",
		"allow_root,allow_other":       "leave one of them out",
		"idmap=file,uidfile=/dev/null": "",
		"allow_root":                   "",
	} {
		var s Settings
		if err := s.Parse(text, false); err != nil {
			t.Fatal(err)
		}
		err := s.Check()
		var e *Error
		if want == "" && err != nil || want != "" && (!errors.As(err, &e) || !strings.Contains(e.Hint, want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
	table := map[uint32]uint32{1: 2}
	for _, c := range []struct {
		s    Settings
		want bool
	}{
		{Settings{UIDs: table}, true}, {Settings{UIDs: table, NoMap: "ignore"}, false},
		{Settings{UIDs: map[uint32]uint32{}}, false}, {Settings{UIDs: map[uint32]uint32{}, NoMap: "error"}, true},
	} {
		if got := c.s.Strict(); got != c.want {
			t.Errorf("%+v: %v", c.s, got)
		}
	}
}
