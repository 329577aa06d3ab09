// Package sync makes a local folder and a remote one alike: push, pull, or both
// ways. Importers name it remotesync.
//
// # How a run goes
//
// Scan, plan, apply, folder by folder. Both sides of a folder are listed at the
// same time; the planner, a pure function of the two listings, says what is to
// be done about each name; workers do it. A tree is therefore never held whole:
// memory is bounded by the largest folder, the folders waiting to be listed and
// the copies in flight. Listings go deep first, which keeps the folders waiting
// few.
//
// The remote side is any remote.Remote. The local side is a tree of the same shape
// over os.Root (local.go), so a copy is one piece of code whichever way it goes.
//
// # What holds at every moment
//
//   - A file appears whole or not at all: it is written under a temporary name
//     beside its place, checked, given its time and mode, and renamed into place.
//     A name that was absent in the scan is never replaced by that rename; one
//     that was there is replaced only if it still is what the scan saw.
//   - Nothing is deleted but the source of a file that was copied, or compared in
//     full, in this run, and that only when asked for, and as long as it still is
//     what was read (remove.go).
//   - Nothing outside the local folder is touched, whatever names and links the
//     server sends: names that no file can have are refused and reported, every
//     local path is resolved by os.Root, and links are made, never followed,
//     unless the caller asks for following.
//   - A run killed at any point leaves only temporary files. The next run of the
//     same pair goes on with the large ones, after checking what is there, gives
//     sources that were set aside their names back, and removes the rest. They carry
//     their owner's name and their age, so that two machines pushing into one folder
//     leave each other's alone.
//   - An error about one name is part of the Result and the rest is done. Only
//     what concerns all names (the remote away, the root gone) ends a run.
//
// # When data is on the disk
//
// A copy that replaces a file, that is large, or whose source will be deleted is
// fsynced before the rename; in the last case its name is, too, after it (durable.go).
// A small new file is not: if the receiving machine loses power within seconds it may
// be found empty, its source is still there, and the next run sees the difference.
// FsyncAlways and FsyncNever say otherwise.
//
// # Left out on purpose
//
// Deleting what the source does not have; memory of earlier runs (a name deleted
// on one side comes back from the other); hard links (copied as files of their
// own); extended attributes and ACLs, which SFTP version 3 cannot carry.
package sync
