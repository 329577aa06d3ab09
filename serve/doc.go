// Package serve is an SFTP gateway: it serves one folder of this machine, and
// nothing else, to the owners of a list of keys. The protocol is spoken by
// github.com/pkg/sftp's request server; the folder is reached through os.Root.
//
// # Invariants
//
//   - Nothing outside the folder is reached by any path or symbolic link, also
//     while names are being exchanged for links by somebody else. Every path is
//     resolved by os.Root, from descriptor to descriptor; the calls that os.Root
//     does not have are made on a folder it opened and on a single name in it.
//   - A client has authenticated with one of the keys, as they are at that time,
//     before it may do anything but that. There are no passwords and no shells, no
//     forwarding and no commands: the one thing a session may ask for is the
//     subsystem "sftp". The user name a client gives is logged and means nothing;
//     everything happens with the rights of the process.
//   - A client cannot hold more than its share: handshakes have a deadline,
//     connections, sessions, open files and unanswered requests a limit, and a
//     client that is gone is found out by TCP. Whatever a connection held is given
//     back at its end.
//
// # Paths and links
//
// The folder is "/". Symbolic links are followed inside it as long as they are
// relative; an absolute one is never followed, not even to a place inside,
// because it is meant for the whole machine and not for the folder. Links of
// any kind can be made, read, renamed and removed: they are only text. The request
// server resolves ".." in a path before anything is looked up, so that link/../x is
// the x beside the link, where the kernel would look beside what the link leads to.
//
// # What the request server lacks, and what is done about it
//
//   - It drops the permissions of MKDIR and OPEN. They are read from the packet
//     before it sees them, and ride behind the path: see packets.go. They are
//     applied as open(2) and mkdir(2) do, under the umask of the process.
//   - It does not ask whether a packet fits its handle: READ, WRITE, and READDIR.
//     See packets.go.
//   - It answers FSTAT and FSETSTAT by the path a file was opened with, which
//     is wrong after a rename. Here a handle's request is given a name of its
//     own, so that they reach the open file: see handle.go.
//   - Its times of access are the times of modification, whatever was set.
//   - It runs READs and WRITEs beside each other and beside other requests, also
//     those for the same file. Here READs run beside each other, a bounded number
//     of them, and everything else runs alone and in order: see turns.go.
//   - It goes by the offset of a WRITE also where the file was opened for appending.
//     Here that goes to the end which the file then has.
//   - Of the extensions it has posix-rename, statvfs and hardlink. There is no
//     fsync, limits, lsetstat, copy-data, fstatvfs, expand-path: a client is told
//     so. SETSTAT of a symbolic link is about the file it leads to.
//   - A listing comes a hundred names at a time. A name that cannot be looked at is
//     left out and logged.
//
// Devices, pipes and sockets are listed but not opened.
package serve
