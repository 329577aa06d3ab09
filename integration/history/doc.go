// Package history judges a filesystem by random histories: what programs do with
// a few files, through several descriptors in several processes, done step by step
// in the mount and in a local folder. The local folder is right. Whatever differs,
// a byte, a count, an error, a size, is a difference, and the history that shows
// it is shortened until every step of it is needed.
//
// A history is a list of steps, and a step is a line of text (step.go), so what
// is printed for a failure can be read, changed and played again. Random makes
// histories (random.go); the same seed makes the same one. A Process does the steps
// of one process, in both places one after the other, and compares (process.go,
// player.go). It is a child of the test: no file of the mount is touched by the
// program that judges. Play plays a history over its processes, and Shrink shortens.
//
// What is left out on purpose: histories whose outcome is not determined (two
// processes at once), and stores to a mapping beyond the end of the file, which a
// local filesystem does not define either.
package history
