package main

import (
	"strings"
	"testing"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/options"
)

func TestRisks(t *testing.T) {
	for _, c := range []struct {
		settings options.Settings
		want     string
	}{
		{options.Settings{}, ""},
		{options.Settings{Metrics: "localhost:9100"}, ""},
		{options.Settings{Metrics: "127.0.0.7:9100"}, ""},
		{options.Settings{Metrics: "[::1]:9100"}, ""},
		{options.Settings{Metrics: "0.0.0.0:9100"}, "open to the network"},
		{options.Settings{Metrics: ":9100"}, "open to the network"},
		{options.Settings{Metrics: "[::]:9100"}, "open to the network"},
		{options.Settings{Metrics: "192.0.2.1:9100"}, "open to the network"},
		{options.Settings{AllowOther: true}, ""},
		{options.Settings{Kernel: []string{"suid"}}, ""},
		{options.Settings{AllowOther: true, Kernel: []string{"suid", "nosuid"}}, ""},
		{options.Settings{AllowOther: true, Kernel: []string{"noexec", "suid"}}, "suid"},
	} {
		m := &mounting{Settings: c.settings}
		got := strings.Join(m.risks(), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.settings, got, c.want)
		}
	}
}

// What could make a terminal do something, or show a name as another one.
func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"plain ünïcode 日本 🙂":      "plain ünïcode 日本 🙂",
		" a\nb\tc ":               "a b c",
		"a\u202etxt.exe":          "a?txt.exe",
		"\u2066a\u2069\u200f":     "?a??",
		"a\u200bb\ufeff\u2028c":   "a?b??c",
		"\U000e0041":              "?",
		"bad \xff utf":            "bad \ufffd utf",
		"fam\u0131ly \u0301 mark": "fam\u0131ly \u0301 mark",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
