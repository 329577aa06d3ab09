// Package cache holds, for a short while, what is known of a remote.
//
// A Cache wraps a remote.Remote and is one. Whoever uses it sees the same remote
// with fewer round trips:
//
//   - attributes, absences and listings live for Config.AttrTimeout: from when they
//     arrived, and that names are complete from when the listing was begun. What a
//     listing brought that took longer than that can be looked at for half of it
//     afterwards. A listing
//     fills in the attributes of what it names, and for names that it does not
//     have it answers that they are not there;
//   - the same question, asked twice at a time, is sent once;
//   - file data is read ahead: a window for sequential readers, blocks for random
//     ones, whole small files and whole listings for a program that goes through
//     a tree.
//
// # What keeps it true
//
// Changes by others are seen when the life of what we hold is over, at the latest.
// Our own are seen at once. Everything follows from these rules:
//
//   - A change drops what it touches before it is sent, and again when its answer
//     is here; only then is the new state stored.
//   - An answer is stored only if nothing touched its path since the question was
//     asked: every question under way is a watch, and a change makes the watches on
//     its path stale. A later question is never joined with a stale one.
//   - Two changes of one path at a time leave nothing stored: which of them the
//     server executed last is not known.
//   - A change whose outcome is not known (given up, timed out) may be executed
//     late. Its paths are barred: for a minute nothing is stored for them.
//   - A listing begun before a change of ours, or longer ago than it would be held, is given
//     to nobody who asks now. One proves that a name is not there only where the folder may
//     be passed.
//   - What is changed by one name of a file concerns all names that were linked here.
//   - A change of attributes is left out only by a File whose own create or change told
//     mode and owner a little ago, if nobody here has changed those of any file since.
//   - Data written through a File is in the sizes we answer at once; the time of
//     change is ours until Flush tells the server's.
//   - Opening a file asks the server (close-to-open consistency). The one exception
//     is a small file that was read ahead as a whole in the last two seconds: it
//     serves one open, with the attributes of that reading.
//   - Data belongs to all who were told the same size and mtime when they opened the
//     file; who opens it later does not get what was read within two seconds of the
//     first sight of that time. A local write drops what it covers for every File on
//     that path, a truncation drops all of it, and so does the sight of another size
//     or mtime, by the path or along a link, unless data written to it is not flushed yet.
//
// With AttrTimeout 0 nothing is remembered. Only the window of a sequential reader
// is left, which close-to-open consistency covers.
//
// # What is read ahead
//
// A sequential reader has a window in front of it: twice what is under way at the rate
// at which it consumes, so that a window that is too small grows and one for a slow
// reader stays small. A random reader gets blocks as large as a round trip is worth,
// while they are of use. Both are extents, which live in one budget, the least recently
// used going first; what a sequential reader has passed goes at once, if nobody else
// reads the file.
//
// A program that goes through a tree is recognised by the order in which it does: that
// of the listing, of the names, or of the inode numbers. Folders and small files that
// come next are got in the background, as many as the program comes to while they are
// good; what is asked for meanwhile is waited for, but not for long, since background
// work stays behind other requests.
//
// # Locks
//
// There are two: tree.mu (names and attributes) before opened.mu (open files and data). Neither is
// held during a call of the remote, an emit, or the copying of data.
//
// # Left out on purpose
//
// Nothing is stored on disk. Two paths that lead to one file by a link on the server
// (a symbolic link inside the path, a hard link made elsewhere, a bind mount) are two
// files to the cache: through the other one, a change shows after AttrTimeout. Free space (StatFS) is always asked.
package cache
