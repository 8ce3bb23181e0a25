package index

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Vectors says where the vectors are from that passages are found by.
type Vectors int

const (
	// NoVectors: words alone, and what a query brings along in Dense.
	NoVectors Vectors = iota
	// StoredVectors are those that the passages have in the store.
	StoredVectors
	// LearntVectors are learnt from the passages here, once there are enough.
	LearntVectors
)

// Options of an index.
type Options struct {
	Vectors Vectors
	// Model is the EmbeddingModel of documents whose stored vectors are used: those of
	// another model can't be compared, and their passages are found by words alone.
	Model string
	// Dimensions of stored vectors; 0 takes those of the first vector read.
	Dimensions int
	// Logger tells what went wrong in the background. It gets no texts.
	Logger *slog.Logger
}

// ErrNotReady: the documents haven't been read yet. CatchUp waits until they are.
var ErrNotReady = errors.New("the documents are still being read")

// Index is one tenant's index.
type Index struct {
	docs    storage.Documents
	tenant  tenancy.ID
	options Options

	// lead is held by whoever applies changes or replaces the learnt vectors.
	lead chan struct{}
	// learning is held by whoever makes a new model.
	learning chan struct{}
	// since is the last change that was applied. Who leads sets it.
	since atomic.Int64
	// round counts complete readings, sweep tells that what this one doesn't find must
	// go. Both are the leader's.
	round int
	sweep bool

	mu sync.RWMutex
	catalogue
	text    *textindex.Index
	vectors *vectorindex.Index // nil without stored vectors
	learnt  *learnt            // nil before there is a model
	// fresh counts passages that came after the model in force was learnt.
	fresh    int
	progress Progress
}

// Progress tells how far the documents have been read, and what is found.
type Progress struct {
	// Ready once all that was there at the beginning can be found.
	Ready bool
	// Documents and Passages that can be found.
	Documents, Passages int
	// Total is how many documents the store had when reading began.
	Total int64
	// WithVector is how many passages can be found by a vector.
	WithVector int
	// Bytes that the indexes hold, roughly.
	Bytes int
}

// New returns an empty index of t's documents; CatchUp or Follow fill it.
func New(docs storage.Documents, t tenancy.ID, o Options) (*Index, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	x := &Index{
		docs: docs, tenant: t, options: o, lead: make(chan struct{}, 1), learning: make(chan struct{}, 1), round: 1,
		catalogue: newCatalogue(), text: textindex.New(),
	}
	if o.Vectors == StoredVectors && o.Dimensions > 0 {
		var err error
		if x.vectors, err = vectorindex.New(o.Dimensions); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// Progress tells how far the documents have been read.
func (x *Index) Progress() Progress {
	x.mu.RLock()
	defer x.mu.RUnlock()
	p := x.progress
	p.Documents, p.Passages = len(x.documents), x.shown
	p.Bytes = x.text.Bytes() + x.catalogue.bytes()
	if x.vectors != nil {
		p.WithVector, p.Bytes = x.vectors.Len(), p.Bytes+x.vectors.Bytes()
	}
	if x.learnt != nil {
		p.WithVector, p.Bytes = x.learnt.vectors.Len(), p.Bytes+x.learnt.vectors.Bytes()+x.learnt.model.Bytes()
	}
	return p
}

// take becomes the leader; give ends that.
func (x *Index) take(ctx context.Context) error {
	select {
	case x.lead <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (x *Index) give() { <-x.lead }
