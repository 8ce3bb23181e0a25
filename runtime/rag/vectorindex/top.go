package vectorindex

import (
	"cmp"
	"math"
	"slices"
)

// top keeps the best hits: a heap whose root is the worst of them.
type top struct {
	hits []Hit
	size int
	// worst is the score that a hit must exceed.
	worst float32
}

func newTop(size int) *top {
	return &top{hits: make([]Hit, 0, max(size, 0)), size: max(size, 0), worst: float32(math.Inf(-1))}
}

// below orders the heap: of equal scores the later slot is worse.
func below(a, b Hit) bool {
	return a.Score < b.Score || a.Score == b.Score && a.Slot > b.Slot
}

// push takes a hit that is better than the worst.
func (t *top) push(h Hit) {
	if len(t.hits) < t.size {
		t.hits = append(t.hits, h)
		for i := len(t.hits) - 1; i > 0; {
			up := (i - 1) / 2
			if !below(t.hits[i], t.hits[up]) {
				break
			}
			t.hits[i], t.hits[up] = t.hits[up], t.hits[i]
			i = up
		}
	} else {
		t.hits[0] = h
		t.sink()
	}
	if len(t.hits) == t.size {
		t.worst = t.hits[0].Score
	}
}

// sink restores the heap's order below its root.
func (t *top) sink() {
	for i := 0; ; {
		least := i
		for _, c := range [2]int{2*i + 1, 2*i + 2} {
			if c < len(t.hits) && below(t.hits[c], t.hits[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		t.hits[i], t.hits[least] = t.hits[least], t.hits[i]
		i = least
	}
}

// sorted gives the hits, best first, their scores times scale.
func (t *top) sorted(scale float32) []Hit {
	slices.SortFunc(t.hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Slot, b.Slot))
	})
	for i := range t.hits {
		t.hits[i].Score *= scale
	}
	return t.hits
}
