package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a count of bytes, written with K, M, G or T (and an optional "iB" or
// "B"), each 1024 times the one before.
type Size int64

// ParseSize reads a size that is not negative.
func ParseSize(text string) (int64, error) {
	s := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(text)), "B"), "I")
	unit := 1.0
	if i := len(s) - 1; i > 0 {
		if k := strings.IndexByte("KMGT", s[i]); k >= 0 {
			s, unit = strings.TrimSpace(s[:i]), math.Pow(1024, float64(k+1))
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n*unit >= math.MaxInt64 || math.IsNaN(n) {
		return 0, fmt.Errorf("%q is no size: write 256M, 1.5G, or a number of bytes", text)
	}
	return int64(n * unit), nil
}

// Set makes a Size the value of a flag.
func (s *Size) Set(text string) error {
	v, err := ParseSize(text)
	if err == nil {
		*s = Size(v)
	}
	return err
}

// String writes it so that Set reads it.
func (s *Size) String() string {
	if s == nil {
		return "0"
	}
	return FormatSize(int64(*s))
}

// FormatSize writes a count of bytes for people, in the form that Set reads.
func FormatSize(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	v, unit := float64(n), -1
	for v >= 1024 && unit < 3 {
		v, unit = v/1024, unit+1
	}
	text := strconv.FormatFloat(v, 'f', 1, 64)
	return strings.TrimSuffix(text, ".0") + string("KMGT"[unit])
}
