package storagetest_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// TestDocumentTeeth plants stores that each break one promise of documents.
func TestDocumentTeeth(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		breaks, check string
		plant         func(storage.Store) storage.Store
	}{
		{"headings aren't kept", "Publish/what is read", stages(func(p *storage.Passage) { p.Headings = nil })},
		{"text is cut", "Publish/what is read", stages(func(p *storage.Passage) { p.Text = p.Text[:min(len(p.Text), 10<<10)] })},
		{"vectors are kept by halves", "Publish/what is read", stages(func(p *storage.Passage) {
			p.Vector = slices.Clone(p.Vector)
			for i, x := range p.Vector {
				p.Vector[i] = float32(int(x*64)) / 64
			}
		})},
		{"metadata is lost", "Publish/what is read", publishes(func(d *storage.Document) { d.Metadata = nil })},
		{"publishing takes what is there", "Publish/a missing passage", publishesAnyway},
		{"publishing twice is a change", "Publish/twice", publishesTwice},
		{"an old version goes over a new one", "Publish/an older version", anyVersion},
		{"an old version goes over a new one", "Tenants/documents in any", anyVersion},
		{"passages of the version before stay", "Publish/replaces all", keepsOldPassages},
		{"passages of the version before stay", "Tenants/documents in any", keepsOldPassages},
		{"readers see a mixture", "Publish/at once", mixesPassages},
		{"a document is away while it is replaced", "Publish/at once", removesFirst},
		{"what is staged is found", "Publish/nobody finds", findsStaged},
		{"staged passages are kept one by one", "Stage/all or none", stagesOneByOne},
		{"staged passages aren't replaced", "Stage/the same number", stagesOnce},
		{"what was removed comes back", "Remove/all of it", removalForgotten},
		{"versions are the clock's", "NextVersion/at once", clockVersions},
		{"the list is cut", "List/in the order", cutList},
		{"any cursor is good", "List/a foreign cursor", anyDocCursor},
		{"a page begins one too late", "Passages/page by page", laterPassages},
		{"vectors come unasked", "Passages/page by page", alwaysVectors},
		{"vectors come in the store's order", "Vectors/in the order", sortedVectors},
		{"every change is told", "Changes/the last of each", tellsRemovalsTwice},
		{"removals aren't told", "Changes/the last of each", tellsNoRemovals},
		{"removals are forgotten in silence", "Changes/removals are told", forgetsSilently},
		{"since is taken as it is", "Changes/beyond", anySince},
		{"nobody is woken", "Await/a change", neverWakes},
		{"a wait outlives its context", "Await/ends", waitsOn},
		{"tenant and id joined by a colon", "Tenants/no document's", joinedDocuments},
		{"tenant and id joined by a colon", "Tenants/documents in any", joinedDocuments},
		{"an erasure leaves documents", "Erase/all documents", keepsDocuments},
		{"a dump without documents", "Dump/a document comes", dumpsNoDocuments},
		{"a document comes before its passages", "Dump/a document comes", dumpsDocumentsFirst},
		{"a load without passages", "Load/a document of which", loadsAnyway},
		{"a load keeps the version", "Load/a document replaces", loadsOldVersions},
	} {
		t.Run(m.breaks+" - "+m.check, func(t *testing.T) {
			t.Parallel()
			checks := storagetest.DocumentChecks()
			i := slices.IndexFunc(checks, func(c storagetest.DocumentCheck) bool { return strings.HasPrefix(c.Name, m.check) })
			if i < 0 {
				t.Fatalf("no check is called %q", m.check)
			}
			bites(t, checks[i].Name, func(tb rapid.TB, right bool) {
				var passed atomic.Int64
				s := storage.Store(memory.New(memory.Options{Now: func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }}))
				if !right {
					s = m.plant(s)
				}
				checks[i].Run(tb, storagetest.DocumentBed{Store: s, Pass: func(d time.Duration) { passed.Add(int64(d)) }})
			})
		})
	}
}

// bites runs a check on a broken store and on a right one. Those against a model are long,
// and the drivers' own tests run them on right ones.
func bites(t *testing.T, name string, check func(tb rapid.TB, right bool)) {
	t.Helper()
	for _, right := range []bool{false, true} {
		if right && strings.HasSuffix(name, "against a model") {
			return
		}
		w := &witness{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			check(w, right)
		}()
		<-done
		if w.Failed() == right {
			t.Errorf("%q: a right store %v, refused %v", name, right, w.Failed())
		}
	}
}

// docsBy is documents with some methods done wrong.
type docsBy struct {
	storage.Documents
	next     func(context.Context, tenancy.ID) (int64, error)
	stage    func(context.Context, tenancy.ID, string, int64, []storage.Passage) error
	publish  func(context.Context, tenancy.ID, storage.Document) (storage.Document, error)
	remove   func(context.Context, tenancy.ID, string) (bool, error)
	document func(context.Context, tenancy.ID, string) (storage.Document, bool, error)
	list     func(context.Context, tenancy.ID, int, string) ([]storage.Document, string, error)
	passages func(context.Context, tenancy.ID, string, int64, int, int, bool) ([]storage.Passage, error)
	vectors  func(context.Context, tenancy.ID, []storage.PassageKey) ([][]float32, error)
	changes  func(context.Context, tenancy.ID, int64, int) ([]storage.Change, error)
	await    func(context.Context, tenancy.ID, int64) (int64, error)
}

func (d docsBy) NextVersion(ctx context.Context, t tenancy.ID) (int64, error) {
	if d.next == nil {
		return d.Documents.NextVersion(ctx, t)
	}
	return d.next(ctx, t)
}

func (d docsBy) Stage(ctx context.Context, t tenancy.ID, doc string, version int64, p []storage.Passage) error {
	if d.stage == nil {
		return d.Documents.Stage(ctx, t, doc, version, p)
	}
	return d.stage(ctx, t, doc, version, p)
}

func (d docsBy) Publish(ctx context.Context, t tenancy.ID, doc storage.Document) (storage.Document, error) {
	if d.publish == nil {
		return d.Documents.Publish(ctx, t, doc)
	}
	return d.publish(ctx, t, doc)
}

func (d docsBy) Remove(ctx context.Context, t tenancy.ID, doc string) (bool, error) {
	if d.remove == nil {
		return d.Documents.Remove(ctx, t, doc)
	}
	return d.remove(ctx, t, doc)
}

func (d docsBy) Document(ctx context.Context, t tenancy.ID, doc string) (storage.Document, bool, error) {
	if d.document == nil {
		return d.Documents.Document(ctx, t, doc)
	}
	return d.document(ctx, t, doc)
}

func (d docsBy) List(ctx context.Context, t tenancy.ID, limit int, cursor string) ([]storage.Document, string, error) {
	if d.list == nil {
		return d.Documents.List(ctx, t, limit, cursor)
	}
	return d.list(ctx, t, limit, cursor)
}

func (d docsBy) Passages(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) ([]storage.Passage, error) {
	if d.passages == nil {
		return d.Documents.Passages(ctx, t, doc, version, from, limit, vectors)
	}
	return d.passages(ctx, t, doc, version, from, limit, vectors)
}

func (d docsBy) Vectors(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) ([][]float32, error) {
	if d.vectors == nil {
		return d.Documents.Vectors(ctx, t, keys)
	}
	return d.vectors(ctx, t, keys)
}

func (d docsBy) Changes(ctx context.Context, t tenancy.ID, since int64, limit int) ([]storage.Change, error) {
	if d.changes == nil {
		return d.Documents.Changes(ctx, t, since, limit)
	}
	return d.changes(ctx, t, since, limit)
}

func (d docsBy) Await(ctx context.Context, t tenancy.ID, after int64) (int64, error) {
	if d.await == nil {
		return d.Documents.Await(ctx, t, after)
	}
	return d.await(ctx, t, after)
}

// bend replaces methods of a store's documents.
func bend(how func(in storage.Documents, out *docsBy)) func(storage.Store) storage.Store {
	return func(s storage.Store) storage.Store {
		p := plant(s)
		out := docsBy{Documents: s.Documents()}
		how(s.Documents(), &out)
		p.docs = out
		return p
	}
}

func stages(change func(*storage.Passage)) func(storage.Store) storage.Store {
	return bend(func(in storage.Documents, out *docsBy) {
		out.stage = func(ctx context.Context, t tenancy.ID, doc string, version int64, p []storage.Passage) error {
			p = slices.Clone(p)
			for i := range p {
				change(&p[i])
			}
			return in.Stage(ctx, t, doc, version, p)
		}
	})
}

func publishes(change func(*storage.Document)) func(storage.Store) storage.Store {
	return bend(func(in storage.Documents, out *docsBy) {
		out.publish = func(ctx context.Context, t tenancy.ID, d storage.Document) (storage.Document, error) {
			change(&d)
			return in.Publish(ctx, t, d)
		}
	})
}

// again stages and publishes something as a new version of the store's.
func again(ctx context.Context, in storage.Documents, t tenancy.ID, d storage.Document, p []storage.Passage) (storage.Document, error) {
	version, err := in.NextVersion(ctx, t)
	if err != nil {
		return d, err
	}
	d.Version = version
	if err := in.Stage(ctx, t, d.ID, version, p); err != nil {
		return d, err
	}
	return in.Publish(ctx, t, d)
}
