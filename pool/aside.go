package pool

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// Replacing a file on a server that cannot rename over one, where --replace-by-moving
// asks for it: the old file steps aside under a name of ours, the new one gets its
// name, the old one is removed. One of the two is on the server at every moment. What
// is under way stands in a file of the state folder, which is on the disk before the
// old file steps aside, and locked while its process is at it. What a process has left
// there is settled by the next connection to that remote.

// A replacement is what is under way.
type replacement struct {
	Remote string // as Config.Name says
	Folder string // absolute, on the server
	Name   string // of what is replaced, relative to Folder
	Aside  string // where it is meanwhile
	Size   int64  // of what is to have its name
	Mtime  int64

	file *os.File // with the lock on it
	at   string   // its path
}

// replacements are those of this Pool.
type replacements struct {
	dir string // "" where replacing is not asked for

	mu   sync.Mutex
	busy map[string]bool // guarded by mu; files of those under way here
	work chan struct{}   // a token: one goroutine settles at a time
}

// key begins the names of the files of one remote.
func (p *Pool) asideKey() string {
	sum := sha256.Sum256([]byte(p.cfg.Name + "\n" + p.Info().Root))
	return hex.EncodeToString(sum[:8]) + "-"
}

// begin writes down what is about to be done. The file gets the name by which others
// find it when it is locked and whole.
func (p *Pool) begin(r *replacement) (err error) {
	dir := p.replacing.dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := p.asideKey() + strings.ToLower(rand.Text())
	early := filepath.Join(dir, "."+name)
	if r.file, err = os.OpenFile(early, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	r.at = filepath.Join(dir, name)
	p.replacing.mu.Lock()
	p.replacing.busy[r.at] = true
	p.replacing.mu.Unlock()
	text, err := json.Marshal(r)
	if err == nil {
		err = syscall.Flock(int(r.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil {
		_, err = r.file.Write(append(text, '\n'))
	}
	if err == nil {
		err = r.file.Sync()
	}
	if err == nil {
		err = os.Rename(early, r.at)
	}
	if err == nil {
		err = syncFolder(dir)
	}
	if err != nil {
		_ = os.Remove(early)
		p.ended(r, true)
	}
	return err
}

// ended lets go of what was written down, and forgets it when it is settled.
func (p *Pool) ended(r *replacement, settled bool) {
	if settled {
		_ = os.Remove(r.at) // it would be settled once more, which changes nothing
	}
	_ = r.file.Close() // ends the lock
	p.replacing.mu.Lock()
	defer p.replacing.mu.Unlock()
	delete(p.replacing.busy, r.at)
}

// left lets go of a replacement that ended otherwise than by an answer, and has it
// settled: at once if the server can be reached, else with the next connection.
func (p *Pool) left(r *replacement, settled bool) {
	p.ended(r, settled)
	if !settled {
		p.settleLater()
	}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// replaceByMoving is Rename over a file that is there. Once begun it goes on also when
// its caller gives up.
func (p *Pool) replaceByMoving(ctx context.Context, from, to string) error {
	done := make(chan error, 1)
	p.spawn(func() { done <- p.replaceInSteps(p.life, from, to) }, func() { done <- errClosed })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Pool) replaceInSteps(ctx context.Context, from, to string) error {
	source, err := p.Lstat(ctx, from)
	if err != nil {
		return err
	}
	dir, _ := remote.Split(to)
	r := &replacement{
		Remote: p.cfg.Name, Folder: p.Info().Root, Name: to, Size: source.Size, Mtime: source.Mtime,
		Aside: remote.Join(dir, ".remotemount-replaced-"+strings.ToLower(rand.Text())),
	}
	if err := p.begin(r); err != nil {
		return fmt.Errorf("what is about to be replaced cannot be written down: %w", err)
	}
	if err := p.Rename(ctx, to, r.Aside, true); err != nil {
		p.left(r, isAnswer(err))
		return err
	}
	if err := p.Rename(ctx, from, to, true); err != nil {
		p.left(r, p.Rename(ctx, r.Aside, to, true) == nil)
		return err
	}
	err = p.Remove(ctx, r.Aside)
	p.left(r, err == nil || errors.Is(err, syscall.ENOENT))
	return nil
}

// isAnswer reports whether an error says that nothing was done.
func isAnswer(err error) bool {
	return !errors.Is(err, syscall.ETIMEDOUT) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// settleReplacements ends what processes that are gone, or lost connections, have left.
func (p *Pool) settleReplacements(ctx context.Context) {
	if p.replacing.dir == "" {
		return
	}
	select {
	case p.replacing.work <- struct{}{}:
		defer func() { <-p.replacing.work }()
	default:
		return
	}
	names, err := filepath.Glob(filepath.Join(p.replacing.dir, p.asideKey()+"*"))
	if err != nil {
		return
	}
	for _, name := range names {
		p.replacing.mu.Lock()
		busy := p.replacing.busy[name]
		p.replacing.mu.Unlock()
		if !busy {
			p.settleFile(ctx, name)
		}
	}
}

func (p *Pool) settleFile(ctx context.Context, name string) {
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	r := &replacement{file: f, at: name}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = f.Close()
		return // another process is at it
	}
	if json.NewDecoder(f).Decode(r) != nil {
		p.ended(r, true) // cut short: the old file had not stepped aside then
		return
	}
	if r.Remote != p.cfg.Name || r.Folder != p.Info().Root {
		_ = f.Close()
		return
	}
	p.ended(r, p.settle(ctx, r))
}

// settle gives an old file its name back, or removes it when the new one has it. It
// reports whether that is done.
func (p *Pool) settle(ctx context.Context, r *replacement) bool {
	_, err := p.lstat(ctx, r.Aside)
	if isErrno(err, syscall.ENOENT) {
		return true // it never stepped aside, or it is over
	}
	now, nerr := p.lstat(ctx, r.Name)
	switch {
	case err != nil:
		return false
	case isErrno(nerr, syscall.ENOENT):
		err = p.Rename(ctx, r.Aside, r.Name, true)
	case nerr != nil:
		return false
	case now.Size != r.Size || now.Mtime != r.Mtime:
		p.log.Warn("a replaced file is kept: what has its name is not what was to have it", "path", r.Name, "as", r.Aside)
		return true
	default:
		err = p.Remove(ctx, r.Aside)
	}
	if err != nil {
		p.log.Warn("what was left of a replacement could not be settled", "path", r.Name, "as", r.Aside, "err", err)
		return false
	}
	p.log.Info("settled what was left of a replacement", "path", r.Name)
	return true
}

// settleLater is settleReplacements for a connection that has just been made again.
func (p *Pool) settleLater() {
	if p.replacing.dir == "" {
		return
	}
	p.spawn(func() {
		ctx, cancel := context.WithTimeout(p.life, 10*time.Minute)
		defer cancel()
		p.settleReplacements(ctx)
	}, nil)
}
