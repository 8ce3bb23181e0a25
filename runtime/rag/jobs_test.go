package rag_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// long is a text of n passages of at most 100 characters.
func long(n int) fields {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Sentence number%d tells of herons that nest in the reeds of a pond far away.\n\n", i)
	}
	return fields{"docId": "d", "text": b.String(), "chunking": fields{"maxChunkSize": 100, "overlap": 0}}
}

// hurried is a bed whose worker waits for nothing long.
func hurried(t *testing.T, s setup) *bed {
	t.Helper()
	idle := s.idle
	s.idle = true
	b := newBed(t, s)
	rag.Hurry(b.feature)
	if !idle {
		b.run()
	}
	return b
}

func TestALargeDocumentBecomesAJob(t *testing.T) {
	t.Parallel()
	b := hurried(t, setup{cfg: withModel})
	if a := b.post("/ingest", long(200)); a.Status != 200 {
		t.Errorf("200 passages: %d %s", a.Status, a.text)
	}
	a := b.post("/ingest", long(201))
	job := b.queued(a)
	if !strings.Contains(a.text, `"status":"queued"`) {
		t.Error(a.text)
	}
	j := b.await(job)
	if j.Status != "done" || j.DocID != "d" || j.Attempts != 1 || j.Progress.Done != 201 || j.Progress.Total != 201 {
		t.Errorf("%+v", j)
	}
	if d, p := documentsOf(t, b); d != 1 || p != 201 {
		t.Errorf("%d documents, %d passages", d, p)
	}
	for _, path := range []string{"/ingest/jobs/3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f", "/ingest/jobs/x"} {
		if a := b.get(path); a.Status != 404 && a.Status != 400 {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
}

func TestADocumentIsIndexingUntilItsJobIsDone(t *testing.T) {
	t.Parallel()
	b := hurried(t, setup{cfg: withModel, idle: true})
	job := b.queued(b.post("/ingest", fields{"docId": "d", "text": herons, "async": true}))
	var d struct{ State, JobID string }
	b.get("/documents/d").get(t, &d)
	if d.State != "indexing" || d.JobID != job {
		t.Errorf("%+v", d)
	}
	b.run()
	b.await(job)
	d.JobID = ""
	b.get("/documents/d").get(t, &d)
	if d.State != "indexed" || d.JobID != "" {
		t.Errorf("%+v", d)
	}
}

func TestCausesThatPassAreTriedAgain(t *testing.T) {
	t.Parallel()
	b := hurried(t, setup{cfg: withModel})
	b.embedder.failWith(func(n int64) error {
		if n == 2 || n == 3 {
			return unavailable
		}
		return nil
	})
	body := long(150)
	body["async"] = true
	if j := b.await(b.queued(b.post("/ingest", body))); j.Status != "done" || j.Progress.Done != 150 {
		t.Errorf("%+v", j)
	}
	if n := b.embedder.calls.Load(); n != 5 {
		t.Errorf("%d calls: what was staged was embedded again", n)
	}
}

func TestAJobThatFailsLeavesWhatWasThere(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		code string
	}{
		"for ever":  {unavailable, "ai_error"},
		"no model":  {&ai.Error{Kind: ai.KindModelNotFound}, "ai_error"},
		"a mystery": {errors.New("c4nary"), "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := memory.NewObjects()
			b := hurried(t, setup{cfg: withModel, needs: func(n *rag.Needs) {
				n.Originals = func(tenancy.ID) storage.Objects { return objects }
			}})
			b.must("d", "Badgers dig.")
			before := keysOf(t, objects, b.acme.ID)
			b.embedder.failWith(func(n int64) error {
				if n > 2 {
					return tc.err
				}
				return nil
			})
			body := long(150)
			body["async"] = true
			job := b.queued(b.post("/ingest", body))
			if j := b.await(job); j.Status != "failed" || j.Error.Code != tc.code || j.Error.Message == "" || strings.Contains(j.Error.Message, "c4nary") {
				t.Errorf("%+v", j)
			}
			b.embedder.failWith(func(int64) error { return nil })
			if f := b.passages("badgers", nil); len(f.Sources) != 1 {
				t.Errorf("found %v", f.docs())
			}
			if diff := cmp.Diff(before, keysOf(t, objects, b.acme.ID)); diff != "" || len(before) != 1 {
				t.Errorf("originals: %s", diff)
			}
		})
	}
}

func TestAJobCanBeCanceled(t *testing.T) {
	t.Parallel()
	b := hurried(t, setup{cfg: withModel, idle: true})
	waiting := b.queued(b.post("/ingest", fields{"docId": "d", "text": herons, "async": true}))
	if a := b.as(readerKey).do("DELETE", "/ingest/jobs/"+waiting, "", nil); a.Status != 403 {
		t.Errorf("%d %s", a.Status, a.text)
	}
	if a := b.do("DELETE", "/ingest/jobs/"+waiting, "", nil); a.Status != 202 || !strings.Contains(a.text, `"canceled":true`) {
		t.Errorf("%d %s", a.Status, a.text)
	}
	under := make(chan struct{})
	goOn := make(chan struct{})
	b.embedder.failWith(func(n int64) error {
		if n == 1 {
			close(under)
			<-goOn
		}
		return nil
	})
	body := long(150)
	body["docId"], body["async"] = "e", true
	running := b.queued(b.post("/ingest", body))
	b.run()
	<-under
	b.do("DELETE", "/ingest/jobs/"+running, "", nil)
	close(goOn)
	for _, job := range []string{waiting, running} {
		if j := b.await(job); j.Status != "failed" || j.Error.Code != "canceled" {
			t.Errorf("%+v", j)
		}
	}
	if d, _ := documentsOf(t, b); d != 0 {
		t.Errorf("%d documents", d)
	}
	if a := b.do("DELETE", "/ingest/jobs/"+waiting, "", nil); a.Status != 200 || !strings.Contains(a.text, `"canceled":false`) {
		t.Errorf("%d %s", a.Status, a.text)
	}
}

func TestAStoppingWorkerGivesItsJobBack(t *testing.T) {
	t.Parallel()
	b := hurried(t, setup{cfg: withModel, idle: true})
	body := long(150)
	body["async"] = true
	job := b.queued(b.post("/ingest", body))
	ctx, cancel := context.WithCancel(context.Background())
	under := make(chan struct{})
	b.embedder.failWith(func(n int64) error {
		if n == 2 {
			close(under)
			return context.Canceled // as a call ends whose context does
		}
		return nil
	})
	go func() { <-under; cancel() }()
	b.needs.Worker = "first"
	f := rag.New(b.needs)
	f.Run(ctx)
	j, there, err := b.store.Jobs().Job(t.Context(), b.acme.ID, job)
	if err != nil || !there || j.State != storage.JobQueued {
		t.Fatalf("%+v %v", j, err)
	}
	b.run()
	if j := b.await(job); j.Status != "done" || j.Attempts != 2 {
		t.Errorf("%+v", j)
	}
	if n := b.embedder.calls.Load(); n > 4 {
		t.Errorf("%d calls: what was staged was embedded again", n)
	}
}

// Of two ingests of one document the later request wins, whichever is faster.
func TestTheLaterRequestWins(t *testing.T) {
	t.Parallel()
	b := hurried(t, setup{cfg: withModel, idle: true})
	older := b.queued(b.post("/ingest", fields{"docId": "d", "text": "Badgers dig.", "async": true}))
	b.must("d", herons)
	b.run()
	if j := b.await(older); j.Status != "failed" || j.Error.Code != "superseded" {
		t.Errorf("%+v", j)
	}
	if f := b.passages("herons", nil); len(f.Sources) != 1 {
		t.Errorf("found %v", f.docs())
	}
	// So does a removal.
	gone := hurried(t, setup{cfg: withModel, idle: true})
	job := gone.queued(gone.post("/ingest", fields{"docId": "d", "text": "Badgers dig.", "async": true}))
	gone.do("DELETE", "/documents/d", "", nil)
	gone.run()
	if j := gone.await(job); j.Status != "failed" || j.Error.Code != "superseded" {
		t.Errorf("%+v", j)
	}
}

func TestOriginalsFollowTheirDocument(t *testing.T) {
	t.Parallel()
	objects := &failing{Objects: memory.NewObjects()}
	b := newBed(t, setup{needs: func(n *rag.Needs) { n.Originals = func(tenancy.ID) storage.Objects { return objects } }})
	id := "a/b"
	for _, text := range []string{"First.", "Second."} {
		b.must(id, text)
	}
	keys := keysOf(t, objects, b.acme.ID)
	if len(keys) != 1 {
		t.Fatalf("originals %v", keys)
	}
	r, err := objects.Get(t.Context(), b.acme.ID, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "Second." || r.Close() != nil {
		t.Errorf("%q %v", text, err)
	}
	objects.fail = true
	if a := b.post("/ingest", fields{"docId": id, "text": "Third."}); a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.Status, a.text)
	}
	objects.fail = false
	if f := b.passages("second", nil); len(f.Sources) != 1 {
		t.Errorf("found %v", f.docs())
	}
	b.do("DELETE", "/documents/a%2Fb", "", nil)
	if keys := keysOf(t, objects, b.acme.ID); len(keys) != 0 {
		t.Errorf("originals %v stay", keys)
	}
}

// failing is a store of objects that can be away.
type failing struct {
	storage.Objects
	fail bool
}

func (f *failing) Put(ctx context.Context, t tenancy.ID, key string, size int64, r io.Reader) error {
	if f.fail {
		return storage.ErrUnavailable
	}
	return f.Objects.Put(ctx, t, key, size, r)
}

func keysOf(t *testing.T, o storage.Objects, id tenancy.ID) []string {
	t.Helper()
	keys, err := o.Keys(t.Context(), id, "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// A changed model's vectors are made anew; until then words find the documents.
func TestAChangedModelIsCaughtUpWith(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Options{})
	first := newBed(t, setup{store: store, cfg: withModel})
	first.must("a", herons)
	first.must("b", "Badgers dig.")
	b := hurried(t, setup{store: store, idle: true, cfg: func(c *tenantconfig.Config) { c.Documents.Embedding.Model = "embed-2" }})
	if f := b.passages("herons", nil); len(f.Sources) != 1 {
		t.Errorf("words find %v", f.docs())
	}
	if f := b.passages("herons", fields{"mode": "vector"}); len(f.Sources) != 0 {
		t.Errorf("vectors of another model find %v", f.docs())
	}
	// Replicas that start together queue it once, and so does one that starts again.
	for range 3 {
		if err := rag.QueueReembed(t.Context(), rag.New(b.needs), b.acme); err != nil {
			t.Fatal(err)
		}
	}
	if open, err := store.Jobs().Open(t.Context(), b.acme.ID); err != nil || open != 1 {
		t.Errorf("%d jobs are open, %v", open, err)
	}
	b.run()
	deadline := time.Now().Add(10 * time.Second)
	for len(b.passages("herons", fields{"mode": "vector"}).Sources) == 0 || len(b.passages("badgers", fields{"mode": "vector"}).Sources) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the vectors aren't made anew")
		}
		time.Sleep(5 * time.Millisecond) // another goroutine's work, in its own time
	}
}
