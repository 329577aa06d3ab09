package integration

import (
	"testing"
	"time"
	"os"
)

func TestZZ(t *testing.T) {
	d := newDistant(t, currentUser(t))
	m := d.mount(t, "--log-level", "debug")
	d.noise(t, "source", copySize)
	rate, _ := time.ParseDuration(os.Getenv("RATE")); d.link.SetRate(int64(rate))
	delay, _ := time.ParseDuration(os.Getenv("DELAY")); d.link.SetDelay(delay)
	stop := func() {}
	j := d.start(t, `cp source "$M/cp"`)
	began := time.Now()
	for range 60 {
		select {
		case <-j.ended:
			t.Log("ended", time.Since(began))
		case <-time.After(100*time.Millisecond):
			info, err := os.Stat(d.onServer("cp"))
			var n int64
			if err == nil { n = info.Size() }
			st := d.link.Stats()
			t.Logf("%v: %d bytes, %+v", time.Since(began), n, st)
			continue
		}
		break
	}
	stop()
	t.Log(m.Output())
	time.Sleep(3*time.Second)
	t.Logf("%v", d.status(t))
}
