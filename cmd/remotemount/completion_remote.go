package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/remotemount/remotemount/cmd/remotemount/internal/address"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/config"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
)

// Folders of a remote are completed through a mount of it that is connected, and in no
// other way: a tab logs in nowhere and asks nothing. It takes a second at most, whatever
// the server does.

const (
	tabTime  = time.Second
	tabNames = 10000 // so many names of a folder are looked at
)

// remoteFolders gives the folders that a REMOTE may go on with, each as a whole word.
func remoteFolders(ctx context.Context, word string) []string {
	if strings.Contains(word, "://") || !strings.Contains(word, ":") {
		return nil // in a URL they would have to be written otherwise
	}
	store, err := config.Open(getenv)
	if err != nil {
		return nil
	}
	at, err := address.Parse(word, store.Has)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tabTime)
	defer cancel()
	mounts, _ := control.NewClient(getenv).All(ctx) // nothing to offer is an answer
	for _, s := range mounts {
		of, err := address.Parse(s.Remote, store.Has)
		if err != nil || s.State != "connected" {
			continue
		}
		dir, ok := below(at, of, s.Root)
		if !ok {
			continue
		}
		folders := foldersIn(ctx, filepath.Join(s.Mountpoint, dir), word[:len(word)-len(at.Path)]+at.Path[:strings.LastIndexByte(at.Path, '/')+1])
		slices.Sort(folders)
		return folders
	}
	return nil
}

// below finds the folder that was typed, up to its last slash, in a mount of the same
// remote, whose folder on the server is root.
func below(at, of address.Address, root string) (dir string, ok bool) {
	dir, top := at.Path[:strings.LastIndexByte(at.Path, '/')+1], of.Path
	at.Path, of.Path = "", ""
	if at != of || strings.Contains("/"+dir, "/../") {
		return "", false
	}
	switch {
	case strings.HasPrefix(dir, "/"):
		top = root
	case strings.HasPrefix(top, "/"):
		return "", false // where a relative one starts is not known
	}
	top = strings.TrimSuffix(top, "/")
	if top == "" { // where the user lands, or the server's root
		return dir, true
	}
	return strings.CutPrefix(dir, top+"/")
}

// foldersIn lists the folders in a folder of a mount, as far as it comes in time. The
// one who reads is left behind when it does not: this process ends now.
func foldersIn(ctx context.Context, dir, before string) []string {
	found := make(chan []string)
	go func() {
		defer close(found)
		f, err := os.Open(dir)
		if err != nil {
			return
		}
		defer func() { _ = f.Close() }() // only read
		for range tabNames / 100 {
			entries, err := f.ReadDir(100)
			var some []string
			for _, e := range entries {
				if e.Type()&fs.ModeDir != 0 && !strings.ContainsFunc(e.Name(), unicode.IsControl) {
					some = append(some, before+e.Name()+"/")
				}
			}
			select {
			case found <- some:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	var all []string
	for {
		select {
		case some, more := <-found:
			if all = append(all, some...); !more {
				return all
			}
		case <-ctx.Done():
			return all
		}
	}
}
