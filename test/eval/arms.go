package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/lsa"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
)

// depth is how many passages each arm gives to the fusion.
const depth = 100

// arms are the two ways in which the runtime finds a passage.
type arms struct {
	text    *textindex.Index
	model   *lsa.Model // nil if the passages are too few to learn from
	vectors *vectorindex.Index
}

func build(ctx context.Context, c *collection, say func(format string, args ...any)) (*arms, error) {
	a := &arms{text: textindex.New()}
	for i, p := range c.passages {
		a.text.Add(uint32(i), p)
	}
	say("%d passages indexed, %.1f MiB", a.text.Len(), mebibytes(a.text.Bytes()))
	model, err := lsa.Train(ctx, a.text.Snapshot().Counts(lsa.MaxPassages, lsa.MaxTerms), lsa.Rank, func(share float64) {
		say("vectors learnt to %.0f %%", 100*share)
	})
	switch {
	case errors.Is(err, lsa.ErrTooFew):
		return a, nil
	case err != nil:
		return nil, fmt.Errorf("learning vectors: %w", err)
	}
	a.model = model
	if a.vectors, err = vectorindex.New(model.Dimensions); err != nil {
		return nil, fmt.Errorf("making a vector index: %w", err)
	}
	for i, p := range c.passages {
		if v := model.Fold(p); v != nil {
			if err := a.vectors.Set(uint32(i), v); err != nil {
				return nil, fmt.Errorf("keeping a vector: %w", err)
			}
		}
	}
	say("%d vectors of %d dimensions, %.1f MiB, and a model of %.1f MiB", a.vectors.Len(), model.Dimensions, mebibytes(a.vectors.Bytes()), mebibytes(model.Bytes()))
	return a, nil
}

func mebibytes(n int) float64 { return float64(n) / (1 << 20) }

// findings are the candidates that either arm found, with the scores of both, and what
// each found alone, best first.
type findings struct {
	ids            []uint32
	words, cosines []float64
	// share of the query that the best by words holds.
	share          float64
	byText, byNear []uint32
}

func (a *arms) find(q string) (findings, error) {
	var f findings
	for _, h := range a.text.Search(q, depth, nil) {
		f.byText = append(f.byText, h.ID)
	}
	var vector []float32
	if a.model != nil {
		vector = a.model.Fold(q)
	}
	if vector != nil {
		near, err := a.vectors.Scan(vector, depth, nil)
		if err != nil {
			return f, fmt.Errorf("scanning vectors: %w", err)
		}
		for _, h := range near {
			f.byNear = append(f.byNear, h.Slot)
		}
	}
	f.ids = slices.Concat(f.byText, f.byNear)
	slices.Sort(f.ids)
	f.ids = slices.Compact(f.ids)
	f.words = a.text.Score(q, f.ids)
	if len(f.byText) > 0 {
		f.share = a.text.Share(q, f.byText[:1])[0]
	}
	known := a.text.Known(q)
	f.cosines = make([]float64, len(f.ids))
	if vector != nil {
		scores, err := a.vectors.Score(vector, f.ids)
		if err != nil {
			return f, fmt.Errorf("comparing vectors: %w", err)
		}
		for i, s := range scores {
			f.cosines[i] = float64(s) * known
		}
	}
	return f, nil
}

// fused ranks the candidates by the runtime's fusion.
func (f *findings) fused(weight float64) []uint32 {
	return f.ranked(index.Fuse(f.words, f.cosines, f.share, weight))
}

// byRank ranks them by reciprocal ranks, which look at no score.
func (f *findings) byRank() []uint32 { return f.ranked(index.FuseRanks(f.words, f.cosines)) }

// fit tells how well the best passage fits the question: the score of the best found by
// words, and by both.
func (f *findings) fit() (byWords, byBoth float64) {
	for _, s := range index.Fuse(f.words, f.cosines, f.share, index.DefaultWeight) {
		byBoth = max(byBoth, s)
	}
	return f.share, byBoth
}

func (f *findings) ranked(scores []float64) []uint32 {
	order := make([]int, len(f.ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(f.ids[a], f.ids[b]))
	})
	out := make([]uint32, len(order))
	for i, at := range order {
		out[i] = f.ids[at]
	}
	return out
}
