package ai

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// EmbedRequest asks for the vectors of texts.
type EmbedRequest struct {
	// Model is the model's id at its provider.
	Model string
	// Texts, none of them empty. A driver sends any number in batches that its provider
	// takes.
	Texts []string
	// Dimensions that each vector must have; 0 takes what the model gives.
	Dimensions int
	// TraceID joins the upstream's log with ours; it names no person.
	TraceID string
}

// Embeddings are the vectors of an EmbedRequest.
type Embeddings struct {
	// Vectors are as many as the texts and in their order, all of one length, finite and
	// not all zero.
	Vectors [][]float32
	// Usage is that of all batches; Out is 0.
	Usage Usage
}

// Embedder turns texts into vectors.
type Embedder interface {
	// Embed gives all vectors or an *Error. A batch that failed for a moment was tried
	// again; a model of other dimensions than asked for is KindMalformed.
	Embed(ctx context.Context, t tenancy.ID, req EmbedRequest) (Embeddings, error)
}

// CheckVectors is what a driver's answer to req must be; the error is for an *Error.
func CheckVectors(req EmbedRequest, vectors [][]float32) error {
	if len(vectors) != len(req.Texts) {
		return fmt.Errorf("%d texts have %d vectors", len(req.Texts), len(vectors))
	}
	want := req.Dimensions
	for _, v := range vectors {
		if want == 0 {
			want = len(v)
		}
		if len(v) != want || want == 0 {
			return fmt.Errorf("the model gives vectors of %d dimensions where %d are kept: choose a model of %d, or make a new index", len(v), want, want)
		}
		zero := true
		for _, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return errors.New("a vector isn't finite")
			}
			zero = zero && x == 0
		}
		if zero {
			return errors.New("a vector is all zero")
		}
	}
	return nil
}
