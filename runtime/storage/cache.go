package storage

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// MaxCacheValue is the largest value that a Cache takes, in bytes.
const MaxCacheValue = 1 << 20

// Cache keeps what can be made again. An entry may be gone at any time; what is found
// is what the same tenant put under the same key.
type Cache interface {
	// Get returns the value under key and whether there is one that is younger than
	// its ttl. The value is the caller's own copy.
	Get(ctx context.Context, t tenancy.ID, key string) ([]byte, bool, error)
	// Put keeps value under key for ttl, replacing what was there. A value over
	// MaxCacheValue, or a ttl of 0 or less, is ErrBadEntry.
	Put(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error
	// Clear forgets the tenant's entries. A Get that begins after Clear has returned
	// finds nothing that was put before, on whatever replica.
	Clear(ctx context.Context, t tenancy.ID) error
}
