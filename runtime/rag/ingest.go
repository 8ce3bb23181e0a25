package rag

import (
	"context"
	"fmt"
	"net/http"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// maxAtOnce is how many passages are taken in within a request; more become a job.
const maxAtOnce = 200

const (
	// largeBytes is from where on documents are read one at a time.
	largeBytes = 1 << 20
	// fetchesAtOnce is how many documents are fetched, and held meanwhile, at once.
	fetchesAtOnce = 4
)

// States that POST /ingest answers.
const (
	statusIngested = "ingested"
	statusQueued   = "queued"
	statusIndexing = "indexing"
)

// ingested is the answer of POST /ingest.
type ingested struct {
	Status string `json:"status"`
	DocID  string `json:"docId"`
	// Chunks and EmbeddingModelID of what was taken in.
	Chunks           int    `json:"chunks,omitempty"`
	EmbeddingModelID string `json:"embeddingModelId,omitempty"`
	// JobID of what goes on behind the request.
	JobID string `json:"jobId,omitempty"`
}

// ingest answers POST /ingest.
func (f *Feature) ingest(ctx context.Context, c httpapi.Call, u *httpapi.Upload) (httpapi.Answer, error) {
	if err := mayWrite(c); err != nil {
		return httpapi.Answer{}, err
	}
	m, err := readMaterial(c, u)
	if err != nil {
		return httpapi.Answer{}, err
	}
	done, err := f.take(ctx, c, m, func(ask limits.Ask) (*limits.Admission, error) { return f.Gate.Admit(ctx, c, ask) })
	if err != nil {
		return httpapi.Answer{}, told(err)
	}
	status := http.StatusOK
	if done.JobID != "" {
		status = http.StatusAccepted
	}
	return httpapi.Answer{Status: status, Data: done}, nil
}

// take takes a document in, or queues it, once it is admitted.
func (f *Feature) take(ctx context.Context, c httpapi.Call, m *material, admit func(limits.Ask) (*limits.Admission, error)) (ingested, error) {
	var p *prepared
	var wrong error
	model := embeddingModel(c.Tenant.Config)
	admission, err := admit(limits.Ask{Models: models(model), Prompt: func(ctx context.Context) (tokens int, err error) {
		// A document that can't be read was a request all the same: reading it was work.
		p, tokens, wrong = f.open(ctx, c.Tenant, m)
		return tokens, nil
	}})
	if err != nil {
		return ingested{}, err
	}
	if wrong == nil && p != nil {
		return f.takeNow(ctx, c, m, p, admission)
	}
	f.release(ctx, admission, model)
	if wrong != nil {
		return ingested{}, wrong
	}
	return f.queue(ctx, c, m)
}

// open gets the document, cuts it, and tells what embedding it takes. p is nil if taking it
// in is left to a job.
func (f *Feature) open(ctx context.Context, t *tenancy.Tenant, m *material) (p *prepared, tokens int, err error) {
	if m.Fetch {
		if err := f.fetch(ctx, t, m); err != nil {
			return nil, 0, err
		}
	}
	if m.Async {
		return nil, 0, nil
	}
	done, err := f.beginLarge(ctx, m)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	if p, err = f.prepare(ctx, m); err != nil {
		return nil, 0, err
	}
	if err := f.room(ctx, t, m.DocID, len(p.passages)); err != nil {
		return nil, 0, err
	}
	if model := embeddingModel(t.Config); model != "" {
		tokens = f.tokens(model, p)
	}
	if remote(t.Config) || len(p.passages) > maxAtOnce {
		return nil, tokens, nil
	}
	return p, tokens, nil
}

// beginLarge waits for a large document's turn to be read: each takes several times its
// size in memory, so that is done one at a time.
func (f *Feature) beginLarge(ctx context.Context, m *material) (done func(), err error) {
	if len(m.data) <= largeBytes {
		return func() {}, nil
	}
	return begin(ctx, f.large)
}

// begin waits for a turn, which done ends.
func begin(ctx context.Context, turns chan struct{}) (done func(), err error) {
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// release gives back what was set aside for a call that isn't made.
func (f *Feature) release(ctx context.Context, a *limits.Admission, model string) {
	if a == nil {
		return
	}
	after, done := afterwards(ctx)
	defer done()
	a.Settle(after, model, ai.Usage{})
}

// takeNow takes a small document in within its request.
func (f *Feature) takeNow(ctx context.Context, c httpapi.Call, m *material, p *prepared, a *limits.Admission) (ingested, error) {
	defer f.release(ctx, a, "") // unless it was settled
	in := &intake{f: f, tenant: c.Tenant, m: m, prepared: p, trace: c.TraceID, admission: a, batch: maxAtOnce}
	var err error
	if in.version, err = f.Documents.NextVersion(ctx, c.Tenant.ID); err != nil {
		return ingested{}, fmt.Errorf("beginning a document: %w", err)
	}
	if err := in.run(ctx); err != nil {
		f.counts.ingests("failed")
		return ingested{}, err
	}
	f.counts.ingests("ingested")
	return ingested{Status: statusIngested, DocID: m.DocID, Chunks: len(p.passages), EmbeddingModelID: c.Tenant.Config.EmbeddingModel()}, nil
}

// tokens that embedding a document takes.
func (f *Feature) tokens(model string, p *prepared) (n int) {
	for _, passage := range p.passages {
		n += f.Estimator.Text(model, embedded(p.title, passage))
	}
	return n
}

func models(model string) []string {
	if model == "" {
		return nil
	}
	return []string{model}
}
