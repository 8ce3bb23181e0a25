package ai

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// RerankRequest asks how well texts answer a query.
type RerankRequest struct {
	// Model is the model's id at its provider.
	Model string
	Query string
	// Texts, none of them empty.
	Texts []string
	// TopK is how many to give at most; 0 gives all.
	TopK int
	// TraceID joins the upstream's log with ours; it names no person.
	TraceID string
}

// Ranked is a text of a RerankRequest.
type Ranked struct {
	// Index of the text in the request.
	Index int
	// Score is the model's own: higher is better, and no other bound holds.
	Score float64
}

// Reranker orders texts by how well they answer a query.
type Reranker interface {
	// Rerank gives texts, best first, none twice.
	Rerank(ctx context.Context, t tenancy.ID, req RerankRequest) ([]Ranked, error)
}
