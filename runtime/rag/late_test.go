package rag_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// unheard publishes, but whoever asked for it doesn't hear of it.
type unheard struct {
	storage.Documents
	then func()
}

func (d unheard) Publish(ctx context.Context, t tenancy.ID, doc storage.Document) (storage.Document, error) {
	if _, err := d.Documents.Publish(ctx, t, doc); err != nil {
		return storage.Document{}, err
	}
	d.then()
	return storage.Document{}, context.Canceled
}

// What is published stays whole, though its job is canceled before the worker's successor
// hears that it is.
func TestACancelAfterThePublicationComesTooLate(t *testing.T) {
	t.Parallel()
	objects := memory.NewObjects()
	vectors := memory.NewVectors(storage.Shape{Dimensions: dimensions, Filterable: []string{"lang"}})
	b := hurried(t, setup{cfg: vectorize, idle: true, needs: func(n *rag.Needs) {
		n.Vectors = func(tenancy.ID) storage.Vectors { return vectors }
		n.Originals = func(tenancy.ID) storage.Objects { return objects }
	}})
	job := b.queued(b.post("/ingest", fields{"docId": "d", "text": herons}))
	ctx, cancel := context.WithCancel(t.Context())
	runWorker(ctx, b, "first", 0, func(n *rag.Needs) { n.Documents = unheard{n.Documents, cancel} }, func() bool { return ctx.Err() != nil })
	if a := b.do("DELETE", "/ingest/jobs/"+job, "", nil); a.Status != 202 {
		t.Fatalf("%d %s", a.Status, a.text)
	}
	b.run()
	if j := b.await(job); j.Status != "done" || j.Error.Code != "" {
		t.Errorf("%+v", j)
	}
	if f := b.passages("herons", fields{"mode": "vector"}); len(f.Sources) != 1 {
		t.Errorf("by vector %v are found", f.docs())
	}
	if keys := keysOf(t, objects, b.acme.ID); len(keys) != 1 {
		t.Errorf("originals %v", keys)
	}
}

func TestAClientThatLeavesWhileItsDocumentIsPublishedTakesNothingBack(t *testing.T) {
	t.Parallel()
	objects := memory.NewObjects()
	b := newBed(t, setup{idle: true, needs: func(n *rag.Needs) {
		n.Documents = unheard{n.Documents, func() {}}
		n.Originals = func(tenancy.ID) storage.Objects { return objects }
	}})
	if a := b.post("/ingest", fields{"docId": "d", "text": herons}); a.Status < 400 {
		t.Errorf("%d %s", a.Status, a.text)
	}
	if f := b.passages("herons", nil); len(f.Sources) != 1 {
		t.Errorf("found %v", f.docs())
	}
	if keys := keysOf(t, objects, b.acme.ID); len(keys) != 1 {
		t.Errorf("originals %v", keys)
	}
}

// A job that begins again, since the model was changed, is no later request for that.
func TestAJobOfAnotherModelUndoesNoRemoval(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Options{})
	b := hurried(t, setup{store: store, cfg: withModel, idle: true})
	body := long(150)
	body["async"] = true
	job := b.queued(b.post("/ingest", body))
	ctx, cancel := context.WithCancel(t.Context())
	b.embedder.failWith(func(n int64) error {
		if n == 2 {
			cancel()
			return context.Canceled // as a call ends whose context does
		}
		return nil
	})
	rag.New(b.needs).Run(ctx)
	if a := b.do("DELETE", "/documents/d", "", nil); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.text)
	}
	next := hurried(t, setup{store: store, cfg: func(c *tenantconfig.Config) { c.Documents.Embedding.Model = "embed-2" }})
	if j := next.await(job); j.Status != "failed" || j.Error.Code != "superseded" {
		t.Errorf("%+v", j)
	}
	if d, _ := documentsOf(t, next); d != 0 {
		t.Error("the removed document is back")
	}
}

// hesitating takes its time between counting and whatever comes next.
type hesitating struct{ storage.Documents }

func (d hesitating) Totals(ctx context.Context, t tenancy.ID) (documents, passages int64, err error) {
	documents, passages, err = d.Documents.Totals(ctx, t)
	time.Sleep(2 * time.Millisecond) // lets others in between, and waits for none
	return documents, passages, err
}

func TestIngestsAtOnceKeepToTheTenantsLimit(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: func(c *tenantconfig.Config) { c.Documents.MaxPassages = 50 }, needs: func(n *rag.Needs) {
		n.Documents = hesitating{n.Documents}
	}})
	var requests sync.WaitGroup
	for i := range 30 {
		requests.Go(func() {
			body := long(10)
			body["docId"] = fmt.Sprint("d", i)
			if a := b.post("/ingest", body); a.Status != 200 && a.Error.Code != "documents_limit" {
				t.Errorf("%d %s", a.Status, a.text)
			}
		})
	}
	requests.Wait()
	if d, p := documentsOf(t, b); d != 5 || p != 50 {
		t.Errorf("%d documents, %d passages", d, p)
	}
}

// crowded counts how many are within a call at once.
type crowded struct {
	hesitating
	now, most *atomic.Int64
}

func (d crowded) Totals(ctx context.Context, t tenancy.ID) (documents, passages int64, err error) {
	defer d.now.Add(-1)
	for n := d.now.Add(1); ; {
		if most := d.most.Load(); n <= most || d.most.CompareAndSwap(most, n) {
			return d.hesitating.Totals(ctx, t)
		}
	}
}

// A large document takes several times its size while it is read.
func TestLargeDocumentsAreReadOneAtATime(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	b := newBed(t, setup{idle: true, needs: func(n *rag.Needs) { n.Documents = crowded{hesitating{n.Documents}, &now, &most} }})
	text := strings.Repeat("Herons nest in the reeds of a pond far away. ", 30_000)
	var requests sync.WaitGroup
	for i := range 6 {
		requests.Go(func() { b.queued(b.post("/ingest", fields{"docId": fmt.Sprint("d", i), "text": text})) })
	}
	requests.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
}

// reserving counts what is set aside in the budgets.
type reserving struct {
	rag.Gate
	made *atomic.Int64
}

func (g reserving) Reserve(ctx context.Context, t *tenancy.Tenant, ask limits.Ask) (*limits.Admission, error) {
	g.made.Add(1)
	return g.Gate.Reserve(ctx, t, ask)
}

func TestASearchBeyondItsRateReservesNothing(t *testing.T) {
	t.Parallel()
	var made atomic.Int64
	b := newBed(t, setup{idle: true, cfg: func(c *tenantconfig.Config) {
		withModel(c)
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 1, WindowSec: 60}
	}, needs: func(n *rag.Needs) { n.Gate = reserving{n.Gate, &made} }})
	for i, want := range []int{200, 429, 429} {
		if a := b.post("/search", fields{"query": fmt.Sprint("herons ", i), "answer": false}); a.Status != want {
			t.Errorf("%d %s", a.Status, a.text)
		}
	}
	if made.Load() != 1 || b.embedder.calls.Load() != 1 {
		t.Errorf("%d reservations, %d calls", made.Load(), b.embedder.calls.Load())
	}
}
