package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Place is where a tenant's vectors are.
type Place struct {
	// Index is asked, and written to.
	Index string
	// Next will replace Index and has as many dimensions: it is written to as well. Empty
	// if there is none.
	Next string
	// Namespace keeps the tenant apart in an index that it shares. Empty in its own.
	Namespace string
}

// VectorsOptions say where vectors go.
type VectorsOptions struct {
	storage.Shape
	// Metric of the index: cosine, euclidean or dot-product. Vectors are brought to length
	// 1, so that each gives the cosine.
	Metric string
	// Place of a tenant; an error for one that has none here.
	Place func(t tenancy.ID) (Place, error)
	// Texts keeps what exceeds the 10 KiB of a vector's metadata. Nil refuses such texts.
	Texts storage.Objects
}

// Vectors keeps passages in Vectorize.
type Vectors struct {
	a *Account
	o VectorsOptions

	mu      sync.Mutex
	indexes map[string]*index
	// dropped counts matches that weren't the tenant's, or that the filter doesn't allow.
	dropped atomic.Int64
}

var _ storage.Vectors = (*Vectors)(nil)

// NewVectors makes a store. It calls nobody.
func NewVectors(a *Account, o VectorsOptions) *Vectors {
	return &Vectors{a: a, o: o, indexes: map[string]*index{}}
}

// Dimensions implements storage.Vectors.
func (v *Vectors) Dimensions() int { return v.o.Shape.Dimensions }

// Dropped counts matches of Vectorize that weren't the tenant's own, or not what was
// asked for. Anything but 0 means that an index is shared by mistake.
func (v *Vectors) Dropped() int64 { return v.dropped.Load() }

func (v *Vectors) place(ctx context.Context, t tenancy.ID) (Place, error) {
	if err := allowed(ctx, t); err != nil {
		return Place{}, err
	}
	return v.o.Place(t)
}

func (p Place) indexes() []string {
	if p.Next == "" {
		return []string{p.Index}
	}
	// What fails on the next one must not be seen on the one that is asked.
	return []string{p.Next, p.Index}
}

// Limits of one call: Cloudflare takes 5,000 vectors and 100 MB, and any number of ids
// that isn't written down.
const (
	maxVectors   = 5000
	maxBatchSize = 64 << 20
	maxDeleted   = 1000
)

// Upsert implements storage.Vectors.
func (v *Vectors) Upsert(ctx context.Context, t tenancy.ID, chunks []storage.Chunk) (storage.Mutation, error) {
	p, err := v.place(ctx, t)
	if err != nil {
		return "", err
	}
	if err := v.o.CheckChunks(chunks); err != nil || len(chunks) == 0 {
		return "", err
	}
	for _, name := range p.indexes() {
		if err := v.index(name).ready(ctx, v.a, v.o.Shape); err != nil {
			return "", fmt.Errorf("keeping chunks: %w", err)
		}
	}
	now := v.a.o.Now().UnixNano()
	lines := make([][]byte, len(chunks))
	var beside []longText
	for i := range chunks {
		line, long, err := v.record(t, p, &chunks[i], now)
		if err != nil {
			return "", fmt.Errorf("keeping chunk %d: %w", i, err)
		}
		if lines[i] = line; long != nil {
			beside = append(beside, *long)
		}
	}
	// A vector must never be seen before its text is there.
	if err := v.putTexts(ctx, t, beside); err != nil {
		return "", fmt.Errorf("keeping long texts: %w", err)
	}
	m := mutation{Tenant: tagOf(t)}
	for len(lines) > 0 {
		n, size := 0, 0
		for n < len(lines) && n < maxVectors && (n == 0 || size+len(lines[n]) < maxBatchSize) {
			size += len(lines[n])
			n++
		}
		body := slices.Concat(lines[:n]...)
		probe := idOf(t, chunks[n-1].ChunkKey)
		lines, chunks = lines[n:], chunks[n:]
		for _, name := range p.indexes() {
			c := change{Index: name, At: now, Probe: probe}
			call := apiCall{method: http.MethodPost, path: indexPath(name) + "/upsert", contentType: "application/x-ndjson", body: body}
			if err := v.index(name).write(ctx, v.a, call, &c); err != nil {
				return "", fmt.Errorf("keeping chunks: %w", err)
			}
			m.set(c)
		}
	}
	return m.String(), nil
}

// Delete implements storage.Vectors.
func (v *Vectors) Delete(ctx context.Context, t tenancy.ID, keys []storage.ChunkKey) (storage.Mutation, error) {
	p, err := v.place(ctx, t)
	if err != nil {
		return "", err
	}
	if err := storage.CheckKeys(keys); err != nil || len(keys) == 0 {
		return "", err
	}
	m := mutation{Tenant: tagOf(t)}
	for batch := range slices.Chunk(keys, maxDeleted) {
		ids := make([]string, len(batch))
		for i, k := range batch {
			ids[i] = idOf(t, k)
		}
		body, err := json.Marshal(map[string]any{"ids": ids})
		if err != nil {
			return "", fmt.Errorf("deleting chunks: %w", err)
		}
		for _, name := range p.indexes() {
			c := change{Index: name, At: v.a.o.Now().UnixNano(), Probe: ids[len(ids)-1], Gone: true}
			call := apiCall{method: http.MethodPost, path: indexPath(name) + "/delete_by_ids", contentType: "application/json", body: body}
			if err := v.index(name).write(ctx, v.a, call, &c); err != nil {
				return "", fmt.Errorf("deleting chunks: %w", err)
			}
			m.set(c)
		}
	}
	if err := v.dropTexts(ctx, t, keys); err != nil {
		return "", fmt.Errorf("deleting long texts: %w", err)
	}
	return m.String(), nil
}

type queryBody struct {
	Vector         []float32                 `json:"vector"`
	TopK           int                       `json:"topK"`
	Namespace      string                    `json:"namespace,omitempty"`
	Filter         map[string]map[string]any `json:"filter,omitempty"`
	ReturnMetadata string                    `json:"returnMetadata"`
	ReturnValues   bool                      `json:"returnValues"`
}

// Query implements storage.Vectors.
func (v *Vectors) Query(ctx context.Context, t tenancy.ID, q storage.VectorQuery) ([]storage.Match, error) {
	p, err := v.place(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := v.o.CheckQuery(q); err != nil {
		return nil, err
	}
	// Without all metadata there would be neither text nor proof of whose it is.
	body := queryBody{Vector: unit(q.Vector), TopK: q.TopK, Namespace: p.Namespace, ReturnMetadata: "all"}
	for _, c := range q.Filter {
		if body.Filter == nil {
			body.Filter = map[string]map[string]any{}
		}
		if body.Filter[c.Property] == nil {
			body.Filter[c.Property] = map[string]any{}
		}
		body.Filter[c.Property][c.Op] = c.Values[0]
		if c.Op == storage.In || c.Op == storage.NotIn {
			body.Filter[c.Property][c.Op] = c.Values
		}
	}
	text, err := encode(body)
	if err != nil {
		return nil, fmt.Errorf("asking for vectors: %w", err)
	}
	var answer struct{ Matches []hit }
	call := apiCall{method: http.MethodPost, path: indexPath(p.Index) + "/query", contentType: "application/json", body: text}
	if err := v.a.call(ctx, call, &answer); err != nil {
		return nil, fmt.Errorf("asking for vectors: %w", err)
	}
	found, err := v.own(ctx, t, p, q, answer.Matches)
	if err != nil {
		return nil, fmt.Errorf("reading long texts: %w", err)
	}
	slices.SortFunc(found, storage.CompareMatches)
	return found[:min(q.TopK, len(found))], nil
}

// hit is a match as Vectorize gives it.
type hit struct {
	ID        string
	Score     float64
	Namespace string
	Metadata  map[string]any
}

// own gives the hits that are the tenant's and what was asked for, with their texts.
func (v *Vectors) own(ctx context.Context, t tenancy.ID, p Place, q storage.VectorQuery, hits []hit) ([]storage.Match, error) {
	matches := make([]*storage.Match, len(hits))
	err := each(len(hits), func(i int) (err error) {
		h := hits[i]
		chunk, ref, ok := readChunk(h.Metadata)
		if !ok || h.Namespace != p.Namespace || h.ID != idOf(t, chunk.ChunkKey) || !storage.Meets(chunk.Metadata, q.Filter) {
			v.dropped.Add(1)
			return nil
		}
		if ref != "" {
			var there bool
			if chunk.Text, there, err = v.text(ctx, t, ref); err != nil || !there {
				return err
			}
		}
		matches[i] = &storage.Match{Chunk: chunk, Score: v.cosine(h.Score)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found := make([]storage.Match, 0, len(matches))
	for _, m := range matches {
		if m != nil {
			found = append(found, *m)
		}
	}
	return found, nil
}

// cosine of two vectors of length 1, from the score that the index gives.
func (v *Vectors) cosine(score float64) float64 {
	if v.o.Metric == "euclidean" {
		score = 1 - score*score/2
	}
	return max(-1, min(1, score))
}

// unit brings a checked vector to length 1.
func unit(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	length := math.Sqrt(sum)
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) / length)
	}
	return out
}

// atOnce is how many long texts are on their way for one call.
const atOnce = 8

// each calls do for 0 to n-1, some at once, and gives an error of one.
func each(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, min(n, atOnce))
	for w := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = do(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
