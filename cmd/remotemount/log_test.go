package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A journal that does not read must not hold up whoever logs.
func TestLogThatIsNotReadHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := make(chan struct{})
		var lines []string
		put, end := behind(func(_ slog.Level, line string) {
			<-reads
			lines = append(lines, line)
		})
		start := time.Now()
		for range logQueue + 50 {
			put(slog.LevelInfo, "a line")
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("logging took %v", took)
		}
		close(reads)
		synctest.Wait()
		put(slog.LevelInfo, "the last")
		end()
		all := strings.Join(lines, "\n")
		if len(lines) < logQueue || !strings.Contains(all, "further messages found no room") || lines[len(lines)-1] != "the last" {
			t.Errorf("%d lines, ending with %q", len(lines), lines[max(0, len(lines)-2):])
		}
	})
}

func TestLogThatIsNotReadDoesNotKeepTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		put, end := behind(func(slog.Level, string) { <-never })
		put(slog.LevelInfo, "a line")
		synctest.Wait()
		start := time.Now()
		end()
		if took := time.Since(start); took > time.Second {
			t.Errorf("the end took %v", took)
		}
		close(never)
	})
}
