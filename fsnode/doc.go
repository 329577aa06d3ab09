// Package fsnode is the mounted filesystem: a request of the kernel comes in,
// calls of a remote.Remote go out, an errno or an answer goes back.
//
// It speaks the FUSE protocol through go-fuse's raw layer and keeps the tree of
// nodes itself, because identity, paths and renames have to change in one step:
//
//   - A node is what the kernel knows a file by. Its number is a hash of the
//     path it was first seen under, unless a living node has that number
//     already; it is at the same time the inode number programs see. So numbers
//     are the same after a FORGET or another mount, and never shared by two
//     files that are alive. Looking a name up again gives the node it had.
//   - A node's path is put together from the names on the way to it. An
//     operation pins the path it works on; a rename or removal claims the names
//     it changes and waits until nothing is pinned below them. Nobody waits
//     while holding what another may wait for (see tree).
//   - A removed or replaced file that is still open gets a hidden name in its
//     folder until its last handle is closed.
//
// # What the kernel may keep
//
// Entries, attributes and absences for the attribute timeout. Pages of a file
// across opens, when size and mtime are what they were and the mtime was at
// least two seconds old by the server's clock when they were read (git's rule
// for racy timestamps). A listing while it is younger than the attribute
// timeout, under the same rule. The write-back cache stays off: it would make
// the kernel the owner of size and mtime.
//
// # Interrupts
//
// The kernel interrupts a request for any signal its caller gets. Only a caller
// that is being killed is let go (see call): its call ends with EINTR at once,
// whatever the request still does.
//
// # Locks
//
// tree.mu and the mutexes of handles are held for moments and never over a call
// of the Remote or of the kernel: a FORGET needs tree.mu, and a notification
// may have to wait for a request that is being answered here. Order: handle.mu,
// filesystem.mu, tree.mu.
//
// # Left out on purpose
//
// Extended attributes and ACLs (SFTP has none), device nodes and sockets, file
// locks between machines (the kernel's own flock and fcntl locks work on this
// machine), RENAME_EXCHANGE, holes, link counts the server does not tell.
package fsnode
