package pool

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
)

// A Pool is a Remote over a capped set of connections to one server.
//
// Lock order: Pool.mu, registry.mu, object.mu. None is held during a network call.
type Pool struct {
	cfg    Config
	log    *slog.Logger
	slots  slots
	logins logins
	down   depth // of READs
	up     depth // of WRITEs
	files  registry
	clock  serverClock
	count  counters
	quirks quirks

	replacing replacements

	violations violations

	home   atomic.Uint64        // the number of the filesystem that the remote folder is on, 0 when it is not known
	homeOn atomic.Pointer[conn] // where it was asked for last

	// life ends when the Pool is closed; work of its own runs under it.
	life    context.Context
	endLife context.CancelFunc
	tasks   sync.WaitGroup // goroutines of the Pool's own
	begins  sync.RWMutex   // held for writing while life ends: no task is begun beside the Wait for them

	chunks     sync.Pool    // of *chunk
	writeHeld  atomic.Int64 // bytes written and not acknowledged, all files
	writeTaken atomic.Int64 // memory that these take

	mu      sync.Mutex
	conns   []*conn       // guarded by mu; the first is the interactive one
	dialing int           // guarded by mu; growth dials under way
	redial  bool          // guarded by mu; the reconnecting goroutine runs
	cap     int           // guarded by mu; connections the server lets us have
	capAt   time.Time     // guarded by mu; when cap was last lowered
	perConn int           // guarded by mu; sessions the server lets a connection have
	state   State         // guarded by mu
	since   time.Time     // guarded by mu; when state was entered
	lastErr error         // guarded by mu; why the last dial failed
	changed chan struct{} // guarded by mu; closed and replaced when conns or state change
	nudge   chan struct{} // a token ends the wait before the next dial
	info    remote.Info   // guarded by mu
	cutAt   time.Time     // guarded by mu; when the last connection went; zero while there is one
	refused bool          // guarded by mu; a dial has failed since
	failed  uint64        // guarded by mu; counts dials that failed
	rooted  bool          // guarded by mu; info.Root is known
	folder  *glance       // guarded by mu; until Connect takes it
	owned   bool          // guarded by mu; the owner in info is that of a file that we made
	lost    []LostData    // guarded by mu

	perConnAt time.Time     // guarded by mu; when perConn was last lowered...
	fewerFor  time.Duration // guarded by mu; ...and for how long that is believed

	starts starts // guarded by mu

	resting    atomic.Bool // no connection is kept without work
	disordered bool        // guarded by mu; the server was seen not to keep order

	counted map[*session]struct{} // guarded by mu; sessions whose requests are not in count
}

// New makes a Pool. Nothing goes over the network before the first use.
func New(cfg Config) (*Pool, error) {
	cfg = cfg.withDefaults()
	if strings.ContainsRune(cfg.Dir, 0) {
		return nil, fmt.Errorf("remote folder %q: %w", cfg.Dir, syscall.EINVAL)
	}
	p := &Pool{
		cfg:     cfg,
		log:     cfg.Log,
		slots:   slots{dir: cfg.SlotDir, max: cfg.MaxConnections},
		logins:  logins{max: time.Duration(cfg.MaxConnections) * loginCost},
		cap:     cfg.MaxConnections,
		perConn: cfg.Sessions,
		since:   time.Now(),
		changed: make(chan struct{}),
		nudge:   make(chan struct{}, 1),
		counted: make(map[*session]struct{}),
	}
	p.down.init()
	p.up.init()
	p.replacing = replacements{dir: cfg.Replacing, busy: make(map[string]bool), work: make(chan struct{}, 1)}
	p.life, p.endLife = context.WithCancel(context.Background())
	p.chunks.New = newChunk
	p.files.open, p.files.moving = remote.NewIndex[*object](), remote.NewIndex[*moving]()
	p.files.all, p.files.links = make(map[*object]struct{}), make(remote.Links)
	p.tasks.Go(p.watch)
	return p, nil
}

// Connect makes the first connection and finds the remote folder. Its errors
// are the dial's, or a PathError of the folder: ENOENT, ENOTDIR, EACCES. It
// tries once: whoever mounts wants to know why not.
func (p *Pool) Connect(ctx context.Context) error {
	p.mu.Lock()
	ready := len(p.conns) > 0 && p.rooted
	p.mu.Unlock()
	if ready {
		return nil
	}
	if err := p.dialFirst(ctx); err != nil {
		return err
	}
	a, err := p.statFolder(ctx)
	if err == nil && !a.IsDir() {
		err = remote.PathError("stat", p.cfg.Dir, syscall.ENOTDIR)
	}
	if err == nil {
		p.settleReplacements(ctx)
	}
	return err
}

// abs is the path on the server.
func (p *Pool) abs(rel string) string {
	p.mu.Lock()
	root := p.info.Root
	p.mu.Unlock()
	switch {
	case rel == ".":
		return root
	case root == "/":
		return "/" + rel
	}
	return root + "/" + rel
}

// Info tells what is known of the server.
func (p *Pool) Info() remote.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	info := p.info
	info.Away = p.away(time.Now())
	return info
}

// soon is for how long a connection that has just gone is expected back.
const soon = 2 * time.Second

// away is since when no connection can be had, or zero; mu is held.
func (p *Pool) away(now time.Time) time.Time {
	if p.cutAt.IsZero() || !p.refused && p.state == StateConnecting && now.Sub(p.cutAt) < soon {
		return time.Time{}
	}
	return p.cutAt
}

// Close flushes every open file until ctx ends, and ends all connections. Data
// that could not be flushed by then is reported as lost.
func (p *Pool) Close(ctx context.Context) error {
	err := p.flushAll(ctx)
	p.end(func(c *conn) { _ = c.conn.Close() })
	return err
}

// Abort ends everything at once.
func (p *Pool) Abort() {
	p.end(func(c *conn) { c.conn.Abort() })
}

func (p *Pool) end(close func(*conn)) {
	p.mu.Lock()
	p.setState(StateClosed, nil)
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	p.begins.Lock()
	p.endLife()
	p.begins.Unlock()
	for _, c := range conns {
		close(c)
		c.end()
	}
	p.tasks.Wait()
	for _, o := range p.files.everything() {
		o.abandon()
	}
}

// setState enters a state; mu is held.
func (p *Pool) setState(s State, err error) {
	if p.state == StateClosed {
		return
	}
	if err != nil {
		p.lastErr = err
	}
	if p.state != s {
		p.state, p.since = s, time.Now()
	}
	switch {
	case s == StateConnected:
		p.cutAt, p.refused = time.Time{}, false
	case p.cutAt.IsZero():
		p.cutAt = time.Now()
	}
	p.broadcast()
}

// broadcast wakes whoever waits for a change; mu is held.
func (p *Pool) broadcast() {
	close(p.changed)
	p.changed = make(chan struct{})
}
