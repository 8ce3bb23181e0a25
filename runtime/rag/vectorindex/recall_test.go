package vectorindex_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
)

// clustered vectors lie around centres in fewer dimensions, as those of texts do, with
// some noise in all.
type clustered struct {
	chance  *rand.Rand
	centres [][]float32
	lift    [][]float32 // from latent to all dimensions
}

func newClustered(seed uint64, dims int) *clustered {
	const centres, latent = 200, 96
	c := &clustered{chance: rand.New(rand.NewPCG(seed, 1))}
	c.centres, c.lift = c.normal(centres, latent), c.normal(dims, latent)
	return c
}

func (c *clustered) normal(rows, columns int) [][]float32 {
	all := make([][]float32, rows)
	for i := range all {
		all[i] = make([]float32, columns)
		for j := range all[i] {
			all[i][j] = float32(c.chance.NormFloat64())
		}
	}
	return all
}

func (c *clustered) next() []float32 {
	centre := c.centres[c.chance.IntN(len(c.centres))]
	point := make([]float32, len(centre))
	for i := range point {
		point[i] = centre[i] + float32(c.chance.NormFloat64())
	}
	out := make([]float32, len(c.lift))
	for i, direction := range c.lift {
		for j, p := range point {
			out[i] += direction[j] * p
		}
		out[i] += float32(c.chance.NormFloat64())
	}
	return out
}

// Of the ten nearest by exact numbers the scan finds all among its first forty.
func TestTheNearestTenAreAmongTheFirstForty(t *testing.T) {
	t.Parallel()
	const rows, queries, dims, nearest, looked = 6000, 40, 256, 10, 40
	c := newClustered(7, dims)
	x := mustNew(t, dims)
	exact := make([][]float32, rows)
	for i := range exact {
		exact[i] = c.next()
		mustSet(t, x, uint32(i), exact[i]...)
	}
	found := 0
	for range queries {
		q := c.next()
		order := make([]uint32, rows)
		scores := make([]float64, rows)
		for i := range order {
			order[i], scores[i] = uint32(i), cosine(q, exact[i])
		}
		slices.SortFunc(order, func(a, b uint32) int {
			if scores[a] > scores[b] {
				return -1
			}
			return 1
		})
		got := mustScan(t, x, q, looked, nil)
		for _, slot := range order[:nearest] {
			if slices.Contains(got, slot) {
				found++
			}
		}
	}
	if recall := float64(found) / (queries * nearest); recall < 0.999 {
		t.Errorf("recall is %.4f", recall)
	}
}

const benchRows, benchDims = 100_000, 768

// BenchmarkReadFloor reads as many bytes as the matrix has, once, with the standard
// library's widest loop: what a scan is compared with.
func BenchmarkReadFloor(b *testing.B) {
	matrix := bytes.Repeat([]byte{1}, benchRows*benchDims)
	b.SetBytes(int64(len(matrix)))
	for b.Loop() {
		if bytes.IndexByte(matrix, 0) >= 0 {
			b.Fatal("found")
		}
	}
}

func BenchmarkScan(b *testing.B) {
	chance := rand.New(rand.NewPCG(1, 1))
	v := make([]float32, benchDims)
	random := func() []float32 {
		for i := range v {
			v[i] = float32(chance.NormFloat64())
		}
		return v
	}
	for name := range vectorindex.Variants() {
		x, err := vectorindex.NewWith(name, benchDims)
		if err != nil {
			b.Fatal(err)
		}
		for i := range uint32(benchRows) {
			if err := x.Set(i, random()); err != nil {
				b.Fatal(err)
			}
		}
		q := slices.Clone(random())
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchRows * benchDims)
			for b.Loop() {
				if hits, err := x.Scan(q, 40, nil); err != nil || len(hits) != 40 {
					b.Fatal(len(hits), err)
				}
			}
		})
	}
}

func BenchmarkSet(b *testing.B) {
	x, err := vectorindex.New(benchDims)
	if err != nil {
		b.Fatal(err)
	}
	v := newClustered(1, benchDims).next()
	for i := uint32(0); b.Loop(); i++ {
		if err := x.Set(i%benchRows, v); err != nil {
			b.Fatal(err)
		}
	}
}
