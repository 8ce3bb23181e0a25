package memory

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Vectors keeps passages in memory and scans all of them for each query: what other
// drivers give is measured by it.
type Vectors struct {
	shape storage.Shape

	mu       sync.RWMutex
	byTenant map[string]map[storage.ChunkKey]storage.Chunk
}

var _ storage.Vectors = (*Vectors)(nil)

// NewVectors returns an empty store.
func NewVectors(shape storage.Shape) *Vectors {
	return &Vectors{shape: shape, byTenant: map[string]map[storage.ChunkKey]storage.Chunk{}}
}

// Dimensions implements storage.Vectors.
func (v *Vectors) Dimensions() int { return v.shape.Dimensions }

// Upsert implements storage.Vectors.
func (v *Vectors) Upsert(ctx context.Context, t tenancy.ID, chunks []storage.Chunk) (storage.Mutation, error) {
	if err := allowed(ctx, t); err != nil {
		return "", err
	}
	if err := v.shape.CheckChunks(chunks); err != nil {
		return "", err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := v.byTenant[t.Identity()]
	if kept == nil {
		kept = map[storage.ChunkKey]storage.Chunk{}
		v.byTenant[t.Identity()] = kept
	}
	for _, c := range chunks {
		c.Vector, c.Metadata = slices.Clone(c.Vector), maps.Clone(c.Metadata)
		kept[c.ChunkKey] = c
	}
	return "", nil
}

// Query implements storage.Vectors.
func (v *Vectors) Query(ctx context.Context, t tenancy.ID, q storage.VectorQuery) ([]storage.Match, error) {
	if err := allowed(ctx, t); err != nil {
		return nil, err
	}
	if err := v.shape.CheckQuery(q); err != nil {
		return nil, err
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	var found []storage.Match
	for _, c := range v.byTenant[t.Identity()] {
		if storage.Meets(c.Metadata, q.Filter) {
			found = append(found, storage.Match{Chunk: c, Score: cosine(q.Vector, c.Vector)})
		}
	}
	slices.SortFunc(found, storage.CompareMatches)
	found = found[:min(q.TopK, len(found))]
	for i := range found {
		found[i].Vector, found[i].Metadata = nil, maps.Clone(found[i].Metadata)
	}
	return found, nil
}

func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	return max(-1, min(1, dot/math.Sqrt(aa)/math.Sqrt(bb)))
}

// Delete implements storage.Vectors.
func (v *Vectors) Delete(ctx context.Context, t tenancy.ID, keys []storage.ChunkKey) (storage.Mutation, error) {
	if err := allowed(ctx, t); err != nil {
		return "", err
	}
	if err := storage.CheckKeys(keys); err != nil {
		return "", err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, k := range keys {
		delete(v.byTenant[t.Identity()], k)
	}
	return "", nil
}

// Visible implements storage.Vectors: all is, at once.
func (v *Vectors) Visible(ctx context.Context, t tenancy.ID, m storage.Mutation) (bool, error) {
	if err := allowed(ctx, t); err != nil {
		return false, err
	}
	if m != "" {
		return false, storage.ErrBadMutation
	}
	return true, nil
}

func allowed(ctx context.Context, t tenancy.ID) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	return ctx.Err()
}
