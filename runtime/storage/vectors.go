package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Bounds of Vectors, the same for every driver: what one store takes, all take.
const (
	// MaxTopK is the most matches of one query.
	MaxTopK = 50
	// MaxDocBytes is how long a document's id is.
	MaxDocBytes = 256
	// MaxTextBytes is how long a passage is.
	MaxTextBytes = 1 << 20
	// MaxProperties is how many metadata properties a chunk has at most, MaxPropertyBytes
	// how long a name is, MaxMetadataBytes how long all are as JSON.
	MaxProperties    = 32
	MaxPropertyBytes = 64
	MaxMetadataBytes = 6 << 10
	// MaxStringBytes is how long a metadata string is at most: longer ones couldn't be
	// compared whole on every store.
	MaxStringBytes = 64
	// MaxValues is how many values In and NotIn compare with, MaxFilterBytes how long a
	// filter's names and values are as JSON.
	MaxValues      = 32
	MaxFilterBytes = 1800
)

var (
	// ErrDimensions: a vector of another length than the store's.
	ErrDimensions = errors.New("a vector of another length than the index has")
	// ErrBadVector: a vector without direction.
	ErrBadVector = errors.New("a vector must be finite and not all zero")
	// ErrBadChunk: a chunk beyond the bounds above, or without a document.
	ErrBadChunk = errors.New("a chunk that can't be kept")
	// ErrTextTooLong: a text for which this store has no place.
	ErrTextTooLong = errors.New("a text that is too long for this store")
	// ErrBadFilter: a filter with an unknown operator, of a property that isn't filterable,
	// or with values that can't be compared.
	ErrBadFilter = errors.New("a filter that can't be applied")
	// ErrBadTopK: fewer than 1 or more than MaxTopK matches.
	ErrBadTopK = errors.New("a query gives 1 to 50 matches")
	// ErrBadMutation: a Mutation that this store didn't give to this tenant.
	ErrBadMutation = errors.New("unknown mutation")
)

// BusyError is a store that takes no more calls for now: nothing was done.
type BusyError struct {
	// After is how long to wait.
	After time.Duration
}

func (e *BusyError) Error() string { return fmt.Sprintf("store busy; try again in %s", e.After) }

// ChunkKey names one chunk of one version of one document of a tenant.
type ChunkKey struct {
	// Doc is the document's id, of 1 to MaxDocBytes bytes.
	Doc string
	// Version of the document: a replaced document is a new version.
	Version int64
	// N counts the version's chunks from 0.
	N int
}

// Chunk is one passage with its vector.
type Chunk struct {
	ChunkKey
	// Vector has the store's number of dimensions, all finite, not all zero.
	Vector []float32
	// Text is kept whole, up to MaxTextBytes, or the call is refused with ErrTextTooLong.
	Text string
	// Metadata values are string, finite float64 or bool. A name isn't empty, doesn't
	// begin with $ or _, and holds no dot, quote or control character. Where a store has
	// an index for a property it may overlook values of another type than the index's.
	// Names and all texts are UTF-8.
	Metadata map[string]any
}

// Match is a chunk that a query found, without its vector.
type Match struct {
	Chunk
	// Score is the cosine similarity, from -1 to 1.
	Score float64
}

// Operators of a Condition.
const (
	Equal          = "$eq"
	NotEqual       = "$ne"
	In             = "$in"
	NotIn          = "$nin"
	Less           = "$lt"
	LessOrEqual    = "$lte"
	Greater        = "$gt"
	GreaterOrEqual = "$gte"
)

// Condition is one demand on a property. A chunk without the property, or with a value of
// another type, meets none, NotEqual and NotIn included: an index can't find what isn't
// in it.
type Condition struct {
	Property string
	// Op is one of the operators above.
	Op string
	// Values: one, or up to MaxValues for In and NotIn; string, float64 or bool, all of one
	// type. Bools aren't ordered.
	Values []any
}

// VectorQuery asks for the chunks that are nearest to a vector.
type VectorQuery struct {
	Vector []float32
	// TopK is how many matches at most, 1 to MaxTopK.
	TopK int
	// Filter holds conditions that all must be met: one for a property, or a lower and an
	// upper bound.
	Filter []Condition
}

// Mutation names a change that may become visible late; "" is visible at once.
type Mutation string

// Vectors keeps passages and finds the nearest ones. A tenant finds its own alone.
type Vectors interface {
	// Upsert keeps chunks, replacing those of the same key; no key may come twice in a
	// call. It has none or all of a call of up to 1000; of more, it may have kept a part
	// when it fails. A failed call may be repeated.
	Upsert(ctx context.Context, t tenancy.ID, chunks []Chunk) (Mutation, error)
	// Query gives matches, best first; those of equal score by key. What a change that is
	// visible has replaced or removed isn't among them.
	Query(ctx context.Context, t tenancy.ID, q VectorQuery) ([]Match, error)
	// Delete forgets chunks; unknown ones are no error.
	Delete(ctx context.Context, t tenancy.ID, keys []ChunkKey) (Mutation, error)
	// Visible tells whether a change of t, and all of this process before it, can be seen
	// by Query.
	Visible(ctx context.Context, t tenancy.ID, m Mutation) (bool, error)
	// Dimensions of a vector.
	Dimensions() int
}
