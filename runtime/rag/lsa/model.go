package lsa

import (
	"context"
	"math"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
)

// Model turns texts into vectors. It never changes; any number of goroutines use it.
type Model struct {
	// Version is a hash of what the model was learnt from. Vectors of two versions have
	// nothing to do with each other.
	Version uint64
	// Dimensions of a vector: the rank, or fewer if the passages don't differ in as many
	// ways.
	Dimensions int
	// Passages is how many the index had when the model was learnt.
	Passages int

	column  map[string]uint16
	weights []float32
	terms   []float32 // direction of each term, Dimensions each
}

// newModel turns the basis into its principal directions; once ctx has ended it gives
// anything.
func newModel(ctx context.Context, counts *textindex.Counts, weights []float32, basis []strip, directions [][]float64, version uint64) *Model {
	m := &Model{
		Version: version, Dimensions: len(directions), Passages: counts.Passages,
		column: make(map[string]uint16, len(counts.Terms)), weights: weights,
		terms: make([]float32, len(counts.Terms)*len(directions)),
	}
	line := make([]float64, len(basis)*stripWidth)
	for i, t := range counts.Terms {
		if ended(ctx, i) {
			return m
		}
		m.column[t] = uint16(i)
		for s := range basis {
			for d, v := range &basis[s][i] {
				line[s*stripWidth+d] = float64(v)
			}
		}
		for d, direction := range directions {
			var sum float64
			for k, v := range direction {
				sum += v * line[k]
			}
			m.terms[i*len(directions)+d] = float32(sum)
		}
	}
	return m
}

// Fold gives a text's vector, of length 1, or nil if no term of it is known. Each
// further text counts as if the first held it.
func (m *Model) Fold(text string, more ...string) []float32 {
	counts := map[uint16]int{}
	var order []uint16 // of first occurrence: sums must not depend on a map's order
	count := func(text string) {
		for t := range textindex.Terms(text) {
			if c, known := m.column[t]; known {
				if counts[c] == 0 {
					order = append(order, c)
				}
				counts[c]++
			}
		}
	}
	count(text)
	for _, t := range more {
		count(t)
	}
	vector := make([]float32, m.Dimensions)
	for _, c := range order {
		w := local[min(counts[c], len(local)-1)] * m.weights[c]
		for d, v := range m.terms[int(c)*m.Dimensions:][:m.Dimensions] {
			vector[d] += w * v
		}
	}
	return unit(vector)
}

// unit brings a vector to length 1; nil for one of none.
func unit(vector []float32) []float32 {
	var square float64
	for _, v := range vector {
		square += float64(v) * float64(v)
	}
	if square < 1e-12 {
		return nil
	}
	scale := float32(1 / math.Sqrt(square))
	for d := range vector {
		vector[d] *= scale
	}
	return vector
}

// Bytes estimates the model's memory.
func (m *Model) Bytes() int {
	size := 4*len(m.terms) + 4*len(m.weights)
	for t := range m.column {
		size += 48 + len(t)
	}
	return size
}
