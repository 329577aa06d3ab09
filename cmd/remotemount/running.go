package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/remotemount/remotemount/cache"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/control"
	"github.com/remotemount/remotemount/cmd/remotemount/internal/mountpoint"
	"github.com/remotemount/remotemount/fsnode"
	"github.com/remotemount/remotemount/keys"
	"github.com/remotemount/remotemount/pool"
	"github.com/remotemount/remotemount/pool/remote"
)

// A host is what a mount runs in: a terminal, a service, or the background.
type host struct {
	prompt      keys.Prompter // nil: nobody can be asked
	signals     <-chan os.Signal
	lost        <-chan struct{} // closed when whoever waits for ready gave up; nil: nobody
	log, keyLog *slog.Logger
	mounted     func() error // called when mount(2) is done, and the folder not to be looked at again; nil: nothing to do
	ready       func() error
}

// A running is a mount that works.
type running struct {
	m       *mounting
	host    host
	link    *link
	cache   *cache.Cache
	fs      *fsnode.FS
	control *control.Server
	started time.Time
	sidecar *sidecar // nil without --sync
	marked  string   // the bookmark that was added; "" none

	dropped atomic.Int64 // bytes that were given up to end at once

	reconnecting sync.Mutex // held while somebody has it reconnect

	ctx  context.Context // the mount's life
	end  context.CancelFunc
	work sync.WaitGroup // goroutines of the mount's own

	ended   sync.Once
	done    chan struct{} // closed when everything is brought to an end
	outcome error         // set before done is closed
}

// serve mounts, says so, and returns when the mount has ended.
func (m *mounting) serve(h host) error {
	limitMemory(m.CacheMemory)
	raiseProcs()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopWatching := cancelWhile(cancel, h)
	r, err := m.start(ctx, h)
	interrupted := stopWatching()
	if err != nil {
		if interrupted {
			return fail(exitFailed, errors.New("interrupted, and nothing is mounted"), "")
		}
		return err
	}
	if interrupted {
		return errors.Join(fail(exitFailed, errors.New("interrupted, and nothing is mounted"), ""), r.stop(true))
	}
	if err := h.ready(); err != nil {
		return errors.Join(err, r.stop(true))
	}
	r.link.stopAsking()
	return r.wait()
}

// cancelWhile cancels what is being started when a signal comes or the person
// gives up, until it is stopped; then it tells whether that happened.
func cancelWhile(cancel context.CancelFunc, h host) (stop func() (interrupted bool)) {
	quit, result := make(chan struct{}), make(chan bool)
	go func() {
		select {
		case <-h.signals:
		case <-h.lost:
		case <-quit:
			result <- false
			return
		}
		cancel()
		result <- true
	}()
	return func() bool {
		close(quit)
		return <-result
	}
}

// start does all the steps; of what fails half-way nothing stays.
func (m *mounting) start(ctx context.Context, h host) (_ *running, err error) {
	r := &running{m: m, host: h, started: time.Now(), done: make(chan struct{})}
	r.ctx, r.end = context.WithCancel(context.WithoutCancel(ctx))
	var undo []func()
	defer func() {
		if err == nil {
			return
		}
		r.end()
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
		r.work.Wait()
	}()
	for _, risk := range m.risks() {
		h.log.Warn(risk)
	}
	metrics, err := m.listenMetrics()
	if err != nil {
		return nil, err
	}
	if metrics != nil {
		undo = append(undo, func() { _ = metrics.Close() }) // served nobody yet
	}
	if r.link, err = m.open(ctx, h); err != nil {
		return nil, err
	}
	undo = append(undo, r.link.pool.Abort)
	r.cache = cache.New(r.link.pool, cache.Config{
		AttrTimeout: m.attrTimeout(),
		Memory:      m.cacheMemory(),
		Besides:     r.link.pool.WriteMemory,
		Inode:       fsnode.InodeNumber,
		Log:         h.log,
	})
	undo = append(undo, func() { _ = r.cache.Close() }) // the first error is the one to tell
	c := m.fsConfig(r.cache, h.log)
	c.Orphaned = r.link.pool.Rest
	placed := func() {}
	if dir, err := control.RuntimeDir(getenv); err == nil {
		placed = control.Mounting(dir)
	}
	r.fs, err = fsnode.Mount(ctx, m.mountpoint, c)
	placed()
	if err != nil {
		return nil, fail(exitMountpoint, fmt.Errorf("mount at %s: %w", m.mountpoint, err), "remotemount doctor "+shellQuote(m.target.given))
	}
	undo = append(undo, func() { _ = r.fs.ForceUnmount() }) // likewise
	if source, yes := mountpoint.Covers(r.fs.Device(), m.mountpoint); yes {
		return nil, fail(exitMountpoint, fmt.Errorf("mountpoint %s: %s was mounted there meanwhile", m.mountpoint, source), "remotemount unmount "+shellQuote(m.mountpoint))
	}
	if h.mounted != nil {
		if err = h.mounted(); err != nil {
			return nil, err
		}
	}
	if r.control, err = r.listenControl(); err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = r.control.Close() }) // likewise
	if err = r.startSidecar(); err != nil {
		return nil, err
	}
	r.serveMetrics(metrics)
	r.work.Go(r.enableWhenAccepted)
	r.work.Go(r.keepMemory)
	if !m.NoNotify {
		r.work.Go(r.notify)
	}
	r.addBookmark()
	if m.Wait {
		r.work.Go(func() { _, _ = r.link.pool.Stat(remote.Background(r.ctx), "") }) // whoever asks has the pool dial until it is there
	}
	return r, nil
}

// firstTry is how long a mount with --wait tries to connect before it goes on.
const firstTry = 5 * time.Second

// open connects. With --wait the mount also comes to be while the server cannot be
// reached; what the server refuses, or is wrong here, is told as ever.
func (m *mounting) open(ctx context.Context, h host) (*link, error) {
	if !m.Wait {
		return m.target.open(ctx, h.prompt, h.log, h.keyLog)
	}
	l, err := m.target.assemble(ctx, h.prompt, h.log, h.keyLog)
	if err != nil {
		return nil, err
	}
	l.clock.limit = min(l.timeout(), firstTry)
	err = l.connect(ctx)
	if err == nil {
		return l, nil
	}
	if explain(err).code != exitUnreachable || ctx.Err() != nil {
		l.pool.Abort()
		return nil, err
	}
	h.keyLog.Warn("the server cannot be reached yet; the mount connects when it can", "remote", m.target.given, "error", oneLine(withoutPreface(err).Error()))
	return l, nil
}

// wait returns when the mount has ended: by a signal, by `unmount`, or by
// fusermount3 or umount.
func (r *running) wait() error {
	unmounted := make(chan struct{})
	go func() {
		r.fs.Wait()
		close(unmounted)
	}()
	var dropped error
	select {
	case <-unmounted:
		_ = r.stop(false)
	case sig := <-r.host.signals:
		r.host.log.Info("ending", "signal", sig.String())
		go func() { _ = r.stop(false) }() // its result is the outcome
		select {
		case <-r.done:
		case <-r.host.signals:
			dropped = r.dropWritten()
		}
	case <-r.done: // by `unmount`
	}
	<-r.done
	err := errors.Join(r.outcome, dropped)
	if err != nil { // in the background nobody else hears of it
		r.host.log.Error("the mount has ended", "mountpoint", r.m.mountpoint, "err", err)
	}
	return err
}

// dropWritten ends the mount without its data, at a second signal. The pool goes
// first: calls that wait for it would hold up the rest.
func (r *running) dropWritten() error {
	r.drop()
	r.host.log.Warn("ending at once", "unacknowledged bytes", r.dropped.Load())
	r.link.pool.Abort()
	r.force()
	return r.droppedError()
}

// drop keeps in mind how much is given up by what comes now.
func (r *running) drop() { r.dropped.CompareAndSwap(0, r.link.pool.Status().Unacknowledged) }

func (r *running) droppedError() error {
	if n := r.dropped.Load(); n > 0 {
		return fmt.Errorf("ended at once: %d bytes that were written had not reached the server and are lost", n)
	}
	return nil
}

// stop ends everything, in order: no more calls, data out, connections closed.
// At once means that data is not waited for.
func (r *running) stop(atOnce bool) error {
	r.ended.Do(func() {
		r.outcome = r.shutdown(atOnce)
		close(r.done)
	})
	<-r.done
	return r.outcome
}

func (r *running) shutdown(atOnce bool) error {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) // no systemd, no matter
	r.end()
	ctx, cancel := context.WithTimeout(context.Background(), r.patience())
	defer cancel()
	if atOnce {
		r.force()
	} else if inUse, err := r.fs.Unmount(ctx); err != nil || inUse > 0 {
		// Files are open, or the remote is away: out of the tree, and what was
		// written goes out below.
		r.host.log.Info("unmounted while in use", "open elsewhere", inUse, "err", err)
		if err := r.fs.ForceUnmount(); err != nil {
			r.host.log.Warn("unmount", "err", err)
		}
	}
	r.removeBookmark()
	err := errors.Join(r.cache.Close(), r.link.close(ctx))
	r.work.Wait()
	lost := r.lostError()
	r.control.Ended(errors.Join(lost, r.droppedError()))
	return errors.Join(err, lost, r.control.Close())
}

// patience is how long written data is waited for at the end.
func (r *running) patience() time.Duration {
	return first(time.Duration(r.m.target.conn.Retry), 10*time.Minute)
}

// force ends the mount within two seconds, whatever the link does.
func (r *running) force() {
	r.drop()
	if err := r.fs.ForceUnmount(); err != nil {
		r.host.log.Warn("unmount", "err", err)
	}
	r.link.pool.Abort()
}

func (r *running) lostError() error {
	st := r.link.pool.Status()
	if st.LostCount == 0 {
		return nil
	}
	last := st.Lost[len(st.Lost)-1]
	return fmt.Errorf("data of %d files was lost; the last: %s, %d bytes: %w", st.LostCount, last.Path, last.Bytes, last.Err)
}

// unmount is asked for over the control socket. The caller waits for the process.
// While files are open in a copy of the mount there is nothing to wait for: it
// ends by itself when they are closed.
func (r *running) unmount(ctx context.Context, force bool) (control.Unmounted, error) {
	answer := control.Unmounted{Device: r.fs.Device()}
	if force {
		r.force()
		go func() { _ = r.stop(true) }() // the caller waits for the process
		return answer, nil
	}
	var err error
	if answer.InUse, err = r.fs.Unmount(ctx); err != nil {
		return answer, fmt.Errorf("unmount %s: %w", r.m.mountpoint, err)
	}
	if answer.InUse == 0 {
		go func() { _ = r.stop(false) }() // likewise
	}
	return answer, nil
}

func (r *running) listenControl() (*control.Server, error) {
	dir, err := control.RuntimeDir(getenv)
	if err != nil {
		return nil, err
	}
	return control.Listen(control.Config{Dir: dir, Mountpoint: r.m.mountpoint, Status: r.status, Unmount: r.unmount, Reconnect: r.reconnect})
}

func (m *mounting) listenMetrics() (net.Listener, error) {
	if m.Metrics == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", m.Metrics)
	if err != nil {
		return nil, fail(exitFailed, fmt.Errorf("--metrics %s: %w", m.Metrics, err), "give another address, as localhost:9100")
	}
	return l, nil
}

func (r *running) serveMetrics(l net.Listener) {
	if l == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", control.Metrics(r.status))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	r.work.Go(func() { _ = server.Serve(l) }) // always http.ErrServerClosed
	r.work.Go(func() {
		<-r.ctx.Done()
		_ = server.Close() // nothing of it is kept
	})
}

// acceptPoll is how often a disabled mount looks whether its host was accepted.
const acceptPoll = time.Second

// enableWhenAccepted puts a mount back to work that a changed host key has
// disabled, when `hostkey accept` was called, in whichever process. A refused
// login is not tried again on its own.
func (r *running) enableWhenAccepted() {
	tick := time.NewTicker(acceptPoll)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		st := r.link.pool.Status()
		if st.State == pool.StateDisabled && keys.IsHostKeyFailure(st.LastError) && r.link.blocked() == nil {
			r.link.pool.Enable()
		}
	}
}

// notifyReady tells systemd (Type=notify) that the mount works.
func notifyReady() error {
	_, err := daemon.SdNotify(false, daemon.SdNotifyReady)
	return err
}

// raiseProcs: a read of /dev/fuse that waits keeps one of the runtime's processors
// for tens of microseconds, until it is taken away. With two of them, on two cores,
// random reads are a sixth slower than with four; with eight large files cost more.
func raiseProcs() {
	if getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 4))
	}
}
