package rag_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// indexed is a tenant whose vectors lie in an index of its own name.
func indexed(t *testing.T, store *memory.Store, name, next string, vectors storage.Vectors) *bed {
	t.Helper()
	return hurried(t, setup{store: store, idle: true, cfg: func(c *tenantconfig.Config) {
		vectorize(c)
		c.Documents.Vectorize.Index = name
		if next != "" {
			c.Documents.Vectorize.Next, c.Documents.Vectorize.NextDimensions = next, dimensions
		}
	}, needs: func(n *rag.Needs) { n.Vectors = func(tenancy.ID) storage.Vectors { return vectors } }})
}

func newVectors() *memory.Vectors {
	return memory.NewVectors(storage.Shape{Dimensions: dimensions, Filterable: []string{"lang"}})
}

// settled waits until no job is open.
func (b *bed) settled() {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // another goroutine's work
		open, err := b.store.Jobs().Open(b.t.Context(), b.acme.ID)
		if err != nil {
			b.t.Fatal(err)
		}
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%d jobs are open", open)
		}
	}
}

// An index that takes another's place has the vectors of all documents, also of those that
// were ingested before anybody knew of it.
func TestAnotherIndexIsFilled(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Options{})
	first := indexed(t, store, "one", "", newVectors())
	stop := first.run()
	for doc, text := range map[string]string{"d": herons, "e": "Badgers dig.", "f": "Otters swim."} {
		first.await(first.queued(first.post("/ingest", fields{"docId": doc, "text": text, "metadata": fields{"lang": "en"}})))
	}
	stop()
	vectors := newVectors()
	second := indexed(t, store, "two", "three", vectors)
	if f := second.passages("herons", fields{"mode": "vector"}); len(f.Sources) != 0 {
		t.Fatalf("an empty index finds %v", f.docs())
	}
	waiting := second.queued(second.post("/ingest", fields{"docId": "g", "text": "Foxes bark.", "async": true}))
	stop = second.run()
	second.settled()
	stop()
	if j := second.await(waiting); j.Status != "done" {
		t.Errorf("%+v", j)
	}
	for word, doc := range map[string]string{"herons": "d", "badgers": "e", "otters": "f", "foxes": "g"} {
		f := second.passages(word, fields{"mode": "vector"})
		if len(f.Sources) != 1 || f.Sources[0].DocID != doc {
			t.Errorf("%s: found %v", word, f.docs())
		}
	}
	if f := second.passages("herons", fields{"mode": "vector", "filter": fields{"lang": "en"}}); len(f.Sources) != 1 {
		t.Errorf("by its metadata %v are found", f.docs())
	}
	stale(t, second, vectors, "herons")
	if a := second.get("/documents/d"); !strings.Contains(a.text, `"embeddingModelId":"embed"`) {
		t.Error(a.text)
	}
	// The same tenant again, and the index that was written to as well, need nothing.
	for _, name := range []string{"two", "three"} {
		again := indexed(t, store, name, "", vectors)
		if err := rag.QueueReembed(t.Context(), again.feature, again.acme); err != nil {
			t.Fatal(err)
		}
		if open, err := store.Jobs().Open(t.Context(), again.acme.ID); err != nil || open != 0 {
			t.Errorf("%s: %d jobs, %v", name, open, err)
		}
	}
}

// meanwhile does something before a document is published.
type meanwhile struct {
	*memory.Vectors
	do func()
}

func (v meanwhile) Visible(context.Context, tenancy.ID, storage.Mutation) (bool, error) {
	v.do()
	return true, nil
}

func (v meanwhile) Upsert(ctx context.Context, t tenancy.ID, c []storage.Chunk) (storage.Mutation, error) {
	_, err := v.Vectors.Upsert(ctx, t, c)
	return "m", err
}

// What is ingested while vectors are made anew stays, though its version began before.
func TestVectorsMadeAnewUndoNoIngest(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Options{})
	first := indexed(t, store, "one", "", newVectors())
	stop := first.run()
	first.await(first.queued(first.post("/ingest", fields{"docId": "d", "text": "Badgers dig."})))
	stop()
	ctx, id, docs := t.Context(), first.acme.ID, store.Documents()
	before, err := docs.NextVersion(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	vectors := meanwhile{newVectors(), nil}
	vectors.do = func() {
		if done.Swap(true) {
			return
		}
		if err := docs.Stage(ctx, id, "d", before, []storage.Passage{{Text: herons}}); err != nil {
			t.Error(err)
		}
		if _, err := docs.Publish(ctx, id, storage.Document{ID: "d", Version: before, Passages: 1, Updated: time.Now(), EmbeddingModel: "embed in two"}); err != nil {
			t.Error(err)
		}
	}
	second := indexed(t, store, "two", "", vectors)
	second.run()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // another goroutine's work
		if open, err := store.Jobs().Open(ctx, id); err != nil || time.Now().After(deadline) {
			t.Fatal("the job doesn't end", err)
		} else if done.Load() && open == 0 {
			break
		}
	}
	if f := second.passages("herons", fields{"mode": "text"}); len(f.Sources) != 1 {
		t.Errorf("found %v: the replacement is undone", f.docs())
	}
	stale(t, second, vectors.Vectors, "badgers")
}
