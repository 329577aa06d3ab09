package keys

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, "kim": true, `DOMAIN\kim`: true, "kim@corp.example": true, "kim smith": true, "kim-smith": true,
		"pc7$": true, "ünal": true, "a+b.c_d%e": true, "a#b": true, "~kim": true,
		"-lroot": false, "$(id)": false, "`id`": false, "a;b": false, "a&b": false, "a|b": false, "a<b": false,
		"a>b": false, "a'b": false, `a"b`: false, "a{b": false, "a}b": false, "a b -oX": false, "a -": false,
		`kim\`: false, "a\nb": false, "a\tb": false, "a\x00b": false, "a\x1bb": false, "a\x7fb": false, "a\u0085b": false,
	} {
		if err := CheckUser(name); (err == nil) != want {
			t.Errorf("user %q: %v", name, err)
		}
	}
	for name, want := range map[string]bool{
		"": true, "host": true, "a-b.example": true, "::1": true, "fe80::1%eth0": true, "192.0.2.1": true, "xn--nxa": true, "a_b": true,
		"-oProxyCommand=x": false, "a b": false, "$HOME": false, "`id`": false, `a\b`: false, "a;b": false, "a&b": false, "a\nb": false,
		"(a)": false, "a'b": false, `a"b`: false, "a|b": false, "a<b": false, "a>b": false, "{a}": false, "a\u00a0b": false, "a\x1bb": false,
		"a,b": false,
	} {
		if err := CheckHost(name); (err == nil) != want {
			t.Errorf("host %q: %v", name, err)
		}
	}
	for list, want := range map[string]bool{
		"": true, "none": true, "gate": true, `DOM\me@a:22,me@corp@b`: true, "[::1]:22": true,
		"$(id)@gate": false, "gate,`id`": false, "a,,b": false, "a,-x": false, "me@$HOME": false,
	} {
		if err := CheckJump(list); (err == nil) != want {
			t.Errorf("jump %q: %v", list, err)
		}
	}
}

// No name runs a command, whichever way it came, nor makes words of its own. The
// command leaves a mark for each word it is given.
func TestNamesInProxyCommand(t *testing.T) {
	cfg := isolated(t)
	mark := filepath.Join(cfg.Home, "mark")
	proxy := `sh -c 'for word; do echo "$word" >>` + mark + `.words; done' x %r %h %n %p`
	config := func(text string) string {
		path := filepath.Join(cfg.Home, "config")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gate := "Host gate\nProxyCommand " + proxy + "\n"
	attacks := 0
	for _, evil := range []string{
		"$(touch " + mark + ")", "`touch " + mark + "`", ";touch " + mark, "|touch " + mark, "&touch " + mark, ">" + mark,
		"x\ntouch " + mark, "'$(touch " + mark + ")'", `"$(touch ` + mark + `)"`, "$IFS-oX", "${IFS}-oX", "a -oX", "-oX",
	} {
		for way, set := range map[string]func(*ClientConfig){
			"user":            func(c *ClientConfig) { c.User = evil },
			"host":            func(c *ClientConfig) { c.Host = evil },
			"jump user":       func(c *ClientConfig) { c.Jump, c.ConfigFile = []string{evil + "@gate"}, config(gate) },
			"jump host":       func(c *ClientConfig) { c.Jump = []string{evil} },
			"ssh_config user": func(c *ClientConfig) { c.ConfigFile = config("User \"" + strings.ReplaceAll(evil, `"`, "") + "\"\n") },
			"ssh_config host": func(c *ClientConfig) {
				c.ConfigFile = config("HostName \"" + strings.ReplaceAll(evil, `"`, "") + "\"\n")
			},
			"ssh_config proxy": func(c *ClientConfig) { c.ConfigFile = config("Host host\nProxyJump " + evil + "@gate\n" + gate) },
		} {
			c := cfg
			c.Host, c.User, c.Options = "host", "me", []string{"ProxyCommand=" + proxy}
			if strings.HasPrefix(way, "jump") || way == "ssh_config proxy" {
				c.Options = nil
			}
			if way == "ssh_config user" {
				c.User = ""
			}
			set(&c)
			attacks++
			client, err := NewClient(t.Context(), c)
			if err == nil {
				nc, dialErr := client.Dial(context.Background())
				if err = dialErr; err == nil {
					_ = nc.Close()
				}
			}
			if err == nil {
				t.Errorf("%s %q is taken", way, evil)
			}
		}
	}
	if left, err := filepath.Glob(mark + "*"); err != nil || len(left) > 0 {
		t.Errorf("a command ran: %v, %v", left, err)
	}
	t.Logf("%d ways for a command to get in", attacks)
}

func TestHonestNamesInProxyCommand(t *testing.T) {
	for user, host := range map[string]string{`DOMAIN\kim`: "files.example", "kim@corp.example": "::1", "kim-b": "192.0.2.1"} {
		got, err := expandCommand("nc %h %p # %r", map[byte]string{'r': user, 'h': host, 'p': "22", 'n': "files"})
		if err != nil || got != "nc "+host+" 22 # "+user {
			t.Errorf("%s@%s: %q, %v", user, host, got, err)
		}
	}
	// What is not put in need not be a name.
	if got, err := expandCommand("nc gate 22", map[byte]string{'r': "$(x)"}); err != nil || got != "nc gate 22" {
		t.Errorf("%q, %v", got, err)
	}
}
