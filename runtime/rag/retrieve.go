package rag

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// searchAttempts of a search whose documents are replaced while it runs.
	searchAttempts = 3
	// readyWithin is how long a search waits for the index after a start.
	readyWithin = 10 * time.Second
	// Where the tenant sets no least score the best passage needs leastScore or leastCosine,
	// and one without a word of the query leastCosine: every query shares some word with
	// something, and is somehow near to something. By the evaluation nearly all questions
	// that are answered reach it, and most others don't.
	leastScore, leastCosine = 0.25, 0.35
	// rerankFactor is how many times as many passages are found to be reranked.
	rerankFactor = 4
)

// finding is what was found.
type finding struct {
	sources []guard.Source
	// confidence that the sources answer, 0 to 1, see confidenceIn.
	confidence float64
}

// errChanged is a document that was replaced between being found and being read.
var errChanged = errors.New("a document changed while it was read")

func changing() error {
	return &httpapi.Error{
		Status: http.StatusServiceUnavailable, Code: "unavailable", RetryAfter: time.Second,
		Message: "the documents change too fast to be read; try again shortly",
	}
}

// retrieve finds the passages that fit best.
func (f *Feature) retrieve(ctx context.Context, c httpapi.Call, q query, vector []float32) (finding, error) {
	f.counts.search(q.mode)
	x, err := f.index(c.Tenant)
	if err != nil {
		return finding{}, err
	}
	for range searchAttempts {
		found, err := f.attempt(ctx, c, x, q, vector)
		if !errors.Is(err, errChanged) {
			return found, err
		}
	}
	return finding{}, changing()
}

func (f *Feature) attempt(ctx context.Context, c httpapi.Call, x *index.Index, q query, vector []float32) (finding, error) {
	if err := catchUp(ctx, x); err != nil {
		return finding{}, err
	}
	begun := f.Now()
	hits, err := f.hits(ctx, c.Tenant, x, q, vector)
	if err != nil {
		return finding{}, err
	}
	f.counts.phase(phaseRetrieve, f.Now().Sub(begun))
	begun = f.Now()
	r := reader{f: f, tenant: c.Tenant.ID, documents: map[string]storage.Document{}}
	read, err := r.read(ctx, hits)
	if err != nil {
		return finding{}, err
	}
	f.counts.phase(phaseRead, f.Now().Sub(begun))
	if q.rerank && len(read) > 1 {
		if read, err = f.rerank(ctx, c, q, read); err != nil {
			return finding{}, err
		}
	}
	read = read[:min(len(read), q.topK)]
	found := finding{sources: join(read, passageChars(c.Tenant.Config))}
	found.confidence = confidenceIn(read)
	return found, nil
}

// catchUp waits until what was ingested before can be found.
func catchUp(ctx context.Context, x *index.Index) error {
	within, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	err := x.CatchUp(within)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return index.ErrNotReady
	}
	if err != nil {
		return fmt.Errorf("bringing the index up to date: %w", err)
	}
	return nil
}

// hits asks the index.
func (f *Feature) hits(ctx context.Context, t *tenancy.Tenant, x *index.Index, q query, vector []float32) ([]index.Hit, error) {
	cfg := t.Config.Documents
	iq := index.Query{Text: q.text, Vector: vector, K: q.topK, Filter: q.filter}
	if cfg.VectorWeightMilli != nil {
		weight := float64(*cfg.VectorWeightMilli) / 1000
		iq.Weight = &weight
	}
	if cfg.MinScoreMilli != nil {
		iq.MinScore = float64(*cfg.MinScoreMilli) / 1000
	}
	switch q.mode {
	case modeVector:
		iq.Mode = index.ByVector
	case modeText:
		iq.Mode = index.ByWords
	}
	if q.rerank {
		iq.K = min(rerankFactor*q.topK, maxTopK)
	}
	if remote(t.Config) && q.mode != modeText {
		var err error
		if iq.Dense, err = f.dense(ctx, t, q, vector); err != nil {
			return nil, err
		}
	}
	found, err := x.Search(ctx, iq)
	if err != nil {
		return nil, fmt.Errorf("searching: %w", err)
	}
	if cfg.MinScoreMilli != nil {
		return found, nil
	}
	found = slices.DeleteFunc(found, func(h index.Hit) bool { return h.WordScore == 0 && h.VectorScore < leastCosine })
	if !slices.ContainsFunc(found, func(h index.Hit) bool { return h.Score >= leastScore || h.VectorScore >= leastCosine }) {
		return nil, nil
	}
	return found, nil
}

// dense asks the store of vectors, which may have those of versions that aren't found yet,
// or no longer: the index drops them.
func (f *Feature) dense(ctx context.Context, t *tenancy.Tenant, q query, vector []float32) ([]index.DenseHit, error) {
	dense := []index.DenseHit{}
	switch {
	case vector != nil:
	case q.mode == modeVector:
		return nil, noEmbedder()
	default:
		return dense, nil // by words, until there is a model
	}
	var filter []storage.Condition
	for _, c := range q.filter {
		// The index knows the others, and drops what doesn't meet them.
		if slices.Contains(t.Config.Documents.Vectorize.Filterable, c.Property) {
			filter = append(filter, c)
		}
	}
	matches, err := f.Vectors(t.ID).Query(ctx, t.ID, storage.VectorQuery{Vector: vector, TopK: storage.MaxTopK, Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("searching vectors: %w", err)
	}
	for _, m := range matches {
		dense = append(dense, index.DenseHit{PassageKey: storage.PassageKey{Doc: m.Doc, Version: m.Version, N: m.N}, Score: m.Score})
	}
	return dense, nil
}

// rerank lets the tenant's model put passages in order.
func (f *Feature) rerank(ctx context.Context, c httpapi.Call, q query, read []passage) ([]passage, error) {
	reranker := f.Models.Reranker(c.Tenant)
	if reranker == nil {
		return read, nil
	}
	begun := f.Now()
	texts := make([]string, len(read))
	for i, p := range read {
		texts[i] = embedded(p.document.Title, p.own())
	}
	ranked, err := reranker.Rerank(ctx, c.Tenant.ID, ai.RerankRequest{
		Model: c.Tenant.Config.Documents.RerankModel, Query: q.text, Texts: texts, TopK: q.topK, TraceID: c.TraceID,
	})
	if e, ok := errors.AsType[*ai.Error](err); ok && e.Kind != ai.KindCanceled {
		// What was found is as good as it would be without the model.
		f.Logger.Warn("reranking failed; the search's own order is given", "tenant", c.Tenant.ID.String(), "trace_id", c.TraceID, "error", err)
		return read, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reranking: %w", err)
	}
	f.counts.phase(phaseRerank, f.Now().Sub(begun))
	out := make([]passage, 0, len(ranked))
	for _, r := range ranked {
		out = append(out, read[r.Index])
	}
	return out, nil
}

// confidenceIn guesses how surely the passages answer: the best score, or the best cosine
// if that is more. An answer without citations halves it, and one that says that the
// documents don't answer makes it 0.
func confidenceIn(read []passage) float64 {
	var best float64
	for _, p := range read {
		best = max(best, p.hit.Score, p.hit.VectorScore)
	}
	return rounded(best)
}

func rounded(confidence float64) float64 {
	return math.Round(min(max(confidence, 0), 1)*1000) / 1000
}
