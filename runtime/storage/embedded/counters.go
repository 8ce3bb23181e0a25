package embedded

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type windows struct{ s *Store }

func (w windows) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
	if err := w.s.admit(ctx, t); err != nil {
		return storage.Taken{}, err
	}
	taken := w.s.windows.Take(t, key, windows, now)
	w.s.writer.windowChanged()
	return taken, nil
}

func (w windows) Return(_ context.Context, t tenancy.ID, key string, windows []storage.Window, at time.Time) error {
	if err := w.s.admitEnded(t); err != nil {
		return err
	}
	w.s.windows.Return(t, key, windows, at)
	w.s.writer.windowChanged()
	return nil
}

type budgets struct{ s *Store }

// Reserve returns when the reservation is on the disk: a crash can't forget a call
// that was made.
func (b budgets) Reserve(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
	if err := b.s.admit(ctx, t); err != nil {
		return storage.Reservation{}, err
	}
	r, err := b.s.budgets.Reserve(t, limits, amounts)
	if err != nil || r.Refused != "" {
		return r, err
	}
	if err := b.s.writer.write(ctx, &job{}); err != nil {
		if released := b.s.budgets.Release(t, r); released != nil {
			return storage.Reservation{}, released
		}
		b.s.writer.changed()
		return storage.Reservation{}, err
	}
	return r, nil
}

func (b budgets) Settle(_ context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
	if err := b.s.admitEnded(t); err != nil {
		return err
	}
	if err := b.s.budgets.Settle(t, r, used); err != nil {
		return err
	}
	b.s.writer.changed()
	return nil
}

func (b budgets) Spent(ctx context.Context, t tenancy.ID, names []string) (used, reserved []int64, err error) {
	if err := b.s.admit(ctx, t); err != nil {
		return nil, nil, err
	}
	used, reserved = b.s.budgets.Spent(t, names)
	return used, reserved, nil
}

type usage struct{ s *Store }

func (u usage) Add(_ context.Context, t tenancy.ID, r storage.UsageRecord) error {
	if err := u.s.admitEnded(t); err != nil {
		return err
	}
	if err := u.s.usage.Add(t, r); err != nil {
		return err
	}
	u.s.writer.changed()
	return nil
}

// Sum takes memory first and the file after it: a bucket that leaves memory between
// is in the file by then. Where both have it the greater count is the later.
func (u usage) Sum(ctx context.Context, t tenancy.ID, from, to time.Time) ([]storage.UsageBucket, error) {
	if err := u.s.admit(ctx, t); err != nil {
		return nil, err
	}
	recent := u.s.usage.Sum(t, from, to)
	stored, err := u.s.reader.sum(ctx, t, from, to)
	if err != nil {
		return nil, err
	}
	return merge(recent, stored), nil
}

func merge(recent, stored []storage.UsageBucket) []storage.UsageBucket {
	all := append(recent, stored...)
	ledger.SortBuckets(all)
	merged := all[:0]
	for _, b := range all {
		n := len(merged)
		if n == 0 || ledger.CompareBuckets(merged[n-1], b) != 0 {
			merged = append(merged, b)
		} else if b.Calls > merged[n-1].Calls {
			merged[n-1] = b
		}
	}
	return merged
}

type cache struct{ s *Store }

func (c cache) Get(ctx context.Context, t tenancy.ID, key string) ([]byte, bool, error) {
	if err := c.s.admit(ctx, t); err != nil {
		return nil, false, err
	}
	value, ok := c.s.cache.Get(t, key)
	return value, ok, nil
}

func (c cache) Put(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
	if err := c.s.admit(ctx, t); err != nil {
		return err
	}
	return c.s.cache.Put(t, key, value, ttl)
}

func (c cache) Clear(ctx context.Context, t tenancy.ID) error {
	if err := c.s.admit(ctx, t); err != nil {
		return err
	}
	c.s.cache.Clear(t)
	return nil
}
