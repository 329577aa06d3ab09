package serve

import (
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
)

// maxHandles bounds the open files of a session.
const maxHandles = 1024

// handlePrefix begins the name that an open file has towards the request
// server. pkg/sftp answers FSTAT and FSETSTAT by asking for the path in the
// request that opened the file, so that path is replaced by this name. A client
// that sends such a name itself reaches an open file of its own session, as it
// could by its handle.
const handlePrefix = "/\x00handle "

// handles are the open files and folders of a session.
type handles struct {
	mu   sync.Mutex
	last uint64              // guarded by mu
	open map[string]*os.File // guarded by mu

	// The request server numbers its handles as OPENs and OPENDIRs come, and
	// executes these in order, so that both sides can count.
	requests uint64              // guarded by mu: come
	executed uint64              // guarded by mu
	folders  map[string]struct{} // guarded by mu: handles that were asked for by OPENDIR, or are open
}

// asked counts an OPEN or OPENDIR that has come.
func (h *handles) asked(folder bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests++
	if !folder {
		return
	}
	if h.folders == nil {
		h.folders = make(map[string]struct{})
	}
	h.folders[strconv.FormatUint(h.requests, 10)] = struct{}{}
}

// execute gives the handle that the OPEN or OPENDIR which is being executed will
// have.
func (h *handles) execute() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.executed++
	return strconv.FormatUint(h.executed, 10)
}

// noFolder forgets a handle that is not a folder's any more.
func (h *handles) noFolder(handle string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.folders, handle)
}

func (h *handles) isFolder(handle string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.folders[handle]
	return ok
}

// room says whether one more may be opened. OPENs and OPENDIRs run alone, so that
// nobody takes it before add.
func (h *handles) room() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.open) >= maxHandles {
		return syscall.EMFILE
	}
	return nil
}

// add gives f a name, and puts it in the request that opened it.
func (h *handles) add(r *sftp.Request, f *os.File) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		h.open = make(map[string]*os.File)
	}
	h.last++
	r.Filepath = handlePrefix + strconv.FormatUint(h.last, 10)
	h.open[r.Filepath] = f
}

// get is the open file of that name. ok says whether path is such a name at
// all.
func (h *handles) get(path string) (f *os.File, ok bool, err error) {
	if !strings.HasPrefix(path, handlePrefix) {
		return nil, false, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f = h.open[path]
	if f == nil {
		return nil, true, syscall.EBADF
	}
	return f, true, nil
}

func (h *handles) close(name string) error {
	h.mu.Lock()
	f := h.open[name]
	delete(h.open, name)
	h.mu.Unlock()
	if f == nil {
		return syscall.EBADF
	}
	return f.Close()
}

// file is an open file as the request server sees it.
type file struct {
	*os.File
	name    string
	handles *handles
	flags   sftp.FileOpenFlags // what it was opened for
}

// ReadAt is an io.ReaderAt's.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if !f.flags.Read {
		return 0, status(syscall.EBADF)
	}
	if off < 0 {
		return 0, status(syscall.EINVAL)
	}
	n, err := f.File.ReadAt(p, off)
	if err == io.EOF {
		return n, err
	}
	return n, status(err)
}

// WriteAt is an io.WriterAt's. What is appended goes to the end, whatever the
// offset: clients disagree on which one they give.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if !f.flags.Write && !f.flags.Append {
		return 0, status(syscall.EBADF)
	}
	if f.flags.Append {
		n, err := f.File.Write(p)
		return n, status(err)
	}
	n, err := f.File.WriteAt(p, off)
	return n, status(err)
}

// Close gives the handle back.
func (f *file) Close() error { return status(f.handles.close(f.name)) }
