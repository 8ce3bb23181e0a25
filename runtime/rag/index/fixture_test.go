package index_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const model = "@cf/some/embedding"

// bed is a store, an index of it, and switches for what the store does.
type bed struct {
	testing.TB
	*index.Index
	docs   *store
	memory *memory.Store
	tenant tenancy.ID
}

func newBed(t testing.TB, o index.Options) *bed {
	t.Helper()
	return newBedAt(t, o, time.Now)
}

func newBedAt(t testing.TB, o index.Options, now func() time.Time) *bed {
	t.Helper()
	tenant, err := tenancy.NewID("acme", "cluster/acme")
	if err != nil {
		t.Fatal(err)
	}
	kept := memory.New(memory.Options{Now: now})
	b := &bed{TB: t, docs: &store{Documents: kept.Documents()}, memory: kept, tenant: tenant}
	if o.Vectors == index.StoredVectors {
		o.Model = model
	}
	if b.Index, err = index.New(b.docs, tenant, o); err != nil {
		t.Fatal(err)
	}
	return b
}

// store can be told to fail, and to let something happen before a call.
type store struct {
	storage.Documents

	mu     sync.Mutex
	fail   func(call string) error
	before func(call string)
}

func (s *store) set(fail func(call string) error, before func(call string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.before = fail, before
}

func (s *store) called(name string) error {
	s.mu.Lock()
	fail, before := s.fail, s.before
	s.mu.Unlock()
	if before != nil {
		before(name)
	}
	if fail != nil {
		return fail(name)
	}
	return nil
}

func (s *store) Head(ctx context.Context, t tenancy.ID) (int64, error) {
	if err := s.called("Head"); err != nil {
		return 0, err
	}
	return s.Documents.Head(ctx, t)
}

func (s *store) Changes(ctx context.Context, t tenancy.ID, since int64, limit int) ([]storage.Change, error) {
	if err := s.called("Changes"); err != nil {
		return nil, err
	}
	// Small pages: many borders to go wrong at.
	return s.Documents.Changes(ctx, t, since, min(limit, 3))
}

func (s *store) Passages(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) ([]storage.Passage, error) {
	if err := s.called("Passages"); err != nil {
		return nil, err
	}
	return s.Documents.Passages(ctx, t, doc, version, from, min(limit, 7), vectors)
}

func (s *store) Vectors(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) ([][]float32, error) {
	if err := s.called("Vectors"); err != nil {
		return nil, err
	}
	return s.Documents.Vectors(ctx, t, keys)
}

// publish stages and publishes a version.
func (b *bed) publish(d storage.Document, passages ...storage.Passage) storage.Document {
	b.Helper()
	ctx := context.Background()
	var err error
	if d.Version, err = b.docs.NextVersion(ctx, b.tenant); err != nil {
		b.Fatal(err)
	}
	for i := range passages {
		passages[i].N = i
		d.Bytes += int64(len(passages[i].Text))
	}
	for rest := passages; len(rest) > 0; {
		some := rest[:min(len(rest), storage.MaxStaged)]
		rest = rest[len(some):]
		if err := b.docs.Stage(ctx, b.tenant, d.ID, d.Version, some); err != nil {
			b.Fatal(err)
		}
	}
	d.Passages, d.Updated = len(passages), time.Now()
	if d, err = b.docs.Publish(ctx, b.tenant, d); err != nil {
		b.Fatal(err)
	}
	return d
}

// texts makes passages without vectors.
func texts(texts ...string) []storage.Passage {
	passages := make([]storage.Passage, len(texts))
	for i, t := range texts {
		passages[i].Text = t
	}
	return passages
}

func (b *bed) remove(doc string) {
	b.Helper()
	if _, err := b.docs.Remove(context.Background(), b.tenant, doc); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) catchUp() {
	b.Helper()
	if err := b.CatchUp(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) search(q index.Query) []index.Hit {
	b.Helper()
	if q.K == 0 {
		q.K = 10
	}
	hits, err := b.Search(context.Background(), q)
	if err != nil {
		b.Fatal(err)
	}
	return hits
}

// found is what a search gives, as document and number.
func (b *bed) found(q index.Query) []storage.PassageKey {
	b.Helper()
	keys := []storage.PassageKey{}
	for _, h := range b.search(q) {
		keys = append(keys, storage.PassageKey{Doc: h.Doc, N: h.N})
	}
	return keys
}
