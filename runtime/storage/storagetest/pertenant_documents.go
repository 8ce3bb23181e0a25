package storagetest

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func (p *perTenant) Documents() storage.Documents { return routedDocuments{p} }
func (p *perTenant) Jobs() storage.Jobs           { return routedJobs{p} }

type routedDocuments struct{ p *perTenant }

func (r routedDocuments) NextVersion(ctx context.Context, t tenancy.ID) (version int64, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { version, err = s.Documents().NextVersion(ctx, t); return err })
	return version, err
}

func (r routedDocuments) Stage(ctx context.Context, t tenancy.ID, doc string, version int64, passages []storage.Passage) error {
	return r.p.with(t, func(s storage.Store) error { return s.Documents().Stage(ctx, t, doc, version, passages) })
}

func (r routedDocuments) Publish(ctx context.Context, t tenancy.ID, d storage.Document) (kept storage.Document, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { kept, err = s.Documents().Publish(ctx, t, d); return err })
	return kept, err
}

func (r routedDocuments) Remove(ctx context.Context, t tenancy.ID, doc string) (there bool, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { there, err = s.Documents().Remove(ctx, t, doc); return err })
	return there, err
}

func (r routedDocuments) Document(ctx context.Context, t tenancy.ID, doc string) (found storage.Document, ok bool, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { found, ok, err = s.Documents().Document(ctx, t, doc); return err })
	return found, ok, err
}

func (r routedDocuments) List(ctx context.Context, t tenancy.ID, limit int, cursor string) (found []storage.Document, next string, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) {
		found, next, err = s.Documents().List(ctx, t, limit, cursor)
		return err
	})
	return found, next, err
}

func (r routedDocuments) Passages(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) (found []storage.Passage, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) {
		found, err = s.Documents().Passages(ctx, t, doc, version, from, limit, vectors)
		return err
	})
	return found, err
}

func (r routedDocuments) Vectors(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) (found [][]float32, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { found, err = s.Documents().Vectors(ctx, t, keys); return err })
	return found, err
}

func (r routedDocuments) Head(ctx context.Context, t tenancy.ID) (head int64, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { head, err = s.Documents().Head(ctx, t); return err })
	return head, err
}

func (r routedDocuments) Changes(ctx context.Context, t tenancy.ID, since int64, limit int) (found []storage.Change, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) {
		found, err = s.Documents().Changes(ctx, t, since, limit)
		return err
	})
	return found, err
}

func (r routedDocuments) Await(ctx context.Context, t tenancy.ID, after int64) (head int64, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { head, err = s.Documents().Await(ctx, t, after); return err })
	return head, err
}

func (r routedDocuments) Totals(ctx context.Context, t tenancy.ID) (docs, passages int64, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { docs, passages, err = s.Documents().Totals(ctx, t); return err })
	return docs, passages, err
}

type routedJobs struct{ p *perTenant }

func (r routedJobs) Add(ctx context.Context, t tenancy.ID, j storage.Job, payload []byte) error {
	return r.p.with(t, func(s storage.Store) error { return s.Jobs().Add(ctx, t, j, payload) })
}

func (r routedJobs) Take(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (taken storage.Job, ok bool, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) {
		taken, ok, err = s.Jobs().Take(ctx, t, worker, kinds, now, until)
		return err
	})
	return taken, ok, err
}

func (r routedJobs) Payload(ctx context.Context, t tenancy.ID, id string) (payload []byte, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { payload, err = s.Jobs().Payload(ctx, t, id); return err })
	return payload, err
}

func (r routedJobs) Update(ctx context.Context, t tenancy.ID, worker string, j storage.Job, now, until time.Time) error {
	return r.p.with(t, func(s storage.Store) error { return s.Jobs().Update(ctx, t, worker, j, now, until) })
}

func (r routedJobs) Job(ctx context.Context, t tenancy.ID, id string) (found storage.Job, ok bool, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { found, ok, err = s.Jobs().Job(ctx, t, id); return err })
	return found, ok, err
}

func (r routedJobs) Open(ctx context.Context, t tenancy.ID) (n int, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { n, err = s.Jobs().Open(ctx, t); return err })
	return n, err
}
