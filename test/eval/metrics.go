package main

import (
	"math"
	"slices"
)

// quality of one ranking, or the mean of many; each 0 to 1.
type quality struct {
	NDCG10, MRR, Recall10, Recall100 float64
}

// judge measures a ranking, best first and without repetition, against the gains of
// what is relevant. Nothing relevant means nothing to measure: all 0.
func judge[K comparable](ranking []K, gains map[K]float64) quality {
	var q quality
	if len(gains) == 0 {
		return q
	}
	ideal := make([]float64, 0, len(gains))
	for _, g := range gains {
		ideal = append(ideal, g)
	}
	slices.SortFunc(ideal, func(a, b float64) int {
		if a > b {
			return -1
		}
		return 1
	})
	var best, have, found10, found100 float64
	for i, g := range ideal[:min(10, len(ideal))] {
		best += g / math.Log2(float64(i+2))
	}
	for i, k := range ranking {
		g := gains[k]
		if g <= 0 {
			continue
		}
		if q.MRR == 0 {
			q.MRR = 1 / float64(i+1)
		}
		if i < 10 {
			have += g / math.Log2(float64(i+2))
			found10++
		}
		if i < 100 {
			found100++
		}
	}
	relevant := float64(len(gains))
	q.NDCG10, q.Recall10, q.Recall100 = have/best, found10/relevant, found100/relevant
	return q
}

// mean of no rankings is 0.
func mean(all []quality) quality {
	var sum quality
	for _, q := range all {
		sum.NDCG10 += q.NDCG10
		sum.MRR += q.MRR
		sum.Recall10 += q.Recall10
		sum.Recall100 += q.Recall100
	}
	n := float64(max(len(all), 1))
	return quality{sum.NDCG10 / n, sum.MRR / n, sum.Recall10 / n, sum.Recall100 / n}
}
