package main

import (
	"context"
	"slices"
)

// leasts are the least scores that are tried.
var leasts = []float64{0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4}

// separation tells how well scores tell questions that the passages answer from those of
// another set, which they don't.
type separation struct {
	// area is how likely an answered question has a better score than a stranger: 0.5 is
	// by chance, 1 always.
	area float64
	// kept and refused, by leasts, are the share of the answered whose best passage has
	// that score, and of the strangers of which none has.
	kept, refused []float64
}

func separate(answered, strangers []float64) separation {
	slices.Sort(answered)
	slices.Sort(strangers)
	s := separation{}
	for _, a := range answered {
		less, _ := slices.BinarySearch(strangers, a)
		equal := less
		for equal < len(strangers) && strangers[equal] == a {
			equal++
		}
		s.area += float64(less) + float64(equal-less)/2
	}
	s.area /= float64(max(len(answered), 1)) * float64(max(len(strangers), 1))
	for _, least := range leasts {
		below, _ := slices.BinarySearch(answered, least)
		refused, _ := slices.BinarySearch(strangers, least)
		s.kept = append(s.kept, 1-float64(below)/float64(max(len(answered), 1)))
		s.refused = append(s.refused, float64(refused)/float64(max(len(strangers), 1)))
	}
	return s
}

// fits gives how well the best passages fit each question, by words and by both.
func (a *arms) fits(ctx context.Context, queries []query) (byWords, byBoth []float64, err error) {
	for _, q := range queries {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		f, err := a.find(q.text)
		if err != nil {
			return nil, nil, err
		}
		w, b := f.fit()
		byWords, byBoth = append(byWords, w), append(byBoth, b)
	}
	return byWords, byBoth, nil
}

// separations asks a set's passages their own questions and another set's.
func (a *arms) separations(ctx context.Context, own, strangers []query) (byWords, byBoth separation, err error) {
	ownWords, ownBoth, err := a.fits(ctx, own)
	if err != nil {
		return byWords, byBoth, err
	}
	words, both, err := a.fits(ctx, strangers)
	return separate(ownWords, words), separate(ownBoth, both), err
}
