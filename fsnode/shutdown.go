package fsnode

import (
	"context"
	"errors"
	"time"
)

// closeTimeout is how long handles may take that are still open when the mount
// is gone. Their data was flushed when programs closed them, unless the mount
// was cut under them.
const closeTimeout = 30 * time.Second

// shutdown gives everything back when the kernel asks for nothing any more. An
// unmounting kernel does not send the last RELEASEs.
func (f *filesystem) shutdown() {
	f.mu.Lock()
	files, dirs := f.files, f.dirs
	f.files, f.dirs = map[uint64]*handle{}, map[uint64]*dirHandle{}
	f.mu.Unlock()
	for _, d := range dirs {
		d.close()
	}
	timer := time.AfterFunc(closeTimeout, f.stop)
	for _, h := range files {
		f.release(h)
	}
	close(f.ending)
	f.expunging.Wait() // each tries once more
	timer.Stop()
	f.stop()
	f.work.Wait()
}

// flushHandles brings what is written to the server.
func (f *filesystem) flushHandles(ctx context.Context) error {
	f.mu.Lock()
	handles := make([]*handle, 0, len(f.files))
	for _, h := range f.files {
		if h.writes {
			handles = append(handles, h)
		}
	}
	f.mu.Unlock()
	var failed error
	for _, h := range handles {
		failed = errors.Join(failed, h.flushForOthers(ctx))
	}
	return failed
}
