// Package pool makes one Remote of many SSH connections to a server.
//
// It owns everything that knows of connections: dialling and reconnecting, the
// cap on connections, which session a request goes to, what is repeated after a
// cut, and written data until the server has acknowledged it. Read pool/remote
// first: it is the contract that everything above relies on.
package pool
