// Bench measures the same work on remotemount, on sshfs, on rclone mount, and on
// plain sftp as the limit of what the link gives, over a link of some latency.
//
//	go run ./integration/bench [flags]
//
// Every measurement has a fresh mount on a fresh connection, so nothing is warm
// but the server's page cache, which is the same for all. The tools alternate
// within a repetition, and the report shows medians. Work that writes is not done
// before the server has all of it.
//
// Results are kept in a file of JSON lines, so a long series can be made in
// parts: -append adds to it, and -report only writes the report.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	binary   string
	rclone   string
	tools    []string
	works    []string
	rtts     []time.Duration
	user     string
	scale    float64
	repeat   int
	limit    time.Duration
	data     string
	markdown string
	svg      string
	note     string
	append   bool
	report   bool
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == insideArg {
		exit(inside(os.Args[2:]))
	}
	opt, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	exit(errors.Join(err, run(opt, err)))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parse(args []string) (*options, error) {
	opt := &options{}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	tools := set.String("tool", strings.Join(toolNames(), ","), "`tools` to measure")
	works := set.String("work", strings.Join(workNames(), ","), "`works` to measure")
	rtts := set.String("rtt", "0,20ms,100ms", "round-trip `times` of the link; 0 is no link at all")
	set.StringVar(&opt.binary, "binary", "build/remotemount", "remotemount's `program`")
	set.StringVar(&opt.rclone, "rclone", "build/rclone", "rclone's `program`; built when it is not there")
	set.StringVar(&opt.user, "user", "", "run as this `user`: root, ordinary, or who you are")
	set.Float64Var(&opt.scale, "scale", 1, "`factor` for the sizes of files and the counts of reads")
	set.IntVar(&opt.repeat, "repeat", 3, "measure so many `times`")
	set.DurationVar(&opt.limit, "limit", 10*time.Minute, "give up a measurement after this `time`")
	set.StringVar(&opt.data, "data", "build/bench.jsonl", "`file` the measurements are kept in")
	set.StringVar(&opt.markdown, "markdown", "docs/BENCHMARKS.md", "`file` for the report; none when empty")
	set.StringVar(&opt.svg, "svg", "docs/bench.svg", "`file` for the chart; none when empty")
	set.StringVar(&opt.note, "note", "", "`text` for the report, such as what else the machine was doing")
	set.BoolVar(&opt.append, "append", false, "keep the measurements that are there, and add to them")
	set.BoolVar(&opt.report, "report", false, "only write the report, from the measurements that are there")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	opt.tools, opt.works = strings.Split(*tools, ","), strings.Split(*works, ",")
	for _, s := range strings.Split(*rtts, ",") {
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, err
		}
		opt.rtts = append(opt.rtts, d)
	}
	return opt, opt.absolute()
}

// absolute makes the programs' paths so: they run in another folder.
func (o *options) absolute() (err error) {
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	o.rclone, err = filepath.Abs(o.rclone)
	return err
}

func run(opt *options, err error) error {
	if err != nil {
		return nil
	}
	var data []sample
	if opt.append || opt.report {
		if data, err = load(opt.data); err != nil {
			return err
		}
	}
	if !opt.report {
		if data, err = measureAll(opt, data); err != nil {
			return err
		}
	}
	return errors.Join(writeReport(opt, data), writeChart(opt, data))
}

// measureAll goes through everything asked for. An interrupt ends it after the
// measurement under way; what has been measured is reported.
func measureAll(opt *options, data []sample) ([]sample, error) {
	tools, works, err := opt.chosen()
	if err != nil {
		return nil, err
	}
	if !opt.append {
		if err := os.Remove(opt.data); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	for rep := range opt.repeat {
		for _, rtt := range opt.rtts {
			for _, w := range works {
				for i := range tools {
					t := tools[(i+rep)%len(tools)] // nobody is always first
					if !t.does(w) {
						continue
					}
					select {
					case <-stop:
						return data, nil
					default:
					}
					s := measure(opt, t, w, rtt)
					fmt.Println(s)
					data = append(data, s)
					if err := save(opt.data, s); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	return data, nil
}

func (o *options) chosen() (tools []*tool, works []*work, err error) {
	for _, name := range o.tools {
		t := toolNamed(name)
		if t == nil {
			return nil, nil, fmt.Errorf("no tool %q: %s", name, strings.Join(toolNames(), ", "))
		}
		if err := t.ready(o); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		tools = append(tools, t)
	}
	for _, name := range o.works {
		w := workNamed(name)
		if w == nil {
			return nil, nil, fmt.Errorf("no work %q: %s", name, strings.Join(workNames(), ", "))
		}
		works = append(works, w)
	}
	return tools, works, nil
}
