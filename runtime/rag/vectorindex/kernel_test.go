package vectorindex_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
)

// dots by the definition, in 64 bits.
func dots(query []int8, rows []byte, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		var sum int64
		for j, q := range query {
			sum += int64(q) * int64(rows[i*len(query)+j])
		}
		out[i] = int32(sum)
	}
	return out
}

func agree(t *testing.T, query []int8, rows []byte, n int) {
	t.Helper()
	want := dots(query, rows, n)
	for name, kernel := range vectorindex.Variants() {
		// Numbers around the result must stay as they are.
		got := make([]int32, n+2)
		got[0], got[n+1] = -7, -9
		kernel(query, rows, got[1:n+1])
		if diff := cmp.Diff(want, got[1:n+1]); diff != "" {
			t.Errorf("%s, %d rows of %d: (-want +got)\n%s", name, n, len(query), diff)
		}
		if got[0] != -7 || got[n+1] != -9 {
			t.Errorf("%s, %d rows of %d: wrote beyond its result", name, n, len(query))
		}
	}
}

func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(1, 2))
	for _, stride := range []int{64, 128, 192, 384, 768, 1024, 1536, vectorindex.MaxDimensions} {
		for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 63, 64} {
			if stride == vectorindex.MaxDimensions && n > 5 {
				continue
			}
			query, rows := make([]int8, stride), make([]byte, n*stride)
			for i := range query {
				query[i] = int8(chance.IntN(255) - 127)
			}
			for i := range rows {
				rows[i] = byte(chance.Uint32())
			}
			agree(t, query, rows, n)
		}
	}
}

func TestKernelsAgreeOnExtremes(t *testing.T) {
	t.Parallel()
	for _, stride := range []int{64, 768, vectorindex.MaxDimensions} {
		for _, q := range []int8{-128, -127, 0, 1, 127} {
			for _, r := range []byte{0, 1, 127, 128, 129, 255} {
				query, rows := make([]int8, stride), make([]byte, 5*stride)
				for i := range query {
					query[i] = q
				}
				for i := range rows {
					rows[i] = r
				}
				agree(t, query, rows, 5)
			}
		}
	}
}

func FuzzKernels(f *testing.F) {
	f.Add([]byte{0, 255, 128, 127}, []byte{1, 2, 3}, uint8(3), uint8(2))
	f.Add([]byte{255}, []byte{128}, uint8(64), uint8(12))
	f.Fuzz(func(t *testing.T, rowSeed, querySeed []byte, n, parts uint8) {
		if len(rowSeed) == 0 || len(querySeed) == 0 {
			t.Skip()
		}
		query := make([]int8, 64*(int(parts%16)+1))
		rows := make([]byte, int(n%70)*len(query))
		for i := range query {
			query[i] = int8(querySeed[i%len(querySeed)])
		}
		for i := range rows {
			rows[i] = rowSeed[i%len(rowSeed)] + byte(i/len(rowSeed))
		}
		agree(t, query, rows, int(n%70))
	})
}
