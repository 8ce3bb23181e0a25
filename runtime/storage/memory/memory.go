package memory

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// DefaultMaxBytes bounds the messages of all tenants.
const DefaultMaxBytes = 64 << 20

// DefaultMaxDocumentBytes bounds the passages of all tenants' documents.
const DefaultMaxDocumentBytes = 256 << 20

// cacheBytes bounds the cache of all tenants.
const cacheBytes = 16 << 20

// Options of the driver; the zero value is ready to use.
type Options struct {
	// MaxBytes bounds the messages of all tenants, counted as text plus a fixed
	// charge for each message and session. 0 is DefaultMaxBytes.
	MaxBytes int64
	// MaxDocumentBytes bounds the passages of all tenants, their vectors included; beyond it
	// Stage is storage.ErrUnavailable. 0 is DefaultMaxDocumentBytes.
	MaxDocumentBytes int64
	// MaxJobBytes bounds the payloads of all tenants' open jobs; beyond it Add is
	// storage.ErrTooManyJobs. 0 is storage.MaxOpenBytes.
	MaxJobBytes int64
	// Now is the clock by which what has run out is dropped. nil is time.Now.
	Now func() time.Time
}

// Store keeps everything in memory.
type Store struct {
	sessions *sessions
	windows  windows
	budgets  budgets
	usage    usage
	cache    cache
	audit    *audit
	docs     *documents
	jobs     *jobs
}

var _ storage.Store = (*Store)(nil)

// New returns an empty store.
func New(o Options) *Store {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxDocumentBytes <= 0 {
		o.MaxDocumentBytes = DefaultMaxDocumentBytes
	}
	if o.MaxJobBytes <= 0 {
		o.MaxJobBytes = storage.MaxOpenBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{
		sessions: newSessions(o.MaxBytes),
		windows:  windows{ledger.NewWindows(false)},
		budgets:  budgets{ledger.NewBudgets(o.Now, false)},
		usage:    usage{ledger.NewUsage(o.Now, nil)},
		cache:    cache{ledger.NewCache(o.Now, cacheBytes)},
		audit:    newAudit(o.Now),
		docs:     newDocuments(o.Now, o.MaxDocumentBytes),
		jobs:     newJobs(o.Now, o.MaxJobBytes),
	}
}

// Sessions implements storage.Store.
func (s *Store) Sessions() storage.Sessions { return s.sessions }

// Windows implements storage.Store.
func (s *Store) Windows() storage.Windows { return s.windows }

// Budgets implements storage.Store.
func (s *Store) Budgets() storage.Budgets { return s.budgets }

// Usage implements storage.Store.
func (s *Store) Usage() storage.Usage { return s.usage }

// Cache implements storage.Store.
func (s *Store) Cache() storage.Cache { return s.cache }

// Audit implements storage.Store.
func (s *Store) Audit() storage.Audit { return s.audit }

// Documents implements storage.Store.
func (s *Store) Documents() storage.Documents { return s.docs }

// Jobs implements storage.Store.
func (s *Store) Jobs() storage.Jobs { return s.jobs }

// Portable implements storage.Store.
func (s *Store) Portable() storage.Portable { return portable{s} }

// Health implements storage.Store: memory is always there.
func (s *Store) Health() storage.Health { return storage.Health{OK: true} }

// Close implements storage.Store: there is nothing to write and nothing to let go.
func (s *Store) Close(context.Context) error { return nil }

type windows struct{ ledger *ledger.Windows }

func (w windows) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
	if err := admit(ctx, t); err != nil {
		return storage.Taken{}, err
	}
	return w.ledger.Take(t, key, windows, now), nil
}

func (w windows) Return(_ context.Context, t tenancy.ID, key string, windows []storage.Window, at time.Time) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	w.ledger.Return(t, key, windows, at)
	return nil
}

type budgets struct{ ledger *ledger.Budgets }

func (b budgets) Reserve(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
	if err := admit(ctx, t); err != nil {
		return storage.Reservation{}, err
	}
	return b.ledger.Reserve(t, limits, amounts)
}

func (b budgets) Settle(_ context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	return b.ledger.Settle(t, r, used)
}

func (b budgets) Spent(ctx context.Context, t tenancy.ID, names []string) (used, reserved []int64, err error) {
	if err := admit(ctx, t); err != nil {
		return nil, nil, err
	}
	used, reserved = b.ledger.Spent(t, names)
	return used, reserved, nil
}

type usage struct{ ledger *ledger.Usage }

func (u usage) Add(_ context.Context, t tenancy.ID, r storage.UsageRecord) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	return u.ledger.Add(t, r)
}

func (u usage) Sum(ctx context.Context, t tenancy.ID, from, to time.Time) ([]storage.UsageBucket, error) {
	if err := admit(ctx, t); err != nil {
		return nil, err
	}
	return u.ledger.Sum(t, from, to), nil
}

type cache struct{ ledger *ledger.Cache }

func (c cache) Get(ctx context.Context, t tenancy.ID, key string) ([]byte, bool, error) {
	if err := admit(ctx, t); err != nil {
		return nil, false, err
	}
	value, ok := c.ledger.Get(t, key)
	return value, ok, nil
}

func (c cache) Put(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
	if err := admit(ctx, t); err != nil {
		return err
	}
	return c.ledger.Put(t, key, value, ttl)
}

func (c cache) Clear(ctx context.Context, t tenancy.ID) error {
	if err := admit(ctx, t); err != nil {
		return err
	}
	c.ledger.Clear(t)
	return nil
}

// admit refuses a call that names no tenant or whose context has ended.
func admit(ctx context.Context, t tenancy.ID) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	return ctx.Err()
}
