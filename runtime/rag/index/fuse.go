package index

import (
	"cmp"
	"slices"
)

// DefaultWeight of a vector's score beside that of the words: what the evaluation chose.
const DefaultWeight = 0.35

// rankOffset damps the first ranks in reciprocal rank fusion, as is usual.
const rankOffset = 60

// Fuse joins, for each passage, the score by words (any scale, none below 0) and the
// cosine, weight times as heavy: (words / best × share + weight × cosine) / (1 + weight),
// where best is the greatest of words, share how much of the query that one passage holds,
// 0 to 1, and a cosine below 0 counts as 0. The result is 0 to 1 and means the same in all
// searches: 1 is a passage that has every word and a cosine of 1. Where the words fit
// badly, vectors so count for more.
func Fuse(words, cosines []float64, share, weight float64) []float64 {
	var best float64
	for _, w := range words {
		best = max(best, w)
	}
	fused := make([]float64, len(words))
	for i, w := range words {
		fused[i] = blend(w, best, share, cosines[i], weight)
	}
	return fused
}

func blend(words, best, share, cosine, weight float64) float64 {
	if best > 0 {
		words = words / best * share // in this order the best has exactly its share
	}
	return (words + weight*clamp(cosine)) / (1 + weight)
}

// FuseRanks joins the places that passages have in the order of either score: 1 for who
// is first in both. It knows nothing of how far apart scores are, so it is for arms that
// are equally good; one with a score of 0 or less is in no place.
func FuseRanks(words, cosines []float64) []float64 {
	fused := make([]float64, len(words))
	for _, scores := range [][]float64{words, cosines} {
		order := make([]int, len(scores))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
		rank := 0
		for place, i := range order {
			if place == 0 || scores[i] != scores[order[place-1]] {
				rank = place
			}
			if scores[i] > 0 {
				fused[i] += (rankOffset + 1) / 2.0 / float64(rankOffset+1+rank)
			}
		}
	}
	return fused
}

func clamp(cosine float64) float64 { return min(max(cosine, 0), 1) }
