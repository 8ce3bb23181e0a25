package lsa

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
)

const (
	// MinPassages is how many passages a model is learnt from at least.
	MinPassages = 200
	// MaxPassages is how many are learnt from at most; of more, every so many-th.
	MaxPassages = 50_000
	// MaxTerms bounds a model's vocabulary, and with it its memory: 50,000 terms of 128
	// dimensions are 26 MB, and the vocabulary some more. Training takes three times as
	// much beside the counts.
	MaxTerms = 50_000
	// Rank is the number of dimensions that the evaluation chose.
	Rank = 128

	oversampled = 16 // directions beyond the rank, which make those of the rank exact
	passes      = 4  // over the counts; more didn't change the evaluation
)

// ErrTooFew says that there are fewer than MinPassages passages, that no two of them
// share a term, or that all are the same.
var ErrTooFew = errors.New("too few passages to learn from")

// Train learns a model of rank dimensions, which must be 1 to 512. It uses half of the
// processors, gives way to other goroutines every few dozen passages, and ends soon
// after ctx, with its error. Progress, if not nil, is told the share done,
// 0 to 1, in order. Training from 50,000 passages of 1 kB takes 22 s of one processor and
// 70 MB beside the counts.
func Train(ctx context.Context, counts *textindex.Counts, rank int, progress func(share float64)) (*Model, error) {
	if rank < 1 || rank > 512 {
		return nil, fmt.Errorf("a rank of %d: it must be 1 to 512", rank)
	}
	if counts.Rows() < MinPassages || len(counts.Terms) == 0 {
		return nil, fmt.Errorf("%d passages with %d common terms: %w", counts.Rows(), len(counts.Terms), ErrTooFew)
	}
	if progress == nil {
		progress = func(float64) {}
	}
	t := &training{counts: counts, weights: entropies(counts), norms: make([]float32, counts.Rows())}
	t.measure()
	strips := (rank + oversampled + stripWidth - 1) / stripWidth
	basis := random(len(counts.Terms), strips)
	for pass := range passes {
		orthonormalise(ctx, basis)
		next, _, err := t.multiply(ctx, basis)
		if err != nil {
			return nil, err
		}
		basis = next
		progress(float64(pass+1) / (passes + 1))
	}
	orthonormalise(ctx, basis)
	_, gram, err := t.multiply(ctx, basis)
	if err != nil {
		return nil, err
	}
	directions := principal(gram, rank)
	if len(directions) == 0 {
		return nil, fmt.Errorf("%d passages that are all the same: %w", counts.Rows(), ErrTooFew)
	}
	m := newModel(ctx, counts, t.weights, basis, directions, version(counts, rank))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	progress(1)
	return m, nil
}

// version hashes all that a model depends on.
func version(counts *textindex.Counts, rank int) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "lsa 1 %d %d\n", rank, counts.Rows())
	for _, t := range counts.Terms {
		_, _ = h.Write(append([]byte(t), 0))
	}
	var row []byte
	for i := range counts.Rows() {
		row = row[:0]
		columns, n := counts.Row(i)
		for j, c := range columns {
			row = append(row, byte(c), byte(c>>8), n[j])
		}
		_, _ = h.Write(append(row, 0xff, 0xff, 0))
	}
	return h.Sum64()
}

// entropies weighs terms: 1 for one that a single passage has, towards 0 for one that
// is everywhere alike.
func entropies(counts *textindex.Counts) []float32 {
	total := make([]float64, len(counts.Terms))
	sum := make([]float64, len(counts.Terms)) // of n·log n
	for i := range counts.Rows() {
		columns, n := counts.Row(i)
		for j, c := range columns {
			f := float64(n[j])
			total[c] += f
			sum[c] += f * math.Log(f)
		}
	}
	weights := make([]float32, len(total))
	all := math.Log(float64(counts.Rows()))
	for c, t := range total {
		if t > 0 {
			// Σ p·log p with p = n/t is (Σ n·log n)/t - log t.
			weights[c] = float32(max(0, 1+(sum[c]/t-math.Log(t))/all))
		}
	}
	return weights
}

// local damps how often a term occurs in one text.
var local = func() (t [256]float32) {
	for n := range t {
		t[n] = float32(math.Log1p(float64(n)))
	}
	return t
}()

// training is the weighted matrix of passages by terms, each passage of length 1.
type training struct {
	counts  *textindex.Counts
	weights []float32
	norms   []float32 // by row, what brings its length to 1
}

func (t *training) measure() {
	for i := range t.norms {
		columns, n := t.counts.Row(i)
		var square float64
		for j, c := range columns {
			w := float64(local[n[j]] * t.weights[c])
			square += w * w
		}
		if square > 0 {
			t.norms[i] = float32(1 / math.Sqrt(square))
		}
	}
}

// multiply gives AᵀA·basis, and basisᵀAᵀA·basis. The strips of a basis don't touch each
// other, so any number of workers gives the same result.
func (t *training) multiply(ctx context.Context, basis []strip) (next []strip, gram [][]float64, err error) {
	next = make([]strip, len(basis))
	var wait sync.WaitGroup
	turn := make(chan int, len(basis))
	for i := range basis {
		turn <- i
	}
	close(turn)
	for range min(len(basis), max(1, runtime.GOMAXPROCS(0)/2)) {
		wait.Go(func() {
			for i := range turn {
				next[i] = t.strip(ctx, basis[i])
			}
		})
	}
	wait.Wait()
	gram = products(ctx, basis, next)
	return next, gram, ctx.Err()
}

// strip gives AᵀA of one strip, or anything once ctx has ended.
func (t *training) strip(ctx context.Context, from strip) strip {
	to := make(strip, len(from))
	for i := range t.counts.Rows() {
		if ended(ctx, i) {
			return to
		}
		columns, n := t.counts.Row(i)
		var sum [stripWidth]float32
		for j, c := range columns {
			w := local[n[j]] * t.weights[c]
			for d, v := range &from[c] {
				sum[d] += w * v
			}
		}
		square := t.norms[i] * t.norms[i]
		for d := range sum {
			sum[d] *= square
		}
		for j, c := range columns {
			w := local[n[j]] * t.weights[c]
			line := &to[c]
			for d, v := range &sum {
				line[d] += w * v
			}
		}
	}
	return to
}

// random is the start of every training: the same one always.
func random(terms, strips int) []strip {
	chance := rand.New(rand.NewPCG(0x6c7361, 1))
	basis := make([]strip, strips)
	for s := range basis {
		basis[s] = make(strip, terms)
		for i := range basis[s] {
			for d := range basis[s][i] {
				basis[s][i][d] = float32(chance.NormFloat64())
			}
		}
	}
	return basis
}

// principal gives the eigenvectors of the rank largest eigenvalues, the largest first.
func principal(gram [][]float64, rank int) [][]float64 {
	values, vectors := eigen(gram)
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] > values[b]:
			return -1
		case values[a] < values[b]:
			return 1
		}
		return 0
	})
	var chosen [][]float64
	for _, i := range order[:min(rank, len(order))] {
		if values[i] <= values[order[0]]*1e-9 {
			break
		}
		chosen = append(chosen, vectors[i])
	}
	return chosen
}
