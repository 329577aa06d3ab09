package options

import "testing"

// FuzzOptions: options are set, ignored or refused with a reason, and what was set
// is settled.
func FuzzOptions(f *testing.F) {
	for _, text := range []string{"ro,uid=0,umask=022", `ProxyCommand=nc -x a\,b %h %p`, "contain_symlinks=strict,nosymfollow",
		"ServerAliveInterval=5,ServerAliveCountMax=3", `context="a,b"`, "attr_timeout=1h,cache_memory=1G", "direct_io", `\,`, "x-a=b,_netdev"} {
		f.Add(text, false)
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, text string, sloppy bool) {
		var s Settings
		if err := s.Parse(text, sloppy); err != nil {
			if e, ok := err.(*Error); !ok || e.Why == "" {
				t.Fatalf("%q: %T %v", text, err, err)
			}
			return
		}
		s.Finish()
		if s.Timeout < 0 || s.AttrTimeout != nil && *s.AttrTimeout < 0 || s.CacheMemory < 0 || s.Port < 0 {
			t.Fatalf("%q gives %+v", text, s)
		}
	})
}
