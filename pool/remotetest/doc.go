// Package remotetest holds what tests of pool.Remote share: an implementation on
// a local directory, the contract as a suite, and a scripted SFTP server.
//
// [Dir] is a pool.Remote made of plain system calls. Tests of the layers above
// the pool put it behind the seam: it counts calls, delays or fails them, and
// can keep written data until Flush as the pool does.
package remotetest
