package fsnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A device is the number of a mount, "MAJOR:MINOR" as the mount table shows it.
type device string

// deviceOf finds it in the mount table. A stat of the mountpoint would ask
// ourselves.
func deviceOf(point string) device {
	found, err := devicesAt(point)
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// devicesAt asks the mount table what is mounted on a point, or anywhere if that is "".
func devicesAt(point string) ([]device, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	return findDevices(string(data), point), err
}

// findDevices: field 3 is the device and field 5 the mountpoint (proc(5)); the
// last mount on a point is the one on top.
func findDevices(mountinfo, point string) []device {
	var found []device
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > 5 && (point == "" || unescape(fields[4]) == point) {
			found = append(found, device(fields[2]))
		}
	}
	return found
}

// unescape undoes the octal escapes of white space in the mount table.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

var errNoDeviceNumber = errors.New("the mount table does not have this mount")

// abort cuts the connection to the kernel: every call under way ends. The
// connection's number is the minor one, the major being 0.
func (d device) abort() error {
	_, minor, ok := strings.Cut(string(d), ":")
	if !ok {
		return errNoDeviceNumber
	}
	file, err := os.OpenFile("/sys/fs/fuse/connections/"+minor+"/abort", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString("1")
	return errors.Join(err, file.Close())
}

// readAheadKB is how far the kernel reads ahead where we may say it. With 128 KiB,
// its own value, two requests wait for each other; with 4 MiB it is no faster than
// with 1 MiB, and four readers need twice the memory, for what is under way.
const readAheadKB = 1024

// readAhead sets it. Without it our own read-ahead still works.
func (m *FS) readAhead() {
	name := fmt.Sprintf("/sys/class/bdi/%s/read_ahead_kb", m.device)
	if err := os.WriteFile(name, []byte(strconv.Itoa(readAheadKB)), 0); err != nil {
		m.fs.cfg.Log.Debug("the kernel's read-ahead stays as it is", "error", err)
	}
}

// kickPoll is how often cut interrupts the readers again.
const kickPoll = 10 * time.Millisecond

// cut closes the connection to the kernel, which aborts it, where there is no
// /sys/fs/fuse/connections to do it through (containers). Readers of the
// descriptor keep it open while they wait. So another file takes its place, one
// that cannot be read, and they get a signal that Go's runtime ignores: their
// system calls start again, and fail.
func (m *FS) cut(ctx context.Context) error {
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Dup3(null, m.fd, unix.O_CLOEXEC)
	if err = errors.Join(err, unix.Close(null)); err != nil {
		return err
	}
	m.forgetConn()
	poll := time.NewTicker(kickPoll)
	defer poll.Stop()
	for {
		interruptThreads()
		select {
		case <-m.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}

// interruptThreads makes every thread of this process look up from its system
// call. SIGURG is what the runtime itself sends them to preempt goroutines.
func interruptThreads() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Tgkill(os.Getpid(), id, unix.SIGURG) // it may have ended
		}
	}
}
