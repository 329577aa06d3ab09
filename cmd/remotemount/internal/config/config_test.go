package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t testing.TB) *Store {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(func(name string) string {
		if name == "XDG_CONFIG_HOME" {
			return dir
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	s := open(t)
	r := Remote{Address: "me@host:/srv", Connection: Connection{
		Port: 2222, Identities: []string{"~/.ssh/id"}, Timeout: Duration(20 * time.Second),
		HostKeys: []string{"SHA256:abc"}, SSH: map[string]string{"Ciphers": "aes128-gcm@openssh.com"},
	}}
	if err := s.Add("work", r); err != nil {
		t.Fatal(err)
	}
	if err := s.Add("work", r); !errors.Is(err, fs.ErrExist) {
		t.Errorf("adding a second time: %v, want ErrExist", err)
	}
	got, err := s.Get("work")
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("read back %+v, %v; want %+v", got, err, r)
	}
	info, err := os.Stat(s.file("work"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v; want mode 0600", info.Mode(), err)
	}
	r.Port = 22
	if err := s.Replace("work", r); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Get("work"); got.Port != 22 {
		t.Errorf("after Replace the port is %d", got.Port)
	}
	if names, err := s.Names(); err != nil || !reflect.DeepEqual(names, []string{"work"}) {
		t.Errorf("Names: %v, %v", names, err)
	}
	if err := s.Remove("work"); err != nil || s.Has("work") {
		t.Errorf("Remove: %v, still there: %v", err, s.Has("work"))
	}
	if left, _ := os.ReadDir(s.Dir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStoreRefuses(t *testing.T) {
	s := open(t)
	for name, r := range map[string]Remote{
		"../x": {Address: "h:"}, "": {Address: "h:"}, "-x": {Address: "h:"}, ".x": {Address: "h:"}, "a b": {Address: "h:"}, "a:b": {Address: "h:"},
		"noaddress": {}, "name": {Address: "other"}, "port": {Address: "h:", Connection: Connection{Port: 70000}},
		"policy": {Address: "h:", Connection: Connection{HostKeyPolicy: "sometimes"}},
	} {
		if err := s.Add(name, r); err == nil {
			t.Errorf("Add(%q, %+v) was done", name, r)
		}
	}
}

func TestBrokenFile(t *testing.T) {
	s := open(t)
	if err := s.Add("good", Remote{Address: "h:"}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"address = 'h:'\nprot = 22\n":       `line 2: unknown setting "prot"`,
		"address = 'h:'\ntimeout = 'x'\n":   "no duration",
		"address = 'sftp://u:pw@host/'\n":   "never stands",
		"address = 'h:'\npassword = 'pw'":   "unknown setting",
		"address = 'h:'\nport = 'twenty'\n": "",
		"address":                           "",
	} {
		if err := os.WriteFile(filepath.Join(s.Dir(), "bad.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get("bad"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "bad.toml") {
			t.Errorf("%q: %v, want the file and %q", text, err, want)
		}
	}
	if _, err := s.Get("good"); err != nil {
		t.Errorf("the other remote: %v", err)
	}
}

// Of many who add the same name at once, one succeeds.
func TestAddAtOnce(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	done := make(chan error, 16)
	for range 16 {
		wg.Go(func() { done <- s.Add("x", Remote{Address: "h:"}) })
	}
	wg.Wait()
	close(done)
	ok := 0
	for err := range done {
		if err == nil {
			ok++
		} else if !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	}
	if ok != 1 {
		t.Errorf("%d of 16 succeeded", ok)
	}
}

func TestOver(t *testing.T) {
	base := Connection{User: "a", Port: 1, Identities: []string{"x"}}
	got := Connection{Port: 2}.Over(base)
	want := Connection{User: "a", Port: 2, Identities: []string{"x"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30": 30 * time.Second, "30s": 30 * time.Second, "5m": 5 * time.Minute, "0": 0, "0.5": 500 * time.Millisecond, "1h30m": 90 * time.Minute,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "-5s", "1e99", "NaN", "Inf", "5 m"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v", text, d)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1000": 1000, "1K": 1024, "256M": 256 << 20, "256MiB": 256 << 20, "256 mb": 256 << 20, "1.5G": 3 << 29, "2T": 2 << 40,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "K", "-1", "1X", "9999999999T", "NaN"} {
		if n, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %v", text, n)
		}
	}
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1024: "1K", 1536: "1.5K", 256 << 20: "256M", 5 << 40: "5T"} {
		if got := FormatSize(n); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", n, got, want)
		}
	}
}
