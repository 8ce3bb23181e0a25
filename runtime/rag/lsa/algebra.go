package lsa

import (
	"context"
	"math"
	"runtime"
)

// stripWidth columns of a basis lie side by side: one cache line a term.
const stripWidth = 16

// strip is stripWidth columns of a tall matrix, by row.
type strip [][stripWidth]float32

// ended is asked for each row of long work: now and then it gives way to other
// goroutines, and tells whether ctx has ended. What was made until then is of no use.
func ended(ctx context.Context, row int) bool {
	if row%64 != 0 {
		return false
	}
	runtime.Gosched()
	return ctx.Err() != nil
}

// products gives aᵀb of two bases, or anything once ctx has ended.
func products(ctx context.Context, a, b []strip) [][]float64 {
	size := len(a) * stripWidth
	out := make([][]float64, size)
	for i := range out {
		out[i] = make([]float64, size)
	}
	for s := range a {
		for t := s; t < len(b); t++ {
			var sum [stripWidth][stripWidth]float64
			for i := range a[s] {
				if ended(ctx, i) {
					return out
				}
				x, y := &a[s][i], &b[t][i]
				for d, v := range x {
					line, v := &sum[d], float64(v)
					for e, w := range y {
						line[e] += v * float64(w)
					}
				}
			}
			for d := range sum {
				for e, v := range &sum[d] {
					out[s*stripWidth+d][t*stripWidth+e] = v
					out[t*stripWidth+e][s*stripWidth+d] = v
				}
			}
		}
	}
	return out
}

// orthonormalise makes the columns of a basis orthonormal, by the Cholesky factor of
// their products. A column that depends on those before it becomes zero. Once ctx has
// ended it does anything.
func orthonormalise(ctx context.Context, basis []strip) {
	inverse := invertFactor(products(ctx, basis, basis))
	for i := range basis[0] {
		if ended(ctx, i) {
			return
		}
		line := make([]float64, len(inverse))
		for s := range basis {
			for d, v := range &basis[s][i] {
				line[s*stripWidth+d] = float64(v)
			}
		}
		for s := range basis {
			for d := range basis[s][i] {
				var sum float64
				for e, v := range inverse[s*stripWidth+d] {
					sum += line[e] * v
				}
				basis[s][i][d] = float32(sum)
			}
		}
	}
}

// invertFactor gives the inverse of the Cholesky factor L of a = LLᵀ, row by row, each
// as long as its number of entries. Rows of dependent columns are zero.
func invertFactor(a [][]float64) [][]float64 {
	size := len(a)
	factor := make([][]float64, size)
	inverse := make([][]float64, size)
	var largest float64
	for i := range a {
		largest = max(largest, a[i][i])
	}
	for i := range size {
		factor[i] = make([]float64, i+1)
		inverse[i] = make([]float64, i+1)
		for j := range i {
			sum := a[i][j]
			for k := range j {
				sum -= factor[i][k] * factor[j][k]
			}
			if factor[j][j] > 0 {
				factor[i][j] = sum / factor[j][j]
			}
		}
		pivot := a[i][i]
		for _, v := range factor[i][:i] {
			pivot -= v * v
		}
		if pivot <= largest*1e-12 {
			continue
		}
		factor[i][i] = math.Sqrt(pivot)
		inverse[i][i] = 1 / factor[i][i]
		for j := range i {
			var sum float64
			for k := j; k < i; k++ {
				sum -= factor[i][k] * inverse[k][j]
			}
			inverse[i][j] = sum * inverse[i][i]
		}
	}
	return inverse
}

// eigen gives the eigenvalues of a symmetric matrix and its eigenvectors, as rows, by
// Jacobi's rotations. The matrix is used up.
func eigen(a [][]float64) (values []float64, vectors [][]float64) {
	size := len(a)
	vectors = make([][]float64, size)
	for i := range vectors {
		vectors[i] = make([]float64, size)
		vectors[i][i] = 1
	}
	var scale float64
	for i := range a {
		scale = max(scale, math.Abs(a[i][i]))
	}
	for range 30 {
		var off float64
		for p := range size {
			for q := p + 1; q < size; q++ {
				off = max(off, math.Abs(a[p][q]))
				rotate(a, vectors, p, q, scale)
			}
		}
		if off <= scale*1e-12 {
			break
		}
	}
	values = make([]float64, size)
	for i := range values {
		values[i] = a[i][i]
	}
	return values, vectors
}

// rotate makes a[p][q] zero.
func rotate(a, vectors [][]float64, p, q int, scale float64) {
	if math.Abs(a[p][q]) <= scale*1e-15 {
		return
	}
	theta := (a[q][q] - a[p][p]) / (2 * a[p][q])
	t := 1 / (math.Abs(theta) + math.Sqrt(theta*theta+1))
	if theta < 0 {
		t = -t
	}
	c := 1 / math.Sqrt(t*t+1)
	s := t * c
	turn := func(x, y []float64) {
		for k := range x {
			x[k], y[k] = c*x[k]-s*y[k], s*x[k]+c*y[k]
		}
	}
	turn(a[p], a[q])
	for k := range a {
		a[k][p], a[k][q] = c*a[k][p]-s*a[k][q], s*a[k][p]+c*a[k][q]
	}
	turn(vectors[p], vectors[q])
}
