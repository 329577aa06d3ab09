package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/remotemount/remotemount/pool/remote"
	"github.com/remotemount/remotemount/pool/sftp3"
)

// A session that ends while its handles are being closed, of which there are so many
// that it does so between any two looks at them.
func TestClosingWhileSessionEnds(t *testing.T) {
	for i := range 300 {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = theirs.Close() }()
			_, _ = theirs.Read(make([]byte, 9)) // INIT
			_, _ = theirs.Write([]byte{0, 0, 0, 5, sftp3.TypeVersion, 0, 0, 0, 3})
			_, _ = io.Copy(io.Discard, theirs)
		}()
		client, err := sftp3.New(context.Background(), ours, nil)
		if err != nil {
			t.Fatal(err)
		}
		h := &handle{s: &session{conn: &conn{}, client: client, ordered: true}}
		f := &file{object: (&Pool{}).newObject("f", remote.Attr{}), flag: remote.FlagWrite}
		f.files[f] = struct{}{}
		f.filled = true
		for range 1000 {
			f.handles = append(f.handles, h)
		}
		go func() {
			time.Sleep(time.Duration(i) * time.Microsecond / 2)
			client.Abort(errors.New("cut"))
		}()
		for !f.keeps && client.Err() == nil {
			f.mu.Lock()
			calls := f.closing(thenClose, 0)
			f.mu.Unlock()
			for _, call := range calls {
				call.Forget()
			}
		}
		_ = client.Close()
	}
}
