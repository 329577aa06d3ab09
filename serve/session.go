package serve

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// maxRead is the largest answer to a READ. It is OpenSSH's, so that a client
// that assumes OpenSSH's limits is right here too; pkg/sftp takes packets up to
// 256 KiB.
const maxRead = 261120

// serveChannel takes a session channel and waits for the request for SFTP.
// What else can be asked of a session (a shell, a command, a variable) is
// refused, and so is a second subsystem.
func (s *Server) serveChannel(log *slog.Logger, newChannel ssh.NewChannel, draft bool) {
	ch, requests, err := newChannel.Accept()
	if err != nil {
		log.Debug("accept channel", "err", err)
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	started := false
	for req := range requests {
		ok := !started && isSFTP(req)
		if req.WantReply {
			if err := req.Reply(ok, nil); err != nil {
				log.Debug("reply", "err", err)
			}
		}
		if ok {
			started = true
			running.Go(func() { s.serveSFTP(log, ch, draft) })
		}
	}
	s.closeQuietly(eofIsFine{ch})
}

func isSFTP(req *ssh.Request) bool {
	var subsystem struct{ Name string }
	return req.Type == "subsystem" &&
		ssh.Unmarshal(req.Payload, &subsystem) == nil && subsystem.Name == "sftp"
}

// serveSFTP speaks SFTP on a channel until the client has enough. draft says that
// its SYMLINKs come in the draft's order.
func (s *Server) serveSFTP(log *slog.Logger, ch ssh.Channel, draft bool) {
	h := newHandler(s.root, s.cfg.ReadOnly, log)
	h.leftOut = &s.leftOut
	session := newSession(ch, &h.handles)
	session.draft = draft
	server := sftp.NewRequestServer(
		session,
		sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h},
		sftp.WithRSMaxTxPacket(maxRead),
	)
	err := server.Serve()
	status := uint32(0)
	if err != nil && !errors.Is(err, io.EOF) {
		log.Info("session ended early", "err", err)
		status = 1
	}
	exit := ssh.Marshal(struct{ Status uint32 }{status})
	if _, err := ch.SendRequest("exit-status", false, exit); err != nil && !errors.Is(err, io.EOF) {
		log.Debug("exit status", "err", err)
	}
	s.closeQuietly(eofIsFine{ch})
}

// session is a channel whose incoming packets are edited, and come in turns.
type session struct {
	packets
	io.WriteCloser
	rest int64 // of the answer that is being written
}

func newSession(ch io.ReadWriteCloser, handles *handles) *session {
	return &session{packets: packets{r: ch, handles: handles, turns: newTurns()}, WriteCloser: ch}
}

// Write is an io.Writer's. The request server writes one answer a request, from one
// goroutine at a time: a head that begins with the length, and perhaps the data in
// another call.
func (s *session) Write(p []byte) (int, error) {
	if s.rest == 0 {
		s.rest = 4 + int64(binary.BigEndian.Uint32(p))
	}
	n, err := s.WriteCloser.Write(p)
	if err != nil {
		s.turns.end()
		return n, err
	}
	if s.rest -= int64(n); s.rest == 0 {
		s.turns.answered()
	}
	return n, nil
}

// eofIsFine hides the EOF that closing a channel gives when the other side was
// first.
type eofIsFine struct{ io.Closer }

func (c eofIsFine) Close() error {
	if err := c.Closer.Close(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
