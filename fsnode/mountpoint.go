package fsnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	// ErrNoDevice: there is no /dev/fuse, or it cannot be opened.
	ErrNoDevice = errors.New("/dev/fuse cannot be opened")

	// ErrNoFusermount: an ordinary user needs fusermount3, and it is not there.
	ErrNoFusermount = errors.New("fusermount3 not found")
)

// maxIO is the largest READ and WRITE, and the kernel's own limit.
const maxIO = 1 << 20

// mountFlags are the options of mount(8) that mount(2) takes as flags. Others
// are the filesystem's.
var mountFlags = map[string]struct {
	flag  uintptr
	clear bool
}{
	"ro":         {unix.MS_RDONLY, false},
	"rw":         {unix.MS_RDONLY, true},
	"nosuid":     {unix.MS_NOSUID, false},
	"suid":       {unix.MS_NOSUID, true},
	"nodev":      {unix.MS_NODEV, false},
	"dev":        {unix.MS_NODEV, true},
	"noexec":     {unix.MS_NOEXEC, false},
	"exec":       {unix.MS_NOEXEC, true},
	"sync":       {unix.MS_SYNCHRONOUS, false},
	"async":      {unix.MS_SYNCHRONOUS, true},
	"dirsync":    {unix.MS_DIRSYNC, false},
	"noatime":    {unix.MS_NOATIME, false},
	"atime":      {unix.MS_NOATIME, true},
	"nodiratime": {unix.MS_NODIRATIME, false},
	"diratime":   {unix.MS_NODIRATIME, true},
	"relatime":   {unix.MS_RELATIME, false},

	"nosymfollow": {unix.MS_NOSYMFOLLOW, false}, // root's: fusermount3 does not have it
}

// attach mounts on point, as root with mount(2) and else by fusermount3, and
// gives the descriptor of the connection to the kernel.
func attach(ctx context.Context, point string, c *Config) (int, error) {
	options := c.options()
	if os.Geteuid() == 0 {
		return mountDirect(point, c, options)
	}
	options = append(options, "fsname="+c.Source, "subtype="+c.Subtype)
	return fusermount(ctx, point, options)
}

// options are those of the filesystem and of mount(8), without source and type.
func (c *Config) options() []string {
	options := append([]string(nil), c.Options...)
	if c.ReadOnly {
		options = append(options, "ro")
	}
	if c.AllowOther || c.AllowRoot {
		options = append(options, "allow_other")
	}
	if c.DefaultPermissions {
		options = append(options, "default_permissions")
	}
	return append(options, "max_read="+strconv.Itoa(maxIO))
}

func mountDirect(point string, c *Config, options []string) (int, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("%w: %w", ErrNoDevice, err)
	}
	data := []string{
		"fd=" + strconv.Itoa(fd), "rootmode=40000",
		"user_id=" + strconv.Itoa(os.Geteuid()), "group_id=" + strconv.Itoa(os.Getegid()),
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	for _, o := range options {
		switch f, ok := mountFlags[o]; {
		case !ok:
			data = append(data, o)
		case f.clear:
			flags &^= f.flag
		default:
			flags |= f.flag
		}
	}
	err = unix.Mount(c.Source, point, "fuse."+c.Subtype, flags, strings.Join(data, ","))
	if err != nil {
		return -1, errors.Join(fmt.Errorf("mount %s: %w", point, err), unix.Close(fd))
	}
	return fd, nil
}

// fusermount has the set-user-id helper mount, and receives the descriptor from
// it through a socket.
func fusermount(ctx context.Context, point string, options []string) (int, error) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return -1, fmt.Errorf("%w: %w", ErrNoDevice, err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("mount %s: %w", point, err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "fusermount"), os.NewFile(uintptr(pair[1]), "fusermount")
	defer func() { _ = ours.Close() }()
	args := []string{"-o", strings.Join(escaped(options), ","), "--", point}
	err = runFusermount(ctx, args, theirs)
	_ = theirs.Close()
	if err != nil {
		return -1, fmt.Errorf("mount %s: %w", point, err)
	}
	fd, err := receive(pair[0])
	if err != nil {
		return -1, fmt.Errorf("mount %s: no descriptor from fusermount3: %w", point, err)
	}
	return fd, nil
}

// escaped are options as fusermount3 takes them apart: at commas.
func escaped(options []string) []string {
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`)
	out := make([]string, len(options))
	for i, o := range options {
		out[i] = escape.Replace(o)
	}
	return out
}

// runFusermount runs the helper, with comm as its end of the socket if it has
// one. What it says on standard error is the error.
func runFusermount(ctx context.Context, args []string, comm *os.File) error {
	program, err := findFusermount()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if comm != nil {
		cmd.ExtraFiles = []*os.File{comm}
		cmd.Env = append(cmd.Env, "_FUSE_COMMFD=3")
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	err = cmd.Run()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(said.String())
	if text == "" {
		return fmt.Errorf("fusermount3: %w", err)
	}
	if strings.Contains(text, "Device or resource busy") {
		return fmt.Errorf("%w: %s", syscall.EBUSY, text)
	}
	return errors.New(text)
}

func findFusermount() (string, error) {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "fusermount", "/bin/fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoFusermount
}

// receive takes one descriptor from a socket.
func receive(socket int) (int, error) {
	data, control := make([]byte, 4), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return -1, err
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) > 0 {
			return fds[0], nil
		}
	}
	return -1, errors.New("nothing was sent")
}
