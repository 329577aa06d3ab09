package mountpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Copies tells in words where a mount of that device ("MAJOR:MINOR") still shows:
// at another place here, or to a process that has a mount table of its own, as
// in a container. Of each such table one process is named, as far as we may look.
func Copies(device string) []string {
	var found []string
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil
	}
	found = append(found, placesOf("self", device)...)
	tables := map[string]int{} // by namespace: the first of its processes
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		pid, err := strconv.Atoi(filepath.Base(dir))
		namespace, linkErr := os.Readlink(dir + "/ns/mnt")
		if err != nil || linkErr != nil || namespace == own {
			continue // not one, gone, or not ours to look at
		}
		if first, known := tables[namespace]; !known || pid < first {
			tables[namespace] = pid
		}
	}
	for _, pid := range tables {
		if len(placesOf(strconv.Itoa(pid), device)) > 0 {
			found = append(found, fmt.Sprintf("the mount namespace of process %d (%s)", pid, nameOf(pid)))
		}
	}
	slices.Sort(found)
	return found
}

// placesOf are the mountpoints of a device in a process's mount table.
func placesOf(process, device string) []string {
	f, err := os.Open("/proc/" + process + "/mountinfo")
	if err != nil {
		return nil // gone, or not ours to look at
	}
	defer func() { _ = f.Close() }() // read only
	entries, err := parse(f)
	if err != nil {
		return nil
	}
	var places []string
	for _, e := range entries {
		if e.device() == device {
			places = append(places, e.Mountpoint)
		}
	}
	return places
}

func nameOf(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "gone"
	}
	return strings.TrimSpace(string(name))
}
