package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// runs is what is said of two runs: a package that passes, one in which a test fails and
// another has a part that is skipped, and one that ends in the middle of a test.
var runs = [][]event{
	{
		{Action: "output", Package: "good", Test: "TestGood", Output: "=== RUN   TestGood\n"},
		{Action: "output", Package: "good", Test: "TestGood", Output: "    a_test.go:1: nobody cares\n"},
		{Action: "pass", Package: "good", Test: "TestGood", Elapsed: 1.5},
		{Action: "output", Package: "good", Output: "PASS\n"},
		{Action: "output", Package: "good", Output: "ok  \tgood\t1.6s\n"},
		{Action: "pass", Package: "good", Elapsed: 1.6},
	},
	{
		{Action: "output", Package: "bad", Test: "TestBad/part", Output: "    b_test.go:2: the reason\n"},
		{Action: "output", Package: "bad", Test: "TestBad/part", Output: "    --- FAIL: TestBad/part (0.10s)\n"},
		{Action: "fail", Package: "bad", Test: "TestBad/part", Elapsed: 0.1},
		{Action: "output", Package: "bad", Test: "TestBad", Output: "--- FAIL: TestBad (0.20s)\n"},
		{Action: "fail", Package: "bad", Test: "TestBad", Elapsed: 0.2},
		{Action: "output", Package: "bad", Test: "TestOther/part", Output: "    c_test.go:3: takes root\n"},
		{Action: "output", Package: "bad", Test: "TestOther/part", Output: "    --- SKIP: TestOther/part (0.00s)\n"},
		{Action: "skip", Package: "bad", Test: "TestOther/part"},
		{Action: "pass", Package: "bad", Test: "TestOther", Elapsed: 2.5},
		{Action: "output", Package: "bad", Output: "FAIL\tbad\t2.7s\n"},
		{Action: "fail", Package: "bad", Elapsed: 2.7},
		{Action: "output", Package: "torn", Test: "TestTorn", Output: "panic: torn\n"},
		{Action: "fail", Package: "torn", Elapsed: 0.1},
		{Action: "build-output", Output: "x.go:1: undefined: y\n"},
	},
}

func TestReport(t *testing.T) {
	const want = "ok  \tgood\t1.6s\n" +
		"    b_test.go:2: the reason\n    --- FAIL: TestBad/part (0.10s)\n--- FAIL: TestBad (0.20s)\n" +
		"FAIL\tbad\t2.7s\n" +
		"panic: torn\n" +
		"x.go:1: undefined: y\n" +
		"\nthe slowest tests:\n     2.5 s  bad TestOther\n     1.5 s  good TestGood\n     0.2 s  bad TestBad\n" +
		"\nskipped here:\n  bad TestOther/part: c_test.go:3: takes root\n"
	var out bytes.Buffer
	r := newReport(&out, false)
	for _, run := range runs {
		var text bytes.Buffer
		for _, e := range run {
			if err := json.NewEncoder(&text).Encode(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.read(&text); err != nil {
			t.Fatal(err)
		}
	}
	r.end()
	if out.String() != want {
		t.Errorf("shown:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestWhatIsNoEventIsShown(t *testing.T) {
	var out bytes.Buffer
	if err := newReport(&out, false).read(strings.NewReader("go: something odd")); err != nil || out.String() != "go: something odd" {
		t.Errorf("shown: %q, %v", out.String(), err)
	}
}

func TestSplit(t *testing.T) {
	got := split(strings.Fields("-v -race -- a b -- c"))
	if want := [][]string{{"-v", "-race"}, {"a", "b"}, {"c"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
