package sftp3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// onEachServer runs a test against both servers, in a folder of its own.
func onEachServer(t *testing.T, test func(t *testing.T, c *Client, dir string)) {
	t.Run("openssh", func(t *testing.T) { test(t, startOpenSSH(t), t.TempDir()) })
	t.Run("pkgsftp", func(t *testing.T) { test(t, startPkgSFTP(t), t.TempDir()) })
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantCode checks that err is a StatusError with a code.
func wantCode(t testing.TB, err error, code uint32) {
	t.Helper()
	var status *StatusError
	if !errors.As(err, &status) || status.Code != code {
		t.Fatalf("got error %v, want status %d", err, code)
	}
}

func makeFile(t testing.TB, path string, size int) []byte {
	t.Helper()
	data := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	ok(t, os.WriteFile(path, data, 0o644))
	return data
}

func mustOpen(t testing.TB, c *Client, path string, flags uint32) Handle {
	t.Helper()
	h, err := c.StartOpen(path, flags, Attrs{}).WaitHandle(testContext(t))
	ok(t, err)
	return h
}

func TestOpenCreatesWithMode(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx, path := testContext(t), dir+"/f"
		a := Attrs{Flags: AttrPermissions, Permissions: 0o600}
		h, err := c.StartOpen(path, OpenWrite|OpenCreate|OpenExclusive, a).WaitHandle(ctx)
		ok(t, err)
		ok(t, c.StartClose(h).WaitStatus(ctx))
		info, err := os.Stat(path)
		ok(t, err)
		if info.Mode() != 0o600 {
			t.Errorf("mode %v, want 0600", info.Mode())
		}
		_, err = c.StartOpen(path, OpenWrite|OpenCreate|OpenExclusive, a).WaitHandle(ctx)
		wantCode(t, err, StatusFailure)
		_, err = c.StartOpen(dir+"/none", OpenRead, Attrs{}).WaitHandle(ctx)
		wantCode(t, err, StatusNoSuchFile)
	})
}

func TestAttributes(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx, path := testContext(t), dir+"/f"
		makeFile(t, path, 1000)
		set := Attrs{Flags: AttrSize | AttrPermissions | AttrACModTime, Size: 10, Permissions: 0o640, Atime: 2000, Mtime: 2000}
		ok(t, c.StartSetstat(path, set).WaitStatus(ctx))
		ok(t, os.Symlink("f", dir+"/l"))
		h := mustOpen(t, c, path, OpenRead)
		for name, call := range map[string]*Call{
			"stat": c.StartStat(dir + "/l"), "lstat": c.StartLstat(path), "fstat": c.StartFstat(h),
		} {
			a, err := call.WaitAttrs(ctx)
			ok(t, err)
			if a.Size != 10 || a.Mtime != 2000 || a.Atime != 2000 || a.Permissions != syscall.S_IFREG|0o640 {
				t.Errorf("%s: %+v", name, a)
			}
			if a.Flags != AttrSize|AttrUIDGID|AttrPermissions|AttrACModTime || a.UID != uint32(os.Getuid()) {
				t.Errorf("%s: %+v", name, a)
			}
		}
		a, err := c.StartLstat(dir + "/l").WaitAttrs(ctx)
		ok(t, err)
		if a.Permissions&syscall.S_IFMT != syscall.S_IFLNK {
			t.Errorf("lstat of a link: mode %o", a.Permissions)
		}
		_, err = c.StartStat(dir + "/none").WaitAttrs(ctx)
		wantCode(t, err, StatusNoSuchFile)
	})
}

func TestFsetstat(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx, path := testContext(t), dir+"/f"
		makeFile(t, path, 1000)
		h := mustOpen(t, c, path, OpenRead|OpenWrite)
		set := Attrs{Flags: AttrSize | AttrACModTime | AttrUIDGID, Size: 7, Atime: 1, Mtime: 3,
			UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
		ok(t, c.StartFsetstat(h, set).WaitStatus(ctx))
		ok(t, c.StartClose(h).WaitStatus(ctx))
		info, err := os.Stat(path)
		ok(t, err)
		if info.Size() != 7 || info.ModTime().Unix() != 3 {
			t.Errorf("size %d, mtime %d", info.Size(), info.ModTime().Unix())
		}
	})
}

func TestFolders(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx, path := testContext(t), dir+"/d"
		ok(t, c.StartMkdir(path, Attrs{Flags: AttrPermissions, Permissions: 0o700}).WaitStatus(ctx))
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			t.Fatalf("%v, %v", info, err)
		}
		makeFile(t, path+"/f", 1)
		wantCode(t, c.StartRmdir(path).WaitStatus(ctx), StatusFailure)
		ok(t, c.StartRemove(path+"/f").WaitStatus(ctx))
		ok(t, c.StartRmdir(path).WaitStatus(ctx))
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the folder is still there: %v", err)
		}
	})
}

func TestRename(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx := testContext(t)
		makeFile(t, dir+"/a", 1)
		makeFile(t, dir+"/b", 2)
		ok(t, c.StartRename(dir+"/a", dir+"/c").WaitStatus(ctx))
		ok(t, c.StartPosixRename(dir+"/c", dir+"/b").WaitStatus(ctx))
		if info, err := os.Stat(dir + "/b"); err != nil || info.Size() != 1 {
			t.Fatalf("%v, %v", info, err)
		}
	})
}

func TestLinks(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx := testContext(t)
		makeFile(t, dir+"/f", 1)
		ok(t, c.StartHardlink(dir+"/f", dir+"/hard").WaitStatus(ctx))
		ok(t, c.StartSymlink("some target", dir+"/soft").WaitStatus(ctx))
		if target, err := os.Readlink(dir + "/soft"); err != nil || target != "some target" {
			t.Errorf("the link leads to %q, %v", target, err)
		}
		names, err := c.StartReadLink(dir + "/soft").WaitNames(ctx)
		ok(t, err)
		if names[0].Filename != "some target" {
			t.Errorf("readlink gives %q", names[0].Filename)
		}
		info, err := os.Stat(dir + "/hard")
		ok(t, err)
		if info.Sys().(*syscall.Stat_t).Nlink != 2 {
			t.Errorf("not a hard link")
		}
	})
}

func TestStatVFSAndRealPath(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx := testContext(t)
		var want syscall.Statfs_t
		ok(t, syscall.Statfs(dir, &want))
		got, err := c.StartStatVFS(dir).WaitStatVFS(ctx)
		ok(t, err)
		if got.Blocks != want.Blocks || got.NameMax != uint64(want.Namelen) || got.Bsize != uint64(want.Bsize) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		names, err := c.StartRealPath(dir + "/./.").WaitNames(ctx)
		ok(t, err)
		real, err := filepath.EvalSymlinks(dir)
		ok(t, err)
		if names[0].Filename != dir && names[0].Filename != real {
			t.Errorf("realpath gives %q", names[0].Filename)
		}
	})
}

func TestReadWholeFile(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx := testContext(t)
		want := makeFile(t, dir+"/f", 3<<20+12345)
		h := mustOpen(t, c, dir+"/f", OpenRead)
		got := make([]byte, len(want))
		n, err := readAt(ctx, c, h, got, 0)
		ok(t, err)
		if n != len(want) || !bytes.Equal(got, want) {
			t.Fatalf("read %d bytes, equal %v", n, bytes.Equal(got, want))
		}
		n, err = readAt(ctx, c, h, got, int64(len(want)-1000))
		if n != 1000 || err != io.EOF || !bytes.Equal(got[:n], want[len(want)-1000:]) {
			t.Errorf("at the end: %d bytes, %v", n, err)
		}
		if n, err := readAt(ctx, c, h, got[:1], int64(len(want))); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d bytes, %v", n, err)
		}
		_, err = readAt(ctx, c, "no handle", got, 0)
		wantCode(t, err, StatusFailure)
	})
}

func TestWrites(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx := testContext(t)
		want := makeFile(t, dir+"/src", 2<<20+77)
		h := mustOpen(t, c, dir+"/f", OpenWrite|OpenCreate)
		answers := make(chan error, 4096)
		sizes := []int{1, 100, small, small + 1, c.Limits().MaxWrite}
		sent := 0
		for off, i := 0, 0; off < len(want); i++ {
			n := min(sizes[i%len(sizes)], len(want)-off)
			c.StartWrite(h, want[off:off+n], int64(off), func(err error) { answers <- err })
			off, sent = off+n, sent+1
		}
		for range sent {
			ok(t, <-answers)
		}
		ok(t, c.StartClose(h).WaitStatus(ctx))
		got, err := os.ReadFile(dir + "/f")
		ok(t, err)
		if !bytes.Equal(got, want) {
			t.Error("the file differs from what was written")
		}
		if s := c.Stats(); s.ByType[TypeWrite] != uint64(sent) {
			t.Errorf("counted %d writes, want %d", s.ByType[TypeWrite], sent)
		}
	})
}

func TestReadDirWhole(t *testing.T) {
	onEachServer(t, func(t *testing.T, c *Client, dir string) {
		ctx := testContext(t)
		want := []string{}
		for i := range 1234 {
			name := fmt.Sprintf("file %d", i)
			want = append(want, name)
			ok(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		}
		for _, inOrder := range []bool{false, true} {
			c.InOrder = inOrder
			got := listNames(t, c, dir)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("in order %v: listed %d names, want %d", inOrder, len(got), len(want))
			}
		}
		_, err := c.StartOpenDir(dir + "/none").WaitHandle(ctx)
		wantCode(t, err, StatusNoSuchFile)
	})
}

// listNames lists a folder, sorted, without "." and "..".
func listNames(t testing.TB, c *Client, dir string) []string {
	t.Helper()
	ctx := testContext(t)
	h, err := c.StartOpenDir(dir).WaitHandle(ctx)
	ok(t, err)
	got := []string{}
	ok(t, c.ReadDir(ctx, h, func(names []Name) error {
		for _, n := range names {
			if n.Filename != "." && n.Filename != ".." {
				got = append(got, n.Filename)
			}
			if !strings.HasSuffix(n.Longname, n.Filename) || n.Attrs.Flags&AttrPermissions == 0 {
				t.Errorf("entry %+v", n)
			}
		}
		return nil
	}))
	ok(t, c.StartClose(h).WaitStatus(ctx))
	slices.Sort(got)
	return got
}

// What only OpenSSH has.
func TestOpenSSHExtensions(t *testing.T) {
	c, dir, ctx := startOpenSSH(t), t.TempDir(), testContext(t)
	if l := c.Limits(); l.MaxRead != maxData || l.MaxWrite != maxData || l.MaxPacket != maxPacket || l.MaxHandles < 1 {
		t.Errorf("limits %+v", l)
	}
	want := makeFile(t, dir+"/f", 100_000)
	src, dst := mustOpen(t, c, dir+"/f", OpenRead), mustOpen(t, c, dir+"/g", OpenRead|OpenWrite|OpenCreate)
	ok(t, c.StartCopyData(src, 1000, 5000, dst, 10).WaitStatus(ctx))
	if err := c.StartCopyData(src, 99_000, 5000, dst, 5010).WaitStatus(ctx); err != nil {
		wantCode(t, err, StatusEOF) // as some versions answer when src is shorter
	}
	ok(t, c.StartFsync(dst).WaitStatus(ctx))
	got, err := os.ReadFile(dir + "/g")
	ok(t, err)
	if len(got) != 6010 || !bytes.Equal(got[10:5010], want[1000:6000]) || !bytes.Equal(got[5010:], want[99_000:]) {
		t.Errorf("copied %d bytes, or others", len(got))
	}
}

func TestOpenSSHLsetstat(t *testing.T) {
	c, dir, ctx := startOpenSSH(t), t.TempDir(), testContext(t)
	ok(t, os.Symlink("nowhere", dir+"/l"))
	ok(t, c.StartLsetstat(dir+"/l", Attrs{Flags: AttrACModTime, Atime: 5, Mtime: 6}).WaitStatus(ctx))
	info, err := os.Lstat(dir + "/l")
	ok(t, err)
	if !info.ModTime().Equal(time.Unix(6, 0)) {
		t.Errorf("mtime %v", info.ModTime())
	}
}

func TestOpenSSHUsers(t *testing.T) {
	c, ctx := startOpenSSH(t), testContext(t)
	if _, has := c.Extension(ExtUsersGroups); !has {
		missing(t, "users-groups-by-id (OpenSSH 9.1)")
	}
	me, err := user.Current()
	ok(t, err)
	users, groups, err := c.StartUsersGroups([]uint32{uint32(os.Getuid()), 4_000_000}, []uint32{0}).WaitUsersGroups(ctx)
	ok(t, err)
	if !slices.Equal(users, []string{me.Username, ""}) || !slices.Equal(groups, []string{"root"}) {
		t.Errorf("users %q, groups %q", users, groups)
	}
	names, err := c.StartExpandPath("~" + me.Username).WaitNames(ctx)
	ok(t, err)
	if names[0].Filename != me.HomeDir {
		t.Errorf("expand-path gives %q, want %q", names[0].Filename, me.HomeDir)
	}
}

// A server that does not have an extension is not asked for it.
func TestMissingExtension(t *testing.T) {
	c, ctx := startPkgSFTP(t), testContext(t)
	if l := c.Limits(); l != defaultLimits() {
		t.Errorf("limits %+v", l)
	}
	wantCode(t, c.StartFsync("h").WaitStatus(ctx), StatusOpUnsupported)
	if s := c.Stats(); s.Requests != 0 || c.Outstanding() != 0 {
		t.Errorf("%d requests sent", s.Requests)
	}
}
