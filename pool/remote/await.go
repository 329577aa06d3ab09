package remote

import "context"

// An Awaiter is a context whose Done is dear, and which knows a cheaper way to wait.
type Awaiter interface {
	context.Context

	// Await waits for done, and reports false when the context ended before.
	Await(done <-chan struct{}) bool
}

// Await waits for done, or gives the error of ctx when that ends before.
func Await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	if a, ok := ctx.(Awaiter); ok {
		if a.Await(done) {
			return nil
		}
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
