// Command remotemount mounts a folder of another machine over SFTP, copies it,
// and keeps copies in step. See docs/remotemount.1.
//
// This package is wiring: what a verb says on the command line, which packages
// carry it out, and what becomes of their errors. One file is one verb; app.go
// has the list of them, wire.go puts a remote together, errors.go turns errors
// into messages and exit codes.
package main

import "os"

func main() {
	os.Exit(run(os.Args))
}
