package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"os"
)

// Measures of the chart, in pixels.
const (
	chartLeft  = 250
	chartWidth = 640
	barHeight  = 9
	rowGap     = 8
	rowHead    = 46
)

var colours = map[string]string{
	"remotemount": "#1a73e8", "sshfs-gcm": "#9aa0a6", "rclone": "#e37400", "plain": "#c5c5c5",
}

// writeChart draws, for each series, how much faster each tool was than sshfs,
// on a logarithmic scale: a bar to the right is faster, to the left slower.
func writeChart(opt *options, data []sample) error {
	if opt.svg == "" {
		return nil
	}
	cells := table(data)
	var body bytes.Buffer
	y := 10
	for _, s := range seriesOf(data) {
		y = drawSeries(&body, cells, s, y)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		chartLeft+chartWidth+60, y+10)
	fmt.Fprintln(&b, `<rect width="100%" height="100%" fill="white"/>`)
	b.Write(body.Bytes())
	fmt.Fprintln(&b, `</svg>`)
	return os.WriteFile(opt.svg, b.Bytes(), 0o644)
}

// bar is how often the work of sshfs a tool did in sshfs's time.
type bar struct {
	tool *tool
	fold float64
}

func bars(cells map[key]cell, s series, w *work) []bar {
	base, ok := cells[key{s.user, s.rtt, w.name, "sshfs"}]
	if !ok || base.Error != "" || base.Seconds == 0 {
		return nil
	}
	var all []bar
	for _, t := range mountTools {
		c, ok := cells[key{s.user, s.rtt, w.name, t.name}]
		if ok && c.Error == "" && t.name != "sshfs" && c.Seconds > 0 {
			all = append(all, bar{t, base.Seconds / c.Seconds})
		}
	}
	return all
}

func drawSeries(b *bytes.Buffer, cells map[key]cell, s series, y int) int {
	fmt.Fprintf(b, `<text x="10" y="%d" font-size="15" font-weight="bold">%s, %s: times as fast as sshfs</text>`+"\n",
		y+16, html.EscapeString(latency(s.rtt)), s.user)
	x := 10
	for _, t := range mountTools {
		if colour := colours[t.name]; colour != "" {
			fmt.Fprintf(b, `<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
				x, y+25, colour, x+14, y+34, html.EscapeString(t.title))
			x += 30 + 7*len(t.title)
		}
	}
	top := y + rowHead
	y = top
	for _, w := range mountWorks {
		all := bars(cells, s, w)
		if len(all) == 0 {
			continue
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n",
			chartLeft-10, y+(len(all)*barHeight+9)/2, html.EscapeString(w.title))
		for _, bar := range all {
			drawBar(b, bar, y)
			y += barHeight
		}
		y += rowGap
	}
	for _, fold := range []float64{0.1, 1, 10, 100} {
		fmt.Fprintf(b, `<line x1="%[1]d" x2="%[1]d" y1="%d" y2="%d" stroke="#888" stroke-width="0.5"/><text x="%[1]d" y="%d" text-anchor="middle" font-size="10">%[5]g</text>`+"\n",
			place(fold), top-4, y, y+10, fold)
	}
	return y + 30
}

func drawBar(b *bytes.Buffer, v bar, y int) {
	one, end := place(1), place(v.fold)
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`, min(one, end), y, max(abs(end-one), 1), barHeight-1, colours[v.tool.name])
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="9">%s</text>`+"\n", max(one, end)+3, y+barHeight-1, digits(v.fold))
}

// place is where a factor lies, from a tenth to three hundred.
func place(fold float64) int {
	fold = min(max(fold, 0.1), 300)
	return chartLeft + int(float64(chartWidth)*math.Log10(fold/0.1)/math.Log10(300/0.1))
}

func abs(v int) int { return max(v, -v) }
