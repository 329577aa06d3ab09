package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A cell is the medians of one tool's measurements of one work.
type cell struct {
	sample
	n int // measurements
}

type key struct {
	user string
	rtt  time.Duration
	work string
	tool string
}

// table takes medians. A cell where most measurements failed is a failure.
func table(data []sample) map[key]cell {
	groups := map[key][]sample{}
	for _, s := range data {
		k := key{s.User, s.RTT, s.Work, s.Tool}
		groups[k] = append(groups[k], s)
	}
	cells := map[key]cell{}
	for k, all := range groups {
		good := slices.DeleteFunc(slices.Clone(all), func(s sample) bool { return s.Error != "" })
		if 2*len(good) <= len(all) {
			cells[k] = cell{all[len(all)-1], len(all)}
			continue
		}
		c := cell{good[0], len(good)}
		c.Seconds = median(good, func(s sample) float64 { return s.Seconds })
		c.ClientCPU = median(good, func(s sample) float64 { return s.ClientCPU })
		c.ServerCPU = median(good, func(s sample) float64 { return s.ServerCPU })
		c.PeakMB = median(good, func(s sample) float64 { return s.PeakMB })
		c.FetchedMB = median(good, func(s sample) float64 { return s.FetchedMB })
		c.Turns = int64(median(good, func(s sample) float64 { return float64(s.Turns) }))
		cells[k] = c
	}
	return cells
}

func median(all []sample, of func(sample) float64) float64 {
	var v []float64
	for _, s := range all {
		v = append(v, of(s))
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// A series is what one table of the report is about.
type series struct {
	user string
	rtt  time.Duration
}

func seriesOf(data []sample) []series {
	var all []series
	for _, s := range data {
		if v := (series{s.User, s.RTT}); s.User != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b series) int {
		if c := strings.Compare(b.user, a.user); c != 0 {
			return c // root first
		}
		return int(a.rtt - b.rtt)
	})
	return all
}

func writeReport(opt *options, data []sample) error {
	if opt.markdown == "" {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `make bench` on %s.\n\n", time.Now().UTC().Format("2006-01-02"))
	fmt.Fprintf(&b, "%s\n\n", machine())
	for _, t := range allTools {
		if slices.ContainsFunc(data, func(s sample) bool { return s.Tool == t.name }) {
			fmt.Fprintf(&b, "- %s: %s\n", t.title, t.version(opt))
		}
	}
	b.WriteString(method)
	if opt.note != "" {
		fmt.Fprintf(&b, "\n%s\n", opt.note)
	}
	if opt.svg != "" {
		b.WriteString("\n![Speed compared with sshfs](bench.svg)\n")
	}
	cells := table(data)
	for _, s := range seriesOf(data) {
		writeSeries(&b, cells, s)
	}
	return os.WriteFile(opt.markdown, b.Bytes(), 0o644)
}

const method = `
Client and server share the machine, so its cores are shared too. Latency is made
by a proxy (integration/link), half of it in each direction; at 0 there is no
proxy. Each measurement has a fresh mount; the figures are medians. Work that
writes counts until all of it is on the server's disk cache, as compared there:
rclone's close returns earlier. rclone runs with its full cache and without its
delay before uploading; sshfs with its defaults, and once with the faster cipher.
`

func machine() string {
	cpu := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(info), "model name\t: "); ok {
			cpu, _, _ = strings.Cut(rest, "\n")
		}
	}
	var memory syscall.Sysinfo_t
	_ = syscall.Sysinfo(&memory) // then it says 0
	kernel, _ := exec.Command("uname", "-sr").Output()
	return fmt.Sprintf("Machine: %s, %d cores, %d GiB, %s.", cpu, runtime.NumCPU(),
		memory.Totalram*uint64(memory.Unit)>>30, strings.TrimSpace(string(kernel)))
}

func writeSeries(b *bytes.Buffer, cells map[key]cell, s series) {
	fmt.Fprintf(b, "\n## %s, %s\n", latency(s.rtt), map[string]string{"root": "as root", "ordinary": "as an ordinary user"}[s.user])
	costs := writeTable(b, cells, s, mountWorks, mountTools)
	costs = append(costs, writeTable(b, cells, s, syncWorks, syncTools)...)
	if len(costs) > 0 {
		fmt.Fprintf(b, "\n<details><summary>What it cost</summary>\n\n| work | tool | client's CPU | server's CPU | peak memory | turns of the link | fetched |\n|---|---|---:|---:|---:|---:|---:|\n%s\n\n</details>\n",
			strings.Join(costs, "\n"))
	}
}

// writeTable writes what the tools did of the works, if they did any, and gives the
// lines of what it cost.
func writeTable(b *bytes.Buffer, cells map[key]cell, s series, works []*work, tools []*tool) (costs []string) {
	var present []*tool
	for _, t := range tools {
		if slices.ContainsFunc(works, func(w *work) bool { _, ok := cells[key{s.user, s.rtt, w.name, t.name}]; return ok }) {
			present = append(present, t)
		}
	}
	if len(present) == 0 {
		return nil
	}
	heading, rule := "| work |", "|---|"
	for _, t := range present {
		heading, rule = heading+" "+t.title+" |", rule+"---:|"
	}
	fmt.Fprintf(b, "\n%s\n%s\n", heading, rule)
	for _, w := range works {
		line, any := "| "+w.title+" |", false
		for _, t := range present {
			c, ok := cells[key{s.user, s.rtt, w.name, t.name}]
			any = any || ok
			line += " " + show(w, c, ok) + " |"
			if ok && c.Error == "" && t.name != "plain" {
				costs = append(costs, cost(w, t, c))
			}
		}
		if any {
			fmt.Fprintln(b, line)
		}
	}
	return costs
}

func latency(rtt time.Duration) string {
	if rtt == 0 {
		return "No latency"
	}
	return fmt.Sprintf("%v of round-trip time", rtt)
}

func show(w *work, c cell, ok bool) string {
	switch {
	case !ok:
		return ""
	case c.Error != "":
		return "failed"
	case w.unit != "":
		return fmt.Sprintf("%s %s/s", digits(c.Amount/c.Seconds), w.unit)
	}
	return digits(c.Seconds) + " s"
}

// cost is given a GB where megabytes were moved, else for the work.
func cost(w *work, t *tool, c cell) string {
	per, unit := 1.0, "s"
	if w.unit == "MB" {
		per, unit = 1000/c.Amount, "s/GB"
	}
	turns, fetched := "", ""
	if c.Turns > 0 {
		turns, fetched = fmt.Sprint(c.Turns), digits(c.FetchedMB)+" MB"
	}
	return fmt.Sprintf("| %s | %s | %s %s | %s %s | %.0f MB | %s | %s |", w.title, t.title,
		digits(c.ClientCPU*per), unit, digits(c.ServerCPU*per), unit, c.PeakMB, turns, fetched)
}

func digits(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
