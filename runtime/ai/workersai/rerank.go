package workersai

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type rerankInput struct {
	Query    string    `json:"query"`
	Contexts []passage `json:"contexts"`
	TopK     int       `json:"top_k,omitempty"`
}

type passage struct {
	Text string `json:"text"`
}

// Rerank implements ai.Reranker.
func (d Driver) Rerank(ctx context.Context, t tenancy.ID, req ai.RerankRequest) ([]ai.Ranked, error) {
	in := rerankInput{Query: req.Query, TopK: req.TopK}
	for _, text := range req.Texts {
		in.Contexts = append(in.Contexts, passage{text})
	}
	if req.Query == "" || len(req.Texts) == 0 || slices.Contains(req.Texts, "") || req.TopK < 0 {
		return nil, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("reranking needs a query and texts, none of them empty")}
	}
	reply, err := d.run(ctx, t, req.Model, req.TraceID, "", in)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reply.Close() }() // it was read to its end, or failed with an error of its own
	var out struct {
		Response []struct {
			ID    *int     `json:"id"`
			Score *float64 `json:"score"`
		} `json:"response"`
	}
	if err := result(reply, &out); err != nil {
		return nil, err
	}
	ranked := make([]ai.Ranked, 0, len(out.Response))
	seen := make([]bool, len(req.Texts))
	for _, r := range out.Response {
		if r.ID == nil || r.Score == nil || *r.ID < 0 || *r.ID >= len(seen) || seen[*r.ID] || math.IsNaN(*r.Score) {
			return nil, &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the ranks can't be told apart")}
		}
		seen[*r.ID] = true
		ranked = append(ranked, ai.Ranked{Index: *r.ID, Score: *r.Score})
	}
	if len(ranked) == 0 {
		return nil, &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the model ranked nothing")}
	}
	// Not every model sorts, or heeds top_k.
	slices.SortStableFunc(ranked, func(a, b ai.Ranked) int { return cmp.Compare(b.Score, a.Score) })
	if req.TopK > 0 {
		ranked = ranked[:min(req.TopK, len(ranked))]
	}
	return ranked, nil
}
