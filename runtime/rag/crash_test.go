package rag_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var errDead = errors.New("the process is dead")

// mortal is a worker's process: at its call number at it dies, before the call or after
// it, and no later call reaches a store.
type mortal struct {
	at    int64
	after bool
	calls atomic.Int64
	die   func()
}

func (m *mortal) call(do func() error) error {
	n := m.calls.Add(1)
	switch {
	case n > m.at:
		return errDead
	case n == m.at:
		if m.after {
			_ = do()
		}
		m.die()
		return errDead
	}
	return do()
}

// calling gives what a call gave, or the error of a dead process.
func calling[T any](m *mortal, do func() (T, error)) (out T, err error) {
	err = m.call(func() (err error) { out, err = do(); return err })
	return out, err
}

type mortalDocuments struct {
	storage.Documents
	m *mortal
}

func (d mortalDocuments) NextVersion(ctx context.Context, t tenancy.ID) (int64, error) {
	return calling(d.m, func() (int64, error) { return d.Documents.NextVersion(ctx, t) })
}

func (d mortalDocuments) Stage(ctx context.Context, t tenancy.ID, doc string, v int64, p []storage.Passage) error {
	return d.m.call(func() error { return d.Documents.Stage(ctx, t, doc, v, p) })
}

func (d mortalDocuments) Publish(ctx context.Context, t tenancy.ID, doc storage.Document) (storage.Document, error) {
	return calling(d.m, func() (storage.Document, error) { return d.Documents.Publish(ctx, t, doc) })
}

type mortalJobs struct {
	storage.Jobs
	m *mortal
}

func (j mortalJobs) Payload(ctx context.Context, t tenancy.ID, id string) ([]byte, error) {
	return calling(j.m, func() ([]byte, error) { return j.Jobs.Payload(ctx, t, id) })
}

func (j mortalJobs) Update(ctx context.Context, t tenancy.ID, worker string, job storage.Job, now, until time.Time) error {
	return j.m.call(func() error { return j.Jobs.Update(ctx, t, worker, job, now, until) })
}

// lateVectors shows what was written once it was asked for often enough, in order.
type lateVectors struct {
	*memory.Vectors
	m      *mortal
	asked  map[storage.Mutation]int
	hidden []storage.Chunk
	n      int
}

func (v *lateVectors) Upsert(ctx context.Context, t tenancy.ID, chunks []storage.Chunk) (storage.Mutation, error) {
	return calling(v.m, func() (storage.Mutation, error) {
		v.n++
		v.hidden = append(v.hidden, chunks...)
		return storage.Mutation(fmt.Sprintf("m%d", v.n)), nil
	})
}

func (v *lateVectors) Visible(ctx context.Context, t tenancy.ID, m storage.Mutation) (bool, error) {
	return calling(v.m, func() (bool, error) {
		if v.asked[m]++; v.asked[m] < 3 {
			return false, nil
		}
		seen := map[storage.ChunkKey]storage.Chunk{}
		for _, c := range v.hidden {
			seen[c.ChunkKey] = c
		}
		v.hidden = nil
		all := make([]storage.Chunk, 0, len(seen))
		for _, c := range seen {
			all = append(all, c)
		}
		_, err := v.Vectors.Upsert(ctx, t, all)
		return true, err
	})
}

func (v *lateVectors) Delete(ctx context.Context, t tenancy.ID, keys []storage.ChunkKey) (storage.Mutation, error) {
	return calling(v.m, func() (storage.Mutation, error) { return v.Vectors.Delete(ctx, t, keys) })
}

func vectorize(c *tenantconfig.Config) {
	c.Documents.Store = tenantconfig.DocumentsVectorize
	c.Documents.Vectorize = tenantconfig.Vectorize{Index: "documents", Dimensions: dimensions, Metric: "cosine", Filterable: []string{"lang"}}
	c.Documents.Embedding.Model = "embed"
	c.Cloudflare = tenantconfig.Cloudflare{AccountID: strings.Repeat("a", 32), CredentialsFile: "token"}
}

// A worker may die at any step: in the end exactly the new version is found, whole, and
// what was embedded before the death isn't embedded again.
func TestAWorkerMayDieBetweenAnyTwoSteps(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]func(*tenantconfig.Config){"state": withModel, "vectorize": vectorize} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s after=%v", name, after), func(t *testing.T) {
				t.Parallel()
				at := int64(1)
				for ; at < 100 && dies(t, cfg, at, after); at++ {
				}
				if at < 10 || at == 100 {
					t.Errorf("the worker made %d calls", at)
				}
			})
		}
	}
}

// dies runs an ingest whose first worker dies at a call, and tells whether it got there.
func dies(t *testing.T, cfg func(*tenantconfig.Config), at int64, after bool) bool {
	t.Helper()
	immortal := &mortal{at: 1 << 40}
	vectors := &lateVectors{Vectors: memory.NewVectors(storage.Shape{Dimensions: dimensions, Filterable: []string{"lang"}}), m: immortal, asked: map[storage.Mutation]int{}}
	b := newBed(t, setup{cfg: cfg, idle: true, needs: func(n *rag.Needs) { n.Vectors = func(tenancy.ID) storage.Vectors { return vectors } }})
	var long strings.Builder
	for i := range 150 {
		fmt.Fprintf(&long, "Sentence number%d tells of herons that nest in the reeds of a pond far away.\n\n", i)
	}
	cut := fields{"maxChunkSize": 100, "overlap": 0}
	rag.Hurry(b.feature)
	stop := b.run()
	if j := b.await(b.queued(b.post("/ingest", fields{"docId": "d", "text": "Badgers dig.", "async": true}))); j.Status != "done" {
		t.Fatalf("%+v", j)
	}
	stop()
	job := b.queued(b.post("/ingest", fields{"docId": "d", "text": long.String(), "chunking": cut, "async": true}))
	embeds := b.embedder.calls.Load()

	first := &mortal{at: at, after: after}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	first.die = cancel
	vectors.m = first
	runWorker(ctx, b, "first", 0, func(n *rag.Needs) {
		n.Documents, n.Jobs = mortalDocuments{n.Documents, first}, mortalJobs{n.Jobs, first}
		n.Vectors = func(tenancy.ID) storage.Vectors { return vectors }
	}, func() bool { return first.calls.Load() >= at || b.ended(job) })
	died := first.calls.Load() >= at

	vectors.m = immortal
	runWorker(context.Background(), b, "second", 2*time.Minute, func(n *rag.Needs) {
		n.Vectors = func(tenancy.ID) storage.Vectors { return vectors }
	}, func() bool { return b.ended(job) })
	if j := b.await(job); j.Status != "done" {
		t.Fatalf("died at %d: %+v", at, j)
	}
	if n := b.embedder.calls.Load() - embeds; n > 4 {
		t.Errorf("died at %d: %d calls for 3 batches", at, n)
	}
	if d, p := documentsOf(t, b); d != 1 || p != 150 {
		t.Errorf("died at %d: %d documents, %d passages", at, d, p)
	}
	if f := b.passages("badgers dig", nil); len(f.Sources) != 0 {
		t.Errorf("died at %d: the old version is found", at)
	}
	stale(t, b, vectors.Vectors, "Badgers dig.")
	for _, mode := range []string{"text", "vector"} {
		if f := b.passages("number149 herons", fields{"mode": mode}); len(f.Sources) == 0 || !strings.Contains(f.Sources[0].Text, "number149") {
			t.Errorf("died at %d: %s finds %+v", at, mode, f.Sources)
		}
	}
	return died
}

// stale looks for vectors of a version that isn't the published one.
func stale(t *testing.T, b *bed, vectors storage.Vectors, near string) {
	t.Helper()
	made, err := b.embedder.Embed(t.Context(), b.acme.ID, ai.EmbedRequest{Model: "embed", Texts: []string{near}})
	if err != nil {
		t.Fatal(err)
	}
	matches, err := vectors.Query(t.Context(), b.acme.ID, storage.VectorQuery{Vector: made.Vectors[0], TopK: storage.MaxTopK})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range matches {
		d, there, err := b.store.Documents().Document(t.Context(), b.acme.ID, m.Doc)
		if err != nil {
			t.Fatal(err)
		}
		if !there || m.Version != d.Version {
			t.Fatalf("a vector of version %d of %s stays, %d is published", m.Version, m.Doc, d.Version)
		}
	}
}

// runWorker runs another process's worker until so.
func runWorker(ctx context.Context, b *bed, name string, later time.Duration, change func(*rag.Needs), so func() bool) {
	b.t.Helper()
	n := b.needs
	n.Worker, n.Now = name, func() time.Time { return time.Now().Add(later) }
	change(&n)
	f := rag.New(n)
	rag.Hurry(f)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	for deadline := time.Now().Add(15 * time.Second); !so(); {
		if time.Now().After(deadline) {
			b.t.Fatal("the worker doesn't get there")
		}
		time.Sleep(time.Millisecond) // another goroutine's work, in its own time
	}
	cancel()
	<-done
}

func (b *bed) ended(job string) bool {
	j, there, err := b.store.Jobs().Job(context.Background(), b.acme.ID, job)
	return err == nil && there && j.Ended()
}
