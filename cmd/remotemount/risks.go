package main

import (
	"net"
	"slices"
)

// risks are what somebody who mounts so should have been told.
func (m *mounting) risks() []string {
	var told []string
	if m.Metrics != "" && !loopback(m.Metrics) {
		told = append(told, "--metrics "+m.Metrics+" is open to the network, without a password; localhost:PORT is for this machine alone")
	}
	suid := slices.Index(m.Kernel, "suid") > slices.Index(m.Kernel, "nosuid")
	if suid && m.AllowOther {
		told = append(told, "suid with allow_other lets the server make any user of this machine root; leave suid out unless the server is trusted like this machine")
	}
	return told
}

// loopback reports whether an address to listen at is this machine's alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
