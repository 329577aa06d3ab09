// Package sftp3 is one SFTP version 3 session on one channel: it turns calls
// into packets and packets into answers, with any number of them in flight. It
// holds no policy: it never retries, never waits between requests, and knows
// neither paths that belong together nor other sessions. Package pool does.
//
// # Protocol
//
// draft-ietf-secsh-filexfer-02, and the extensions of OpenSSH's PROTOCOL file,
// each sent only when the server advertised it in the version we know;
// otherwise the call ends with StatusOpUnsupported and nothing is sent.
//
// # Requests
//
// A request is a value with a completion, not a goroutine. A Start method
// encodes it, gives it an identifier and queues it; it never waits for the
// network, and packets leave in the order of the Start calls. So a caller can
// send requests that depend on each other together, on a server known to execute
// them in order. Each session has two goroutines: the writer joins small packets
// that are waiting into one write on the channel and passes the payload of a
// large WRITE to it without copying; the reader has the payload of a DATA answer
// read from the channel straight into the caller's buffer.
//
// What is promised of each request:
//
//   - it is completed exactly once: by its answer, or with ErrLost when the
//     session ends. ErrUnsent, which is also an ErrLost, says that nothing of
//     the request was sent; of any other lost request nobody knows whether it
//     was executed;
//   - after its completion the session does not touch the caller's buffer;
//   - completions run on the session's reader goroutine, seldom on its writer or
//     on the goroutine that ends the session, and never inside a Start method.
//     They must not block. They may start further requests, and Abort, but not
//     Close.
//
// # Buffers
//
// Reading and writing allocate nothing in steady state: the requests behind
// them are used again, in a list that the session owns.
//
// # The server is not trusted
//
// Lengths, counts, identifiers and answer types are checked before they are
// used; an answer that does not fit its request ends the session with
// ErrProtocol, because after it nothing on the channel can be believed. A packet
// is at most 256 KiB, as with OpenSSH, and each outstanding request is answered
// at most once: that bounds what a server can make us hold. Names are passed on
// as they are, with '/', NUL, ".." or nothing in them: the pool sorts them out.
//
// # Locks
//
// One mutex, Client.mu, guards the table of outstanding requests and the state of
// calls. It is never held over a read or write on the channel, nor while a
// completion runs.
package sftp3
