package rag_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// shortest is a model for which the shortest text answers best.
type shortest struct {
	asked []ai.RerankRequest
	err   error
}

func (r *shortest) Rerank(_ context.Context, _ tenancy.ID, req ai.RerankRequest) ([]ai.Ranked, error) {
	r.asked = append(r.asked, req)
	if r.err != nil {
		return nil, r.err
	}
	var all []ai.Ranked
	for i, text := range req.Texts {
		all = append(all, ai.Ranked{Index: i, Score: -float64(len(text))})
	}
	slices.SortStableFunc(all, func(a, b ai.Ranked) int { return len(req.Texts[a.Index]) - len(req.Texts[b.Index]) })
	return all[:min(len(all), req.TopK)], nil
}

func TestRerankingOrdersMoreThanIsGiven(t *testing.T) {
	t.Parallel()
	model := &shortest{}
	b := newBed(t, setup{reranker: model, cfg: func(c *tenantconfig.Config) {
		c.Upstream = tenantconfig.Upstream{Type: tenantconfig.UpstreamWorkersAI, AccountID: strings.Repeat("a", 32), CredentialsFile: "token"}
		c.Documents.RerankModel = "rank"
	}})
	for i := range 12 {
		b.must(fmt.Sprintf("d%02d", i), "Herons, herons, herons."+strings.Repeat(fmt.Sprintf(" Filler%d.", i), 12-i))
	}
	if diff := cmp.Diff([]string{"d11", "d10"}, b.passages("herons", fields{"topK": 2}).docs()); diff != "" {
		t.Error(diff)
	}
	if r := model.asked[0]; len(r.Texts) != 8 && len(r.Texts) != 12 || r.TopK != 2 || r.Model != "rank" || r.Query != "herons" {
		t.Errorf("asked for %d of %d texts", r.TopK, len(r.Texts))
	}
	own := b.passages("herons", fields{"topK": 2, "rerank": false}).docs()
	model.err = &ai.Error{Kind: ai.KindUnavailable}
	if diff := cmp.Diff(own, b.passages("Herons?", fields{"topK": 2}).docs()); diff != "" {
		t.Errorf("without the model the search's own order isn't given: %s", diff)
	}
}

func TestThePromptHasTheRoomThatTheTenantGives(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{up: []aifake.Answer{aifake.Says("Yes [1].")}, cfg: func(c *tenantconfig.Config) {
		c.Prompt.ContextTokens, c.Prompt.MaxTokens = 2048, 256
	}})
	for i := range 20 {
		b.must(fmt.Sprint("d", i), fmt.Sprintf("Herons of pond%d. ", i)+strings.Repeat("They nest in the reeds. ", 45))
	}
	f := b.search(fields{"query": "herons in reeds", "topK": 20})
	var prompt int
	for _, m := range b.up.Requests()[0].Chat.Messages {
		prompt += len(m.Text())
	}
	if len(f.Sources) < 10 || prompt < 2000 || prompt > (2048-256)*4 {
		t.Errorf("%d sources, a prompt of %d bytes", len(f.Sources), prompt)
	}
}

func TestTwoIngestsAtOnceLeaveOneWhole(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: withModel})
	var at sync.WaitGroup
	for n := range 8 {
		at.Go(func() {
			text := strings.Repeat(fmt.Sprintf("Release%d of the text about herons.\n\n", n), 10)
			a := b.post("/ingest", fields{"docId": "d", "text": text, "chunking": fields{"maxChunkSize": 100, "overlap": 0}})
			if a.Status != 200 && (a.Status != 409 || a.Error.Code != "superseded") {
				t.Errorf("%d %s", a.Status, a.text)
			}
		})
	}
	at.Wait()
	d, there, err := b.store.Documents().Document(t.Context(), b.acme.ID, "d")
	if err != nil || !there {
		t.Fatal(err)
	}
	passages, err := b.store.Documents().Passages(t.Context(), b.acme.ID, "d", d.Version, 0, 100, false)
	if err != nil || len(passages) != d.Passages {
		t.Fatalf("%d of %d passages, %v", len(passages), d.Passages, err)
	}
	first, _, _ := strings.Cut(passages[0].Text, " ")
	for _, p := range passages {
		if strings.Count(p.Text, "Release") != strings.Count(p.Text, first+" ") {
			t.Errorf("a mixture: %s", p.Text)
		}
	}
}

// busy is an index of vectors that takes no more calls.
type busy struct{ storage.Vectors }

func (busy) Query(context.Context, tenancy.ID, storage.VectorQuery) ([]storage.Match, error) {
	return nil, fmt.Errorf("querying: %w", &storage.BusyError{After: 3 * time.Second})
}

func TestABusyIndexSaysWhen(t *testing.T) {
	t.Parallel()
	b := newBed(t, setup{cfg: vectorize, idle: true, needs: func(n *rag.Needs) {
		n.Vectors = func(tenancy.ID) storage.Vectors {
			return busy{memory.NewVectors(storage.Shape{Dimensions: dimensions})}
		}
	}})
	if a := b.post("/search", fields{"query": "herons"}); a.Status != 429 || a.Error.Code != "documents_busy" || a.Header.Get("Retry-After") != "3" {
		t.Errorf("%d %v %s", a.Status, a.Header, a.text)
	}
	if a := b.post("/search", fields{"query": "herons", "mode": "text", "answer": false}); a.Status != 200 {
		t.Errorf("words need no index of vectors: %d %s", a.Status, a.text)
	}
}

// A store that is away is told as such, and nothing is half there when it is back.
func TestAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"head", "next", "stage", "publish"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			away := &awayDocuments{method: method}
			b := newBed(t, setup{needs: func(n *rag.Needs) { away.Documents = n.Documents; n.Documents = away }})
			b.must("d", "Badgers dig.")
			away.on(true)
			ask := func() answer { return b.post("/ingest", fields{"docId": "d", "text": herons}) }
			if method == "head" {
				ask = func() answer { return b.post("/search", fields{"query": "badgers", "answer": false}) }
			}
			if a := ask(); a.Status != 503 || a.Error.Code != "unavailable" || a.Header.Get("Retry-After") == "" {
				t.Errorf("%d %s", a.Status, a.text)
			}
			away.on(false)
			if f := b.passages("badgers", nil); len(f.Sources) != 1 {
				t.Errorf("found %v", f.docs())
			}
			if a := ask(); a.Status != 200 {
				t.Errorf("once it is back: %d %s", a.Status, a.text)
			}
		})
	}
}

type awayDocuments struct {
	storage.Documents
	method string
	mu     sync.Mutex
	away   bool
}

func (d *awayDocuments) on(away bool) { d.mu.Lock(); d.away = away; d.mu.Unlock() }

func (d *awayDocuments) err(method string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away && d.method == method {
		return errors.Join(storage.ErrUnavailable, errors.New("c4nary"))
	}
	return nil
}

func (d *awayDocuments) Head(ctx context.Context, t tenancy.ID) (int64, error) {
	if err := d.err("head"); err != nil {
		return 0, err
	}
	return d.Documents.Head(ctx, t)
}

func (d *awayDocuments) NextVersion(ctx context.Context, t tenancy.ID) (int64, error) {
	if err := d.err("next"); err != nil {
		return 0, err
	}
	return d.Documents.NextVersion(ctx, t)
}

func (d *awayDocuments) Stage(ctx context.Context, t tenancy.ID, doc string, v int64, p []storage.Passage) error {
	if err := d.err("stage"); err != nil {
		return err
	}
	return d.Documents.Stage(ctx, t, doc, v, p)
}

func (d *awayDocuments) Publish(ctx context.Context, t tenancy.ID, doc storage.Document) (storage.Document, error) {
	if err := d.err("publish"); err != nil {
		return storage.Document{}, err
	}
	return d.Documents.Publish(ctx, t, doc)
}
