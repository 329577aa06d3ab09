package main

import (
	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/bookmark"
)

// bookmarkFlag is --bookmark, or --bookmark=NAME.
type bookmarkFlag struct{ *cli.GenericFlag }

// TakesValue: a word behind the flag is no part of it.
func (bookmarkFlag) TakesValue() bool { return false }

func (f bookmarkFlag) String() string { return flagLine(f) }

// A bookmarkName is its value.
type bookmarkName struct{ label *string } // nil: no bookmark

// IsBoolFlag has package flag set "true" where nothing is given.
func (*bookmarkName) IsBoolFlag() bool { return true }

// Set takes a name, or whether there is to be a bookmark.
func (b *bookmarkName) Set(text string) error {
	switch text {
	case "false":
		b.label = nil
		return nil
	case "true":
		text = ""
	}
	b.label = &text
	return nil
}

func (b *bookmarkName) String() string {
	if b == nil || b.label == nil {
		return ""
	}
	return *b.label
}

// addBookmark puts the mount at the side of the user's file managers. Without that it is
// as good a mount.
func (r *running) addBookmark() {
	if r.m.Bookmark == nil {
		return
	}
	list, err := bookmark.Open(getenv)
	if err == nil {
		r.marked, err = list.Add(r.m.mountpoint, *r.m.Bookmark)
	}
	if err != nil {
		r.host.log.Warn("there is no bookmark", "err", err)
	}
}

// removeBookmark takes away what addBookmark added, and nobody has changed since.
func (r *running) removeBookmark() {
	if r.marked == "" {
		return
	}
	list, err := bookmark.Open(getenv)
	if err == nil {
		err = list.Remove(r.marked)
	}
	if err != nil {
		r.host.log.Warn("the bookmark stays", "err", err)
	}
}
