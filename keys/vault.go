package keys

import (
	"context"
	"sync"
)

// A vault holds in memory what a person typed, so that a connection can be made
// again without asking. It never leaves the process. Jump hosts share the vault
// of the remote: one key file that opens both is asked for once.
type vault struct {
	asking chan struct{} // holds one token while a question is open

	mu     sync.Mutex
	values map[string]any // guarded by mu: passwords, and unlocked keys
}

func newVault() *vault {
	return &vault{asking: make(chan struct{}, 1), values: map[string]any{}}
}

func (v *vault) get(name string) (any, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	value, ok := v.values[name]
	return value, ok
}

func (v *vault) put(name string, value any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.values[name] = value
}

// drop forgets a value the server refused, unless a newer one took its place.
func (v *vault) drop(name string, value any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.values[name] == value {
		delete(v.values, name)
	}
}

// obtain gives the value, asking for it when there is none. Several connections
// that need the same secret at once lead to one question.
func (v *vault) obtain(ctx context.Context, name string, ask func() (any, error)) (any, error) {
	if value, ok := v.get(name); ok {
		return value, nil
	}
	if err := v.lock(ctx); err != nil {
		return nil, err
	}
	defer v.unlock()
	if value, ok := v.get(name); ok {
		return value, nil
	}
	value, err := ask()
	if err != nil {
		return nil, err
	}
	v.put(name, value)
	return value, nil
}

// lock waits for its turn to ask the user something.
func (v *vault) lock(ctx context.Context) error {
	select {
	case v.asking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *vault) unlock() { <-v.asking }
