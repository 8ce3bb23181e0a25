package resilient

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Documents implements storage.Store.
func (s *Store) Documents() storage.Documents { return documents{s, s.driver.Documents()} }

// Jobs implements storage.Store.
func (s *Store) Jobs() storage.Jobs { return jobs{s, s.driver.Jobs()} }

// documents gives what may carry megabytes the long time.
type documents struct {
	s  *Store
	to storage.Documents
}

func (c documents) NextVersion(ctx context.Context, t tenancy.ID) (int64, error) {
	return call(ctx, c.s, c.s.options.Timeout, func(ctx context.Context) (int64, error) { return c.to.NextVersion(ctx, t) })
}

func (c documents) Stage(ctx context.Context, t tenancy.ID, doc string, version int64, passages []storage.Passage) error {
	return c.s.do(ctx, c.s.options.LongTimeout, func(ctx context.Context) error { return c.to.Stage(ctx, t, doc, version, passages) })
}

func (c documents) Publish(ctx context.Context, t tenancy.ID, d storage.Document) (storage.Document, error) {
	return call(ctx, c.s, c.s.options.LongTimeout, func(ctx context.Context) (storage.Document, error) { return c.to.Publish(ctx, t, d) })
}

func (c documents) Remove(ctx context.Context, t tenancy.ID, doc string) (bool, error) {
	return call(ctx, c.s, c.s.options.LongTimeout, func(ctx context.Context) (bool, error) { return c.to.Remove(ctx, t, doc) })
}

func (c documents) Document(ctx context.Context, t tenancy.ID, doc string) (found storage.Document, ok bool, err error) {
	err = c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) (err error) {
		found, ok, err = c.to.Document(ctx, t, doc)
		return err
	})
	return found, ok, err
}

func (c documents) List(ctx context.Context, t tenancy.ID, limit int, cursor string) (found []storage.Document, next string, err error) {
	err = c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) (err error) {
		found, next, err = c.to.List(ctx, t, limit, cursor)
		return err
	})
	return found, next, err
}

func (c documents) Passages(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) ([]storage.Passage, error) {
	return call(ctx, c.s, c.s.options.LongTimeout, func(ctx context.Context) ([]storage.Passage, error) {
		return c.to.Passages(ctx, t, doc, version, from, limit, vectors)
	})
}

func (c documents) Vectors(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) ([][]float32, error) {
	return call(ctx, c.s, c.s.options.Timeout, func(ctx context.Context) ([][]float32, error) { return c.to.Vectors(ctx, t, keys) })
}

func (c documents) Head(ctx context.Context, t tenancy.ID) (int64, error) {
	return call(ctx, c.s, c.s.options.Timeout, func(ctx context.Context) (int64, error) { return c.to.Head(ctx, t) })
}

func (c documents) Changes(ctx context.Context, t tenancy.ID, since int64, limit int) ([]storage.Change, error) {
	return call(ctx, c.s, c.s.options.Timeout, func(ctx context.Context) ([]storage.Change, error) {
		return c.to.Changes(ctx, t, since, limit)
	})
}

// Await has no time of its own: it ends with its context.
func (c documents) Await(ctx context.Context, t tenancy.ID, after int64) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if c.s.Away() {
		return 0, errAway
	}
	head, err := c.to.Await(ctx, t, after)
	return head, c.s.judge(ctx, err, 0)
}

func (c documents) Totals(ctx context.Context, t tenancy.ID) (docs, passages int64, err error) {
	err = c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) (err error) {
		docs, passages, err = c.to.Totals(ctx, t)
		return err
	})
	return docs, passages, err
}

type jobs struct {
	s  *Store
	to storage.Jobs
}

func (c jobs) Add(ctx context.Context, t tenancy.ID, j storage.Job, payload []byte) error {
	return c.s.do(ctx, c.s.options.LongTimeout, func(ctx context.Context) error { return c.to.Add(ctx, t, j, payload) })
}

func (c jobs) Take(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (taken storage.Job, ok bool, err error) {
	err = c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) (err error) {
		taken, ok, err = c.to.Take(ctx, t, worker, kinds, now, until)
		return err
	})
	return taken, ok, err
}

func (c jobs) Payload(ctx context.Context, t tenancy.ID, id string) ([]byte, error) {
	return call(ctx, c.s, c.s.options.LongTimeout, func(ctx context.Context) ([]byte, error) { return c.to.Payload(ctx, t, id) })
}

func (c jobs) Update(ctx context.Context, t tenancy.ID, worker string, j storage.Job, now, until time.Time) error {
	return c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) error { return c.to.Update(ctx, t, worker, j, now, until) })
}

func (c jobs) Job(ctx context.Context, t tenancy.ID, id string) (found storage.Job, ok bool, err error) {
	err = c.s.do(ctx, c.s.options.Timeout, func(ctx context.Context) (err error) {
		found, ok, err = c.to.Job(ctx, t, id)
		return err
	})
	return found, ok, err
}

func (c jobs) Open(ctx context.Context, t tenancy.ID) (int, error) {
	return call(ctx, c.s, c.s.options.Timeout, func(ctx context.Context) (int, error) { return c.to.Open(ctx, t) })
}
