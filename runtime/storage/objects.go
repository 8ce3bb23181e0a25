package storage

import (
	"context"
	"errors"
	"io"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// ErrNoObject: there is no object under this key.
var ErrNoObject = errors.New("no such object")

// Objects keeps whole files, as they were uploaded.
type Objects interface {
	// Put keeps an object under a key of 1 to 512 bytes, replacing what was there. size is
	// how many bytes r gives.
	Put(ctx context.Context, t tenancy.ID, key string, size int64, r io.Reader) error
	// Get opens an object; ErrNoObject if there is none. The caller closes it.
	Get(ctx context.Context, t tenancy.ID, key string) (io.ReadCloser, error)
	// Delete removes an object; an unknown one is no error.
	Delete(ctx context.Context, t tenancy.ID, key string) error
	// Keys lists up to limit keys that begin with prefix, in order, from after on.
	Keys(ctx context.Context, t tenancy.ID, prefix, after string, limit int) ([]string, error)
}
