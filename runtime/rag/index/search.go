package index

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Mode says which scores a search goes by.
type Mode int

const (
	// Hybrid goes by both, by words alone where there are no vectors.
	Hybrid Mode = iota
	// ByVector goes by vectors alone.
	ByVector
	// ByWords goes by words alone.
	ByWords
)

// MaxK is the most hits of a search.
const MaxK = 1000

var (
	// ErrNoVectors: a search by vectors where neither the query nor the index has any.
	ErrNoVectors = errors.New("there are no vectors to search by")
	// ErrBadQuery: K isn't 1 to MaxK, or a weight or score isn't a number of 0 or more.
	ErrBadQuery = errors.New("a search that can't be made")
)

// Query asks for passages.
type Query struct {
	Text string
	// Vector of the text by the model that made the stored vectors; nil if there is none.
	// Learnt vectors need none.
	Vector []float32
	// Dense are passages that another store of vectors found, instead of a scan here.
	// Those of a version that isn't shown, or that don't meet the filter, are dropped.
	Dense []DenseHit
	Mode  Mode
	// K is how many hits at most.
	K int
	// Filter is of storage's conditions, on the document's metadata.
	Filter []storage.Condition
	// Weight of the vectors' score beside that of the words; nil is DefaultWeight.
	Weight *float64
	// Ranks fuses by rank instead of by score, which then tells nothing of how well a
	// passage fits, only its place.
	Ranks bool
	// MinScore that a hit must have.
	MinScore float64
}

// DenseHit is a passage that was found by its vector elsewhere.
type DenseHit struct {
	storage.PassageKey
	// Score is the cosine.
	Score float64
}

// Hit is a passage found.
type Hit struct {
	storage.PassageKey
	// Passages is how many the document's version has: N-1 and N+1 are neighbours.
	Passages int
	// Score is 0 to 1, tells how well the passage fits the query, and can be compared
	// between searches of one index: by words, WordScore in relation to the best found,
	// times the share of the query that this one holds (see textindex's Share); by vector,
	// VectorScore; else both, as Fuse has them.
	Score float64
	// WordScore is BM25's; 0 if no word fits, or words weren't asked for.
	WordScore float64
	// VectorScore is the cosine; 0 if unknown or not asked for. Learnt vectors know no word
	// that the passages lack: theirs is less by the share of the query that is unknown.
	VectorScore float64
}

// attempts of a search whose passages were replaced while it ran.
const attempts = 3

// Search gives the passages that fit best, best first; those of equal score by document
// and N. Of passages with the same text it gives the best one alone. It fails with
// ErrNotReady, ErrNoVectors, ErrBadQuery, storage.ErrBadFilter, vectorindex.ErrVector for
// a bad vector, or with the store's error.
func (x *Index) Search(ctx context.Context, q Query) ([]Hit, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		found, err := x.differing(q)
		if err != nil {
			return nil, err
		}
		gone, err := x.rescore(ctx, q, found)
		if err != nil {
			return nil, err
		}
		// The last time the approximate score of what is gone must do: whoever reads the
		// passage finds that it was replaced.
		if !gone || n == attempts {
			return found.hits(q), nil
		}
		if err := x.CatchUp(ctx); err != nil {
			return nil, err
		}
	}
}

// differing finds candidates of different texts, in the order of approximate scores. Where
// the same texts come again and again it looks further.
func (x *Index) differing(q Query) (*candidates, error) {
	for depth := max(4*q.K, leastFound); ; depth *= 4 {
		found, err := x.find(q, depth)
		if err != nil {
			return nil, err
		}
		found.rank(q)
		texts := found.cut(max(leastScored, 2*q.K))
		if texts >= q.K || !found.more || depth >= mostFound {
			found.contend(q)
			return found, nil
		}
	}
}

func (q Query) check() error {
	weight := q.weight()
	switch {
	case q.K < 1 || q.K > MaxK:
		return fmt.Errorf("%w: it gives 1 to %d passages", ErrBadQuery, MaxK)
	case !(weight >= 0) || math.IsInf(weight, 0):
		return fmt.Errorf("%w: the vectors' weight is a number of 0 or more", ErrBadQuery)
	case math.IsNaN(q.MinScore):
		return fmt.Errorf("%w: the least score is a number", ErrBadQuery)
	}
	return storage.CheckFilter(q.Filter)
}

func (q Query) weight() float64 {
	if q.Weight == nil {
		return DefaultWeight
	}
	return *q.Weight
}

// scan is a query in the form in which passages can be compared with it.
type scan struct {
	*vectorindex.Index
	query []float32
	// known is the share of the text that the vector tells of, by which cosines count.
	known float64
}

// scan gives what the query's vector is compared with; nil if there is nothing.
func (x *Index) scan(q Query) *scan {
	switch {
	case q.Mode == ByWords || q.Dense != nil:
	case x.options.Vectors == StoredVectors && len(q.Vector) > 0 && x.vectors != nil:
		return &scan{x.vectors, q.Vector, 1}
	case x.learnt != nil:
		if v := x.learnt.model.Fold(q.Text); v != nil {
			return &scan{x.learnt.vectors, v, x.text.Known(q.Text)}
		}
	}
	return nil
}

// vectorless tells whether a search by vectors can't be made.
func (x *Index) vectorless(q Query) bool {
	switch {
	case q.Mode != ByVector || q.Dense != nil:
		return false
	case x.options.Vectors == StoredVectors:
		return len(q.Vector) == 0
	}
	return x.learnt == nil
}

// find gives the best depth passages of either arm, with both scores, all of one moment.
func (x *Index) find(q Query, depth int) (*candidates, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if !x.progress.Ready {
		return nil, ErrNotReady
	}
	if x.vectorless(q) {
		return nil, ErrNoVectors
	}
	keep, all := x.meeting(q.Filter)
	found := newCandidates()
	if q.Mode != ByVector {
		var keeps func(uint32) bool
		if !all {
			keeps = keep.has
		}
		for _, h := range x.text.Search(q.Text, depth, keeps) {
			found.add(h.ID).words = h.Score
		}
		if len(found.list) > 0 {
			best := found.list[0]
			found.best, found.share = best.words, x.text.Share(q.Text, []uint32{best.slot})[0]
		}
	}
	words := len(found.list)
	found.more = words == depth
	if err := x.findNear(q, found, depth, keep, all); err != nil {
		return nil, err
	}
	if q.Mode != ByVector && len(found.list) > words {
		for i, score := range x.text.Score(q.Text, found.slots(words)) {
			found.list[words+i].words = score
		}
	}
	for i := range found.list {
		c := &found.list[i]
		p := x.passages[c.slot]
		c.hash, c.passages = p.hash, len(p.slots)
		c.PassageKey = storage.PassageKey{Doc: p.id, Version: p.version, N: int(p.n)}
	}
	return found, nil
}

// findNear adds what is near by vector, and the cosines of what was found by words.
func (x *Index) findNear(q Query, found *candidates, depth int, keep bitmap, all bool) error {
	if q.Mode != ByWords {
		for _, h := range q.Dense {
			if d := x.documents[h.Doc]; d != nil && d.version == h.Version && h.N >= 0 && h.N < len(d.slots) && keep.has(d.slots[h.N]) {
				found.add(d.slots[h.N]).cosine = h.Score
			}
		}
	}
	s := x.scan(q)
	found.near = s != nil || q.Mode != ByWords && q.Dense != nil
	if s == nil {
		return nil
	}
	words := found.slots(0)
	if all {
		keep = nil
	}
	near, err := s.Scan(s.query, depth, keep)
	if err != nil {
		return fmt.Errorf("searching by vector: %w", err)
	}
	scores, err := s.Score(s.query, words)
	if err != nil {
		return fmt.Errorf("searching by vector: %w", err)
	}
	for i, slot := range words {
		c := found.add(slot)
		c.cosine, c.stored = float64(scores[i])*s.known, x.vectors == s.Index && s.Has(slot)
	}
	found.more = found.more || len(near) == depth
	for _, h := range near {
		c := found.add(h.Slot)
		c.cosine, c.stored = float64(h.Score)*s.known, x.vectors == s.Index
	}
	return nil
}

// rescore replaces cosines of stored vectors by exact ones, and tells whether some are
// gone from the store.
func (x *Index) rescore(ctx context.Context, q Query, found *candidates) (gone bool, err error) {
	var keys []storage.PassageKey
	var of []*candidate
	for i := range found.list {
		if c := &found.list[i]; c.stored {
			keys, of = append(keys, c.PassageKey), append(of, c)
		}
	}
	if len(keys) == 0 {
		return false, nil
	}
	rows, err := x.docs.Vectors(ctx, x.tenant, keys)
	if err != nil {
		return false, fmt.Errorf("reading vectors: %w", err)
	}
	for i, row := range rows {
		if len(row) != len(q.Vector) {
			gone = true
			continue
		}
		of[i].cosine = cosine(q.Vector, row)
	}
	return gone, nil
}

func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i, v := range a {
		dot += float64(v) * float64(b[i])
		aa += float64(v) * float64(v)
		bb += float64(b[i]) * float64(b[i])
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return dot / math.Sqrt(aa*bb)
}
