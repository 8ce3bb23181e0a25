package main

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
)

// weights of the vectors' score in the fusion that are tried.
var weights = []float64{0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.75, 1, 2}

// result of one data set.
type result struct {
	name, about          string
	text, vector, hybrid quality
	ranks                quality   // fused by rank
	sweep                []quality // by weights; none for a live API
	// Citations is the share of them whose source is a right one, injections how many
	// planted instructions were carried out; nil if this run didn't measure it.
	citations  *float64
	injections *int
	// cited is the share of the answers with a citation, unanswered that of another set's
	// questions that got none; of a live API or a product that was driven.
	cited, unanswered float64
	// through is the same measured through a product's API, nil if it wasn't.
	through *result
	// byWords and byBoth tell own questions from another set's; nil if there is none.
	byWords, byBoth *separation
	notes           []string
}

// measure answers all questions of a public set.
func measure(ctx context.Context, c *collection, strangers []query, say func(format string, args ...any)) (*result, error) {
	a, err := build(ctx, c, say)
	if err != nil {
		return nil, err
	}
	r := &result{name: c.name, about: c.about, sweep: make([]quality, len(weights))}
	var text, vector, hybrid, ranks []quality
	swept := make([][]quality, len(weights))
	var searching time.Duration
	for i, q := range c.queries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if i > 0 && i%500 == 0 {
			say("%d of %d questions", i, len(c.queries))
		}
		started := time.Now()
		f, err := a.find(q.text)
		searching += time.Since(started)
		if err != nil {
			return nil, err
		}
		text = append(text, judge(f.byText, q.gains))
		vector = append(vector, judge(f.byNear, q.gains))
		hybrid = append(hybrid, judge(f.fused(index.DefaultWeight), q.gains))
		ranks = append(ranks, judge(f.byRank(), q.gains))
		for w, weight := range weights {
			swept[w] = append(swept[w], judge(f.fused(weight), q.gains))
		}
	}
	r.text, r.vector, r.hybrid, r.ranks = mean(text), mean(vector), mean(hybrid), mean(ranks)
	for w := range weights {
		r.sweep[w] = mean(swept[w])
	}
	if len(strangers) > 0 {
		words, both, err := a.separations(ctx, c.queries, strangers)
		if err != nil {
			return nil, err
		}
		r.byWords, r.byBoth = &words, &both
	}
	say("%d questions, %v each", len(c.queries), (searching / time.Duration(max(len(c.queries), 1))).Round(time.Microsecond))
	return r, nil
}

// tolerated is the share of the text arm's nDCG@10 that a fusion may lose.
const tolerated = 0.01

// choose gives the weight with the largest mean gain over text among those that harm no
// set more than tolerated.
func choose(results []*result) (weight float64) {
	var best float64
	for w, candidate := range weights {
		var gain float64
		harmless := true
		for _, r := range results {
			change := r.sweep[w].NDCG10/r.text.NDCG10 - 1
			gain += change
			harmless = harmless && change >= -tolerated
		}
		if harmless && gain > best {
			best, weight = gain, candidate
		}
	}
	return weight
}
