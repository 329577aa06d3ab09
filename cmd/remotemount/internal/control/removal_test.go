package control

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A status that finds the socket of a killed mount must not take away the one that a
// new mount puts in its place at that moment.
func TestAllSparesANewSocket(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, socketName("/mnt"))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := &Client{dirs: []string{dir}}
	for range 2 {
		go func() {
			for ctx.Err() == nil {
				_, _ = client.All(ctx)
			}
		}()
	}
	until := time.Now().Add(3 * time.Second)
	for n := 1; time.Now().Before(until); n++ {
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + ".x", Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		_ = stale.Close()
		if err := os.Rename(path+".x", path); err != nil { // what a killed mount leaves
			t.Fatal(err)
		}
		s, err := Listen(Config{Dir: dir, Mountpoint: "/mnt", Status: func() Status { return Status{Mountpoint: "/mnt"} }})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if _, err := os.Lstat(path); err != nil {
			t.Fatalf("the socket of a living mount is gone, in round %d: %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
