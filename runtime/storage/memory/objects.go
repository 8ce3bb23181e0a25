package memory

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Objects keeps files in memory, whatever their number: it is for tests and for trying
// things out.
type Objects struct {
	mu       sync.RWMutex
	byTenant map[string]map[string][]byte
}

var _ storage.Objects = (*Objects)(nil)

// NewObjects returns an empty store.
func NewObjects() *Objects { return &Objects{byTenant: map[string]map[string][]byte{}} }

// Put implements storage.Objects.
func (o *Objects) Put(ctx context.Context, t tenancy.ID, key string, size int64, r io.Reader) error {
	if err := allowedKey(ctx, t, key); err != nil {
		return err
	}
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, size+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the object: %w", err)
	case n != size:
		return storage.ErrBadSize
	case ctx.Err() != nil:
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byTenant[t.Identity()] == nil {
		o.byTenant[t.Identity()] = map[string][]byte{}
	}
	o.byTenant[t.Identity()][key] = b.Bytes()
	return nil
}

// Get implements storage.Objects.
func (o *Objects) Get(ctx context.Context, t tenancy.ID, key string) (io.ReadCloser, error) {
	if err := allowedKey(ctx, t, key); err != nil {
		return nil, err
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	body, there := o.byTenant[t.Identity()][key]
	if !there {
		return nil, storage.ErrNoObject
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

// Delete implements storage.Objects.
func (o *Objects) Delete(ctx context.Context, t tenancy.ID, key string) error {
	if err := allowedKey(ctx, t, key); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.byTenant[t.Identity()], key)
	return nil
}

// Keys implements storage.Objects.
func (o *Objects) Keys(ctx context.Context, t tenancy.ID, prefix, after string, limit int) ([]string, error) {
	if err := allowed(ctx, t); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, storage.ErrBadLimit
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(o.byTenant[t.Identity()])) {
		if strings.HasPrefix(key, prefix) && key > after && len(keys) < limit {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func allowedKey(ctx context.Context, t tenancy.ID, key string) error {
	if err := allowed(ctx, t); err != nil {
		return err
	}
	return storage.CheckObjectKey(key)
}
