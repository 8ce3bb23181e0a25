package textindex

import (
	"math"
	"slices"
	"strings"
)

// background is how many passages of other things a term's rarity is judged with beside
// those that there are: among a handful of passages every word would be common, and a word
// that none has far too weighty.
const background = 1000

// asking is a term of a query with its part of the query's weight; all parts are 1.
type asking struct {
	number uint32
	known  bool
	part   float64
}

// asking takes a query apart by the rarity of its words, in stems alone. A word that no
// passage has is the rarest.
func (x *Index) asking(query string) []asking {
	terms := queryTerms(query)
	names := make([]string, 0, len(terms))
	for t := range terms {
		if !strings.HasPrefix(t, exact) {
			names = append(names, t)
		}
	}
	slices.Sort(names) // sums must not depend on a map's order
	list, sum := make([]asking, len(names)), 0.0
	n := float64(len(x.rows) + background)
	for i, t := range names {
		number, known := x.vocabulary[t]
		df := 0.0
		if known {
			df = float64(x.lists[number].live)
		}
		part := float64(terms[t]) * math.Log(1+(n-df+0.5)/(df+0.5))
		list[i] = asking{number, df > 0, part}
		sum += part
	}
	for i := range list {
		list[i].part /= sum
	}
	return list
}

// Known gives how much of the query the passages hold together, as Share does for one.
func (x *Index) Known(query string) float64 {
	asked := x.asking(query)
	return held(asked, func(i int) bool { return asked[i].known })
}

// held adds up the parts of the terms that are there. All of them are exactly 1, which sums
// of parts needn't be.
func held(asked []asking, there func(i int) bool) (share float64) {
	all := len(asked) > 0
	for i, a := range asked {
		if there(i) {
			share += a.part
		} else {
			all = false
		}
	}
	if all {
		return 1
	}
	return min(share, 1)
}

// Share gives how much of the query each passage holds, 0 to 1: the weight of those of its
// words that the passage has, of the weight of all, each as heavy as it is rare. Unlike a
// score it can be compared between searches. It is 0 for a passage that isn't there.
func (x *Index) Share(query string, ids []uint32) []float64 {
	shares := make([]float64, len(ids))
	asked := x.asking(query)
	place := make(map[uint32]int, len(asked))
	for i, a := range asked {
		if a.known {
			place[a.number] = i
		}
	}
	for n, id := range ids {
		row, ok := x.rows[id]
		if !ok {
			continue
		}
		found := make([]bool, len(asked))
		for number := range counts(x.passages[row]) {
			if i, wanted := place[number]; wanted {
				found[i] = true
			}
		}
		shares[n] = held(asked, func(i int) bool { return found[i] })
	}
	return shares
}
