package textindex

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

const (
	k1 = 1.2
	b  = 0.75
	// A passage gets presence times a term's weight for having it at all (BM25+), so that
	// one with every word of a short question comes before one that repeats a few. In a
	// long question many words are by the way: from wholeQuery terms on it shrinks, to
	// nothing at longQuery. test/eval chose these.
	presence   = 0.9
	wholeQuery = 6
	longQuery  = 10
	// exactShare of a term's weight is for a word's very form beside its stem.
	exactShare = 0.2
	// maxQueryTerms bounds what a query costs; the rarest of its terms are kept.
	maxQueryTerms = 256
	// window is how many rows are scored at a time: their scores fit the first cache.
	window = 2048
)

// Hit is a passage found.
type Hit struct {
	ID uint32
	// Score is BM25's, above 0, and comparable within one search only.
	Score float64
}

// wanted is a term of a query.
type wanted struct {
	number uint32
	weight float64 // of its rarity and how often it was asked for

	data  []byte // of its list, what is yet to be read
	row   uint32 // the next one, deadRow at the end
	count uint32 // how often that has it
}

// next reads one occurrence.
func (w *wanted) next() {
	var gap uint32
	gap, w.count, w.data = occurrence(w.data)
	if w.count == 0 {
		w.row = deadRow
		return
	}
	w.row += gap
}

// occurrence reads the first (row gap, count) of a list; a count of 0 is its end.
func occurrence(data []byte) (gap, count uint32, rest []byte) {
	if len(data) == 0 {
		return 0, 0, nil
	}
	g, n := binary.Uvarint(data)
	c, m := binary.Uvarint(data[n:])
	return uint32(g), uint32(c), data[n+m:]
}

// add scores the rows from base up to end.
func (w *wanted) add(scores *[window]float64, base, end uint32, lengths []uint32, share shares) {
	row, count, data, weight := w.row, w.count, w.data, w.weight
	for row < end {
		scores[(row-base)%window] += weight * share.of(count, lengths[row])
		if len(data) > 1 && data[0]|data[1] < 0x80 { // nearly always
			row += uint32(data[0])
			count = uint32(data[1])
			data = data[2:]
			continue
		}
		var gap uint32
		if gap, count, data = occurrence(data); count == 0 {
			row = deadRow
			break
		}
		row += gap
	}
	w.row, w.count, w.data = row, count, data
}

// want gives the query's terms that the index has, rarest first. Their order is that in
// which scores are added up, so it depends on the passages alone.
func (x *Index) want(query string) []wanted {
	var want []wanted
	n := float64(len(x.rows))
	for t, asked := range queryTerms(query) {
		number, known := x.vocabulary[t]
		if !known || x.lists[number].live == 0 {
			continue
		}
		share := 1.0
		if strings.HasPrefix(t, exact) {
			share = exactShare
		}
		df := float64(x.lists[number].live)
		weight := share * float64(asked) * math.Log(1+(n-df+0.5)/(df+0.5))
		want = append(want, wanted{number: number, weight: weight, data: x.lists[number].data})
	}
	slices.SortFunc(want, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(x.lists[a.number].term, x.lists[b.number].term))
	})
	return want[:min(len(want), maxQueryTerms)]
}

// shares gives the part of a term's weight that passages have for it.
type shares struct{ always, c0, c1 float64 }

func (x *Index) shares(want []wanted) shares {
	words := 0
	for i := range want {
		if !strings.HasPrefix(x.lists[want[i].number].term, exact) {
			words++
		}
	}
	long := float64(words-wholeQuery) / (longQuery - wholeQuery)
	return shares{
		always: presence * (1 - min(max(long, 0), 1)),
		c0:     k1 * (1 - b),
		c1:     k1 * b * float64(len(x.rows)) / float64(max(x.words, 1)),
	}
}

func (s *shares) of(count, length uint32) float64 {
	tf := float64(count)
	return s.always + tf*(k1+1)/(tf+s.c0+s.c1*float64(length))
}

// Search gives the k passages that fit the query best, the best first and equal ones by
// id; those that keep refuses are not there. keep may be nil; it is asked only of
// passages that would be among the best. A query without a known term finds nothing.
func (x *Index) Search(query string, k int, keep func(id uint32) bool) []Hit {
	want := x.want(query)
	if k <= 0 || len(want) == 0 {
		return nil
	}
	for i := range want {
		want[i].next()
	}
	share := x.shares(want)
	best := top{k: min(k, len(x.rows))}
	var scores [window]float64
	for base := uint32(0); int(base) < len(x.ids); base += window {
		end := base + window
		for i := range want {
			want[i].add(&scores, base, end, x.lengths, share)
		}
		floor := best.floor()
		for i := range scores[:min(window, len(x.ids)-int(base))] {
			if scores[i] >= floor && scores[i] > 0 {
				if row := int(base) + i; x.lengths[row] != deadRow {
					best.offer(Hit{x.ids[row], scores[i]}, keep)
					floor = best.floor()
				}
			}
			scores[i] = 0
		}
	}
	return best.sorted()
}

// Score gives each id's score for the query, exactly as Search would; 0 for one that
// has none of its terms, or isn't there.
func (x *Index) Score(query string, ids []uint32) []float64 {
	scores := make([]float64, len(ids))
	want := x.want(query)
	place := make(map[uint32]int, len(want))
	for i, w := range want {
		place[w.number] = i
	}
	share := x.shares(want)
	found := make([]uint32, len(want))
	for i, id := range ids {
		row, ok := x.rows[id]
		if !ok {
			continue
		}
		clear(found)
		for number, count := range counts(x.passages[row]) {
			if at, asked := place[number]; asked {
				found[at] = count
			}
		}
		for at, count := range found {
			if count > 0 {
				scores[i] += want[at].weight * share.of(count, x.lengths[row])
			}
		}
	}
	return scores
}

// top keeps the best k hits, the worst of them first.
type top struct {
	k    int
	hits []Hit
}

// before is the order of hits: the best first, equal ones by id.
func before(a, b Hit) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID)) }

// floor is what a hit needs to be considered.
func (t *top) floor() float64 {
	if len(t.hits) < t.k {
		return 0
	}
	return t.hits[0].Score
}

func (t *top) offer(h Hit, keep func(uint32) bool) {
	full := len(t.hits) == t.k
	if full && before(h, t.hits[0]) >= 0 || keep != nil && !keep(h.ID) {
		return
	}
	if !full {
		heap.Push(t, h)
		return
	}
	t.hits[0] = h
	heap.Fix(t, 0)
}

func (t *top) sorted() []Hit {
	slices.SortFunc(t.hits, before)
	return t.hits
}

func (t *top) Len() int           { return len(t.hits) }
func (t *top) Less(i, j int) bool { return before(t.hits[i], t.hits[j]) > 0 }
func (t *top) Swap(i, j int)      { t.hits[i], t.hits[j] = t.hits[j], t.hits[i] }
func (t *top) Push(h any)         { t.hits = append(t.hits, h.(Hit)) }
func (t *top) Pop() any {
	h := t.hits[len(t.hits)-1]
	t.hits = t.hits[:len(t.hits)-1]
	return h
}
