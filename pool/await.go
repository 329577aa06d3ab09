package pool

import "context"

// Await waits for done, or gives the error of ctx when that ends before. A context
// whose Done is dear may know a cheaper way, as the method Await, which reports
// false when the context ended before.
func Await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	if a, ok := ctx.(interface {
		Await(done <-chan struct{}) bool
	}); ok {
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
