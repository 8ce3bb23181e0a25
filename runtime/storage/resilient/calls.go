package resilient

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Sessions implements storage.Store.
func (s *Store) Sessions() storage.Sessions { return sessions{s, s.driver.Sessions()} }

// Windows implements storage.Store.
func (s *Store) Windows() storage.Windows { return windows{s, s.driver.Windows()} }

// Budgets implements storage.Store.
func (s *Store) Budgets() storage.Budgets { return budgets{s, s.driver.Budgets()} }

// Usage implements storage.Store.
func (s *Store) Usage() storage.Usage { return usage{s, s.driver.Usage()} }

// Cache implements storage.Store.
func (s *Store) Cache() storage.Cache { return cache{s, s.driver.Cache()} }

// Audit implements storage.Store.
func (s *Store) Audit() storage.Audit { return audit{s, s.driver.Audit()} }

// Portable implements storage.Store.
func (s *Store) Portable() storage.Portable { return portable{s, s.driver.Portable()} }

// do is call for what returns nothing.
func (s *Store) do(ctx context.Context, within time.Duration, ask func(context.Context) error) error {
	_, err := call(ctx, s, within, func(ctx context.Context) (struct{}, error) { return struct{}{}, ask(ctx) })
	return err
}

type sessions struct {
	s  *Store
	to storage.Sessions
}

func (c sessions) Append(ctx context.Context, t tenancy.ID, o storage.Owner, session string, msgs []storage.Message, keep storage.Keep) error {
	return c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) error { return c.to.Append(ctx, t, o, session, msgs, keep) })
}

func (c sessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, session string, page storage.Page) ([]storage.Message, error) {
	return call(ctx, c.s, c.s.options.Timeout, func(ctx context.Context) ([]storage.Message, error) {
		return c.to.History(ctx, t, o, session, page)
	})
}

func (c sessions) Delete(ctx context.Context, t tenancy.ID, o storage.Owner, session string) error {
	return c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) error { return c.to.Delete(ctx, t, o, session) })
}

func (c sessions) List(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, cursor string) (found []storage.SessionInfo, next string, err error) {
	err = c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) (err error) {
		found, next, err = c.to.List(ctx, t, o, limit, cursor)
		return err
	})
	return found, next, err
}

func (c sessions) Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error) {
	return call(ctx, c.s, c.s.options.LongTimeout, func(ctx context.Context) (int, error) { return c.to.Expire(ctx, t, before) })
}

type windows struct {
	s  *Store
	to storage.Windows
}

func (c windows) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
	return call(ctx, c.s, c.s.options.Timeout, func(ctx context.Context) (storage.Taken, error) {
		return c.to.Take(ctx, t, key, windows, now)
	})
}

// Return isn't kept for later: a window is worth nothing then.
func (c windows) Return(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, at time.Time) error {
	return c.s.do(context.WithoutCancel(ctx), c.s.options.Timeout, func(ctx context.Context) error {
		return c.to.Return(ctx, t, key, windows, at)
	})
}

type budgets struct {
	s  *Store
	to storage.Budgets
}

func (c budgets) Reserve(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
	return call(ctx, c.s, c.s.options.Timeout, func(ctx context.Context) (storage.Reservation, error) {
		return c.to.Reserve(ctx, t, limits, amounts)
	})
}

func (c budgets) Settle(ctx context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	return c.s.owe(ctx, &owed{t, Settlement{r, used}, func(ctx context.Context) error { return c.to.Settle(ctx, t, r, used) }})
}

func (c budgets) Spent(ctx context.Context, t tenancy.ID, names []string) (used, reserved []int64, err error) {
	err = c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) (err error) {
		used, reserved, err = c.to.Spent(ctx, t, names)
		return err
	})
	return used, reserved, err
}

type usage struct {
	s  *Store
	to storage.Usage
}

func (c usage) Add(ctx context.Context, t tenancy.ID, r storage.UsageRecord) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	return c.s.owe(ctx, &owed{t, r, func(ctx context.Context) error { return c.to.Add(ctx, t, r) }})
}

func (c usage) Sum(ctx context.Context, t tenancy.ID, from, to time.Time) ([]storage.UsageBucket, error) {
	return call(ctx, c.s, c.s.options.Timeout, func(ctx context.Context) ([]storage.UsageBucket, error) {
		return c.to.Sum(ctx, t, from, to)
	})
}

type cache struct {
	s  *Store
	to storage.Cache
}

func (c cache) Get(ctx context.Context, t tenancy.ID, key string) (value []byte, ok bool, err error) {
	err = c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) (err error) {
		value, ok, err = c.to.Get(ctx, t, key)
		return err
	})
	return value, ok, err
}

func (c cache) Put(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
	return c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) error { return c.to.Put(ctx, t, key, value, ttl) })
}

func (c cache) Clear(ctx context.Context, t tenancy.ID) error {
	return c.s.do(ctx, c.s.options.LongTimeout, func(ctx context.Context) error { return c.to.Clear(ctx, t) })
}

type audit struct {
	s  *Store
	to storage.Audit
}

func (c audit) Record(ctx context.Context, t tenancy.ID, r storage.AuditRecord) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	return c.s.owe(ctx, &owed{t, r, func(ctx context.Context) error { return c.to.Record(ctx, t, r) }})
}

func (c audit) Records(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) (found []storage.AuditRecord, next string, err error) {
	err = c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) (err error) {
		found, next, err = c.to.Records(ctx, t, from, to, limit, cursor)
		return err
	})
	return found, next, err
}

type portable struct {
	s  *Store
	to storage.Portable
}

// Dump has no time of its own: it ends when all is given, and yield may take long.
func (c portable) Dump(ctx context.Context, t tenancy.ID, from string, yield func(storage.Record, string) error) error {
	if c.s.Away() {
		return errAway
	}
	return c.to.Dump(ctx, t, from, yield)
}

func (c portable) Load(ctx context.Context, t tenancy.ID, records []storage.Record) error {
	return c.s.do(ctx, c.s.options.LongTimeout, func(ctx context.Context) error { return c.to.Load(ctx, t, records) })
}

func (c portable) Erase(ctx context.Context, t tenancy.ID) (int, error) {
	return call(ctx, c.s, c.s.options.LongTimeout, func(ctx context.Context) (int, error) { return c.to.Erase(ctx, t) })
}
