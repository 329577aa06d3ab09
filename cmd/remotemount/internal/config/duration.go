package config

import (
	"fmt"
	"strconv"
	"time"
)

// A Duration is written as Go writes it ("30s", "5m"); a bare number is
// seconds, as in ssh and sshfs.
type Duration time.Duration

// ParseDuration reads a duration that is not negative.
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, numErr := strconv.ParseFloat(text, 64); numErr == nil && n < 1e9 {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil {
		return 0, fmt.Errorf("%q is no duration: write 30s, 5m, or a number of seconds", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is a negative duration", text)
	}
	return d, nil
}

// Set makes a Duration the value of a flag.
func (d *Duration) Set(text string) error {
	v, err := ParseDuration(text)
	if err == nil {
		*d = Duration(v)
	}
	return err
}

// String writes it so that Set reads it.
func (d *Duration) String() string {
	if d == nil {
		return "0s"
	}
	return time.Duration(*d).String()
}

// UnmarshalText is for TOML.
func (d *Duration) UnmarshalText(text []byte) error { return d.Set(string(text)) }

// MarshalText is for TOML.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
