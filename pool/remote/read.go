package remote

import (
	"context"
	"errors"
	"io"
)

// Start is StartReadAt for a File that cannot begin a read without waiting for it.
func Start(ctx context.Context, f File, p []byte, off int64, wait bool, told func(n int, err error)) bool {
	if wait {
		go func() { told(f.ReadAt(ctx, p, off)) }()
	}
	return wait
}

// Lend is Borrow for a File that holds no data to lend.
func Lend(ctx context.Context, f File, off int64, n int) (data [][]byte, release func(), err error) {
	p := make([]byte, n)
	if n, err = f.ReadAt(ctx, p, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	return [][]byte{p[:n]}, func() {}, nil
}
