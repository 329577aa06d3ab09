package serve

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/pkg/sftp"
)

// statusError is an error on its way to a client: a status of the protocol and,
// as its text, the errno it came from. It carries no path: that of the served
// folder on this machine is not the client's business.
type statusError struct {
	code error // one of pkg/sftp's ErrSSHFx...
	text string
}

func (e *statusError) Error() string { return e.text }
func (e *statusError) Unwrap() error { return e.code }

// status maps an error to the one that the request server turns into the
// right status packet. The table is OpenSSH's (errno_to_portable in
// sftp-server.c), so that clients which know what a status of OpenSSH's may
// mean are right here.
func status(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var done *statusError
	if errors.As(err, &done) {
		return err
	}
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return &statusError{statusOf(errno), errno.Error()}
	case errors.Is(err, os.ErrClosed):
		return &statusError{sftp.ErrSSHFxFailure, "file is closed"}
	case isEscape(err):
		return &statusError{sftp.ErrSSHFxPermissionDenied, "path leads out of the served folder"}
	}
	return &statusError{sftp.ErrSSHFxFailure, "failure"}
}

func statusOf(errno syscall.Errno) error {
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EBADF, syscall.ELOOP:
		return sftp.ErrSSHFxNoSuchFile
	case syscall.EPERM, syscall.EACCES, syscall.EFAULT, syscall.EROFS:
		return sftp.ErrSSHFxPermissionDenied
	case syscall.ENAMETOOLONG, syscall.EINVAL:
		return sftp.ErrSSHFxBadMessage
	case syscall.ENOSYS, syscall.EOPNOTSUPP:
		return sftp.ErrSSHFxOpUnsupported
	}
	return sftp.ErrSSHFxFailure
}

// isEscape recognises os.Root's refusal, which has no name and no errno. It is
// a plain error in a PathError or LinkError; the tests pin that.
func isEscape(err error) bool {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		err = l.Err
	}
	return err.Error() == "path escapes from parent"
}
