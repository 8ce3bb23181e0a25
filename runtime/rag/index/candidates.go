package index

import (
	"cmp"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	// leastFound is how many passages either arm gives to be fused at least, mostFound how
	// many are looked through at most for K of different texts.
	leastFound, mostFound = 40, 10_000
	// leastScored is how many passages are scored exactly at least: enough that the best
	// ten are among them in spite of rounded vectors.
	leastScored = 40
	// copies of a text that are scored exactly.
	copies = 3
	// rounded is how far off a cosine of rounded vectors may be: many times what it is for
	// embeddings as a rule.
	rounded = 0.02
)

// candidate is a passage that one of the arms found.
type candidate struct {
	storage.PassageKey
	slot     uint32
	hash     uint64
	passages int
	// stored: the cosine is of a vector in the store, and approximate.
	stored        bool
	words, cosine float64
	score         float64
}

// candidates of one search. Pointers into list are good until the next add.
type candidates struct {
	list []candidate
	at   map[uint32]int
	// best score by words, of all that were found, and share of the query that passage
	// holds.
	best, share float64
	// near tells that vectors were compared: without, words alone make the score.
	near bool
	// more tells that an arm found as many as were asked for: there may be others.
	more bool
}

func newCandidates() *candidates { return &candidates{at: map[uint32]int{}} }

// add gives the slot's candidate, a new one if need be.
func (f *candidates) add(slot uint32) *candidate {
	i, there := f.at[slot]
	if !there {
		i = len(f.list)
		f.at[slot] = i
		f.list = append(f.list, candidate{slot: slot})
	}
	return &f.list[i]
}

// slots of those from a place on.
func (f *candidates) slots(from int) []uint32 {
	slots := make([]uint32, 0, len(f.list)-from)
	for _, c := range f.list[from:] {
		slots = append(slots, c.slot)
	}
	return slots
}

// rank scores all and puts them in order.
func (f *candidates) rank(q Query) {
	var byRank []float64
	if q.Ranks && q.Mode == Hybrid && f.near {
		words, cosines := make([]float64, len(f.list)), make([]float64, len(f.list))
		for i, c := range f.list {
			words[i], cosines[i] = c.words, c.cosine
		}
		byRank = FuseRanks(words, cosines)
	}
	weight := q.weight()
	if !f.near {
		weight = 0
	}
	for i := range f.list {
		c := &f.list[i]
		switch {
		case q.Mode == ByVector:
			c.score = clamp(c.cosine)
		case q.Mode == ByWords:
			c.score = blend(c.words, f.best, f.share, 0, 0)
		case byRank != nil:
			c.score = byRank[i]
		default:
			c.score = blend(c.words, f.best, f.share, c.cosine, weight)
		}
	}
	slices.SortFunc(f.list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.Doc, b.Doc), cmp.Compare(a.N, b.N))
	})
	f.at = nil // places have changed
}

// cut keeps the best n texts, and tells how many there are. Of the same text some passages
// stay for now, since their scores aren't exact.
func (f *candidates) cut(n int) (texts int) {
	seen := map[uint64]int{}
	kept := f.list[:0]
	for _, c := range f.list {
		if seen[c.hash] == 0 && len(seen) == n {
			break
		}
		if seen[c.hash]++; seen[c.hash] <= copies {
			kept = append(kept, c)
		}
	}
	f.list = kept
	return len(seen)
}

// contend keeps those that may be among the best K once their cosines are exact.
func (f *candidates) contend(q Query) {
	share := 1.0
	switch {
	case q.Ranks && q.Mode == Hybrid:
		return
	case q.Mode == Hybrid:
		share = q.weight() / (1 + q.weight())
	}
	seen := map[uint64]bool{}
	for _, c := range f.list {
		if seen[c.hash] = true; len(seen) == q.K {
			least := c.score - 2*rounded*share
			f.list = slices.DeleteFunc(f.list, func(c candidate) bool { return c.score < least })
			return
		}
	}
}

// hits are the best K of different texts, in order, of those that fit at all and reach the
// least score.
func (f *candidates) hits(q Query) []Hit {
	f.rank(q)
	hits := make([]Hit, 0, min(q.K, len(f.list)))
	seen := map[uint64]bool{}
	for _, c := range f.list {
		if len(hits) == q.K || c.score <= 0 || c.score < q.MinScore {
			break
		}
		if seen[c.hash] {
			continue
		}
		seen[c.hash] = true
		hits = append(hits, Hit{PassageKey: c.PassageKey, Passages: c.passages, Score: c.score, WordScore: c.words, VectorScore: c.cosine})
	}
	return hits
}
