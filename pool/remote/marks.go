package remote

import (
	"context"
	"time"
)

type refusedKey struct{}

// WithRefused gives a context whose listings tell f the names that they leave out
// because no file can have them. f is called as emit is.
func WithRefused(ctx context.Context, f func(name string)) context.Context {
	return context.WithValue(ctx, refusedKey{}, f)
}

// RefusedBy is what WithRefused gave a context, nil where nothing did.
func RefusedBy(ctx context.Context) func(name string) {
	f, _ := ctx.Value(refusedKey{}).(func(name string))
	return f
}

type staleKey struct{}

// Stale marks a look of somebody who would rather have what was last known than
// nothing while the remote is away: the kernel's looks, and no decision of ours.
func Stale(ctx context.Context) context.Context {
	return context.WithValue(ctx, staleKey{}, true)
}

// StaleValue is what the Value of a context of one's own gives for key so that it is
// marked by Stale.
func StaleValue(key any) any {
	if key == (staleKey{}) {
		return true
	}
	return nil
}

// MayBeStale reports whether ctx was marked by Stale.
func MayBeStale(ctx context.Context) bool {
	return isMarked(ctx, staleKey{})
}

type agerKey struct{}

// An Ager is told how long ago what a look is answered with was the server's.
type Ager interface{ Aged(time.Duration) }

// WithAger gives a context whose looks tell a their age, where that is not 0.
func WithAger(ctx context.Context, a Ager) context.Context {
	return context.WithValue(ctx, agerKey{}, a)
}

// AgerValue is what the Value of a context of one's own gives for key so that it is one
// of WithAger; nil for another key.
func AgerValue(key any, a Ager) any {
	if key == (agerKey{}) {
		return a
	}
	return nil
}

// Aged tells whoever wants to know it.
func Aged(ctx context.Context, age time.Duration) {
	if a, ok := ctx.Value(agerKey{}).(Ager); ok {
		a.Aged(age)
	}
}

type freshKey struct{}

// Fresh marks a look that the server is to answer, and no memory of ours: something will
// be replaced or removed on what it tells.
func Fresh(ctx context.Context) context.Context {
	return context.WithValue(ctx, freshKey{}, true)
}

// MustBeFresh reports whether ctx was marked by Fresh.
func MustBeFresh(ctx context.Context) bool {
	return isMarked(ctx, freshKey{})
}

type oneStepKey struct{}

// InOneStep marks a Rename with noReplace away from a name that others may make again, to
// one that nobody else makes. A look that the new name is free is enough there, and the
// rename must be one step: OpenSSH's RENAME is a link and an unlink, and what gets the old
// name between the two is removed.
func InOneStep(ctx context.Context) context.Context {
	return context.WithValue(ctx, oneStepKey{}, true)
}

// IsInOneStep reports whether ctx was marked by InOneStep.
func IsInOneStep(ctx context.Context) bool {
	return isMarked(ctx, oneStepKey{})
}

type backgroundKey struct{}

// Background marks work that nobody waits for, such as reading ahead or a sync
// beside a mount. It stays behind other requests.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// IsBackground reports whether ctx was marked by Background.
func IsBackground(ctx context.Context) bool {
	return isMarked(ctx, backgroundKey{})
}

func isMarked(ctx context.Context, key any) bool {
	marked, _ := ctx.Value(key).(bool)
	return marked
}
