package vectorindex_test

import (
	"errors"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
)

func mustNew(t *testing.T, dims int) *vectorindex.Index {
	t.Helper()
	x, err := vectorindex.New(dims)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func mustSet(t *testing.T, x *vectorindex.Index, slot uint32, v ...float32) {
	t.Helper()
	if err := x.Set(slot, v); err != nil {
		t.Fatal(err)
	}
}

func mustScan(t *testing.T, x *vectorindex.Index, q []float32, k int, keep []uint64) []uint32 {
	t.Helper()
	hits, err := x.Scan(q, k, keep)
	if err != nil {
		t.Fatal(err)
	}
	slots := make([]uint32, len(hits))
	for i, h := range hits {
		slots[i] = h.Slot
	}
	return slots
}

func TestScoresAreCosinesWhateverTheLength(t *testing.T) {
	t.Parallel()
	x := mustNew(t, 3)
	mustSet(t, x, 0, 1, 0, 0)
	mustSet(t, x, 1, 1e30, 1e30, 0)
	mustSet(t, x, 2, -1e-40, 0, 0)
	mustSet(t, x, 5000, 0, 0, 3)
	hits, err := x.Scan([]float32{1e-3, 0, 0}, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []vectorindex.Hit{{Slot: 0, Score: 1}, {Slot: 1, Score: math.Sqrt2 / 2}, {Slot: 5000, Score: 0}, {Slot: 2, Score: -1}}
	near := cmp.Comparer(func(a, b float32) bool { return math.Abs(float64(a-b)) < 0.005 })
	if diff := cmp.Diff(want, hits, near); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	scores, err := x.Score([]float32{1, 0, 0}, []uint32{2, 1, 77, 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float32{-1, math.Sqrt2 / 2, 0, 0}, scores, near); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEqualScoresComeBySlot(t *testing.T) {
	t.Parallel()
	x := mustNew(t, 2)
	for _, slot := range []uint32{900, 3, 70, 1, 65, 2000} {
		mustSet(t, x, slot, 1, 1)
	}
	mustSet(t, x, 64, 1, 0.9)
	if diff := cmp.Diff([]uint32{1, 3, 65, 70}, mustScan(t, x, []float32{1, 1}, 4, nil)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestASlotIsFoundAsLongAsItIsSetAndKept(t *testing.T) {
	t.Parallel()
	x := mustNew(t, 2)
	mustSet(t, x, 1, 1, 0)
	mustSet(t, x, 2, 1, 0.1)
	mustSet(t, x, 2, 0, 1)
	mustSet(t, x, 64, 1, 0)
	x.Remove(1)
	x.Remove(1)
	x.Remove(1 << 31)
	if x.Len() != 2 || x.Has(1) || !x.Has(2) || x.Has(1<<31) {
		t.Errorf("Len %d, Has(1) %t, Has(2) %t", x.Len(), x.Has(1), x.Has(2))
	}
	for _, tc := range []struct {
		keep []uint64
		want []uint32
	}{
		{nil, []uint32{64, 2}},
		{[]uint64{^uint64(0)}, []uint32{2}},
		{[]uint64{^uint64(0), 1, 8, 8}, []uint32{64, 2}},
		{[]uint64{0, ^uint64(1)}, []uint32{}},
		{[]uint64{}, []uint32{}},
	} {
		if diff := cmp.Diff(tc.want, mustScan(t, x, []float32{1, 0}, 10, tc.keep)); diff != "" {
			t.Errorf("keep %x: (-want +got)\n%s", tc.keep, diff)
		}
	}
}

func TestBadVectorsAreRefused(t *testing.T) {
	t.Parallel()
	for _, dims := range []int{0, -1, vectorindex.MaxDimensions + 1} {
		if _, err := vectorindex.New(dims); err == nil {
			t.Errorf("an index of %d dimensions", dims)
		}
	}
	x := mustNew(t, 2)
	mustSet(t, x, 0, 1, 0)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, v := range [][]float32{nil, {1}, {1, 2, 3}, {0, 0}, {nan, 1}, {1, nan}, {inf, 1}, {1, -inf}, {inf, inf}} {
		if err := x.Set(0, v); !errors.Is(err, vectorindex.ErrVector) {
			t.Errorf("Set %v: %v", v, err)
		}
		if _, err := x.Scan(v, 1, nil); !errors.Is(err, vectorindex.ErrVector) {
			t.Errorf("Scan %v: %v", v, err)
		}
		if _, err := x.Score(v, []uint32{0}); !errors.Is(err, vectorindex.ErrVector) {
			t.Errorf("Score %v: %v", v, err)
		}
	}
	if scores, err := x.Score([]float32{1, 0}, []uint32{0}); err != nil || math.Abs(float64(scores[0]-1)) > 1e-5 {
		t.Errorf("what was there is gone: %v, %v", scores, err)
	}
	for _, k := range []int{0, -5} {
		if got := mustScan(t, x, []float32{1, 0}, k, nil); len(got) != 0 {
			t.Errorf("k %d gives %v", k, got)
		}
	}
	if got := mustScan(t, x, []float32{1, 0}, math.MaxInt, nil); len(got) != 1 {
		t.Errorf("all there is: %v", got)
	}
}

// Whatever was set, removed and kept: all kernels give what sorting all scores gives.
func TestScanIsTheSortedTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dims := rapid.SampledFrom([]int{1, 2, 3, 63, 64, 65, 100}).Draw(t, "dims")
		vector := rapid.Custom(func(t *rapid.T) []float32 {
			v := rapid.SliceOfN(rapid.Float32Range(-1, 1), dims, dims).Draw(t, "vector")
			v[0] += 2 // never zero
			return v
		})
		live := map[uint32][]float32{}
		indexes := map[string]*vectorindex.Index{}
		for name := range vectorindex.Variants() {
			indexes[name], _ = vectorindex.NewWith(name, dims)
		}
		slots := rapid.OneOf(rapid.Uint32Range(0, 130), rapid.Uint32Range(1020, 1030))
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			slot := slots.Draw(t, "slot")
			remove := rapid.IntRange(0, 3).Draw(t, "remove") == 0
			v := vector.Draw(t, "v")
			for _, x := range indexes {
				if remove {
					x.Remove(slot)
				} else if err := x.Set(slot, v); err != nil {
					t.Fatal(err)
				}
			}
			if delete(live, slot); !remove {
				live[slot] = v
			}
		}
		q, k := vector.Draw(t, "q"), rapid.IntRange(1, 50).Draw(t, "k")
		keep := rapid.SliceOfN(rapid.Uint64(), 17, 17).Draw(t, "keep")
		used := slices.Sorted(maps.Keys(live))
		used = slices.DeleteFunc(used, func(s uint32) bool { return keep[s/64]>>(s%64)&1 == 0 })
		var want []vectorindex.Hit
		for name, x := range indexes {
			if x.Len() != len(live) {
				t.Fatalf("%s holds %d of %d", name, x.Len(), len(live))
			}
			scores, err := x.Score(q, used)
			if err != nil {
				t.Fatal(err)
			}
			truth := make([]vectorindex.Hit, len(used))
			for i, s := range used {
				truth[i] = vectorindex.Hit{Slot: s, Score: scores[i]}
				if exact := cosine(q, live[s]); math.Abs(exact-float64(scores[i])) > 0.02 {
					t.Fatalf("%s: slot %d has %f, not %f", name, s, scores[i], exact)
				}
			}
			slices.SortStableFunc(truth, func(a, b vectorindex.Hit) int {
				switch {
				case a.Score > b.Score:
					return -1
				case a.Score < b.Score:
					return 1
				}
				return 0
			})
			truth = truth[:min(k, len(truth))]
			got, err := x.Scan(q, k, keep)
			if err != nil {
				t.Fatal(err)
			}
			if len(got)+len(truth) > 0 && !cmp.Equal(truth, got) {
				t.Fatalf("%s: (-want +got)\n%s", name, cmp.Diff(truth, got))
			}
			if want != nil && !cmp.Equal(want, got) {
				t.Fatalf("kernels differ: %s", cmp.Diff(want, got))
			}
			want = got
		}
	})
}

func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return dot / math.Sqrt(aa*bb)
}
