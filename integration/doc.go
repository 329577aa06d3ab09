// Package integration holds the tests that run the built program, as a process
// of its own, on real mounts of a real sshd: as root and as an ordinary user.
//
// Below it are what they are made of: link is a bad network, lab gives users,
// servers and mounts, history plays random histories and compares them with a
// local folder, and bench measures the same work on other programs.
// setup.sh installs what all of them need.
//
// A test looks at three places: what programs see in the mount, what is on the
// server's side of it, and, at the end, that no mount, process or file is left.
package integration
