package index_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

func key(doc string, n int) storage.PassageKey { return storage.PassageKey{Doc: doc, N: n} }

func expect(t *testing.T, got []storage.PassageKey, want ...storage.PassageKey) {
	t.Helper()
	if diff := cmp.Diff(append([]storage.PassageKey{}, want...), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWhatOneArmFoundIsScoredByTheOther(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.StoredVectors})
	b.publish(storage.Document{ID: "a", EmbeddingModel: model},
		storage.Passage{Text: "the lighthouse keeper", Vector: []float32{0, 1}},
		storage.Passage{Text: "a beacon's guardian", Vector: []float32{1, 0}},
		storage.Passage{Text: "lighthouse lighthouse", Vector: []float32{1, 1}},
		storage.Passage{Text: "soup of the day", Vector: []float32{-1, 0}},
	)
	b.catchUp()
	hits := b.search(index.Query{Text: "lighthouse", Vector: []float32{2, 0}})
	expect(t, b.found(index.Query{Text: "lighthouse", Vector: []float32{2, 0}}), key("a", 2), key("a", 0), key("a", 1))
	if got := hits[0]; math.Abs(got.VectorScore-math.Sqrt2/2) > 1e-7 || got.WordScore <= hits[1].WordScore || got.Passages != 4 {
		t.Errorf("the best is %+v", got)
	}
	if want := (1 + index.DefaultWeight*math.Sqrt2/2) / (1 + index.DefaultWeight); math.Abs(hits[0].Score-want) > 1e-7 {
		t.Errorf("the best has %f, not %f", hits[0].Score, want)
	}
	heavy, none := 10.0, 0.0
	expect(t, b.found(index.Query{Text: "lighthouse keeper", Vector: []float32{1, 0}, Weight: &heavy}), key("a", 1), key("a", 2), key("a", 0))
	expect(t, b.found(index.Query{Text: "lighthouse keeper", Vector: []float32{1, 0}, Weight: &none}), key("a", 0), key("a", 2))
	expect(t, b.found(index.Query{Text: "lighthouse keeper", Vector: []float32{1, 0}, Mode: index.ByVector}), key("a", 1), key("a", 2))
	expect(t, b.found(index.Query{Text: "lighthouse keeper", Mode: index.ByWords}), key("a", 0), key("a", 2))
	expect(t, b.found(index.Query{Text: "lighthouse keeper", Vector: []float32{1, 0}, Ranks: true}), key("a", 2), key("a", 0), key("a", 1))
}

func TestVectorsOfAnotherModelOrLengthAreNotCompared(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.StoredVectors, Dimensions: 2})
	b.publish(storage.Document{ID: "mine", EmbeddingModel: model}, storage.Passage{Text: "one", Vector: []float32{1, 1}})
	b.publish(storage.Document{ID: "older", EmbeddingModel: "before"}, storage.Passage{Text: "two", Vector: []float32{1, 0}})
	b.publish(storage.Document{ID: "longer", EmbeddingModel: model}, storage.Passage{Text: "three", Vector: []float32{1, 0, 0}})
	b.publish(storage.Document{ID: "none", EmbeddingModel: ""}, storage.Passage{Text: "four"})
	b.catchUp()
	expect(t, b.found(index.Query{Vector: []float32{1, 0}, Mode: index.ByVector}), key("mine", 0))
	expect(t, b.found(index.Query{Text: "three two four", Vector: []float32{1, 0}, Mode: index.ByWords}), key("longer", 0), key("none", 0), key("older", 0))
	if p := b.Progress(); p.WithVector != 1 || p.Passages != 4 || p.Documents != 4 || !p.Ready || p.Bytes == 0 {
		t.Errorf("%+v", p)
	}
	if _, err := b.Search(context.Background(), index.Query{Vector: []float32{1, 0, 0}, K: 1}); !errors.Is(err, vectorindex.ErrVector) {
		t.Errorf("a vector of another length: %v", err)
	}
}

// A model of other dimensions under the same name takes over once nothing is left of the
// one before.
func TestDimensionsAreThoseOfWhatIsThere(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.StoredVectors})
	b.publish(storage.Document{ID: "a", EmbeddingModel: model}, storage.Passage{Text: "one", Vector: []float32{1, 0}})
	b.catchUp()
	b.remove("a")
	b.catchUp()
	b.publish(storage.Document{ID: "a", EmbeddingModel: model}, storage.Passage{Text: "one", Vector: []float32{1, 0, 0}})
	b.catchUp()
	expect(t, b.found(index.Query{Vector: []float32{1, 0, 0}, Mode: index.ByVector}), key("a", 0))
}

func TestTheSameTextIsGivenOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	for i := range 70 {
		b.publish(storage.Document{ID: fmt.Sprintf("copy%02d", i)}, texts("Terms  of\nservice apply", "terms of service apply")...)
	}
	b.publish(storage.Document{ID: "other"}, texts("the service of the house, and what applies to it when terms end")...)
	b.catchUp()
	expect(t, b.found(index.Query{Text: "terms of service", K: 2}), key("copy00", 0), key("other", 0))
}

func TestHitsBelowTheLeastScoreAreNotGiven(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	b.publish(storage.Document{ID: "a"}, texts("red boat", "red house", "green house")...)
	b.catchUp()
	expect(t, b.found(index.Query{Text: "red boat"}), key("a", 0), key("a", 1))
	expect(t, b.found(index.Query{Text: "red boat", MinScore: 0.9}), key("a", 0))
	expect(t, b.found(index.Query{Text: "red boat", MinScore: 1.1}))
	// A word that no passage has is missed in all of them, however well the other one fits.
	expect(t, b.found(index.Query{Text: "green submarine", MinScore: 0.3}), key("a", 2))
	expect(t, b.found(index.Query{Text: "green submarine", MinScore: 0.5}))
	expect(t, b.found(index.Query{Text: "submarine"}))
	expect(t, b.found(index.Query{Text: ""}))
}

func TestTitlesAndHeadingsLeadToPassages(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	b.publish(storage.Document{ID: "a", Title: "Zeppelins"}, storage.Passage{Text: "they fly", Headings: []string{"Lift", "Hydrogen"}}, storage.Passage{Text: "they land"})
	b.catchUp()
	expect(t, b.found(index.Query{Text: "hydrogen"}), key("a", 0))
	if got := b.found(index.Query{Text: "zeppelin"}); len(got) != 2 {
		t.Errorf("by title: %v", got)
	}
}

func TestBadQueriesAreRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.StoredVectors})
	if _, err := b.Search(context.Background(), index.Query{Text: "x", K: 1}); !errors.Is(err, index.ErrNotReady) {
		t.Errorf("before anything was read: %v", err)
	}
	b.catchUp()
	nan, less := math.NaN(), -1.0
	for name, tc := range map[string]struct {
		query index.Query
		want  error
	}{
		"K 0":           {index.Query{Text: "x"}, index.ErrBadQuery},
		"K 10⁹":         {index.Query{Text: "x", K: 1e9}, index.ErrBadQuery},
		"weight NaN":    {index.Query{Text: "x", K: 1, Weight: &nan}, index.ErrBadQuery},
		"weight -1":     {index.Query{Text: "x", K: 1, Weight: &less}, index.ErrBadQuery},
		"least NaN":     {index.Query{Text: "x", K: 1, MinScore: nan}, index.ErrBadQuery},
		"operator":      {index.Query{Text: "x", K: 1, Filter: []storage.Condition{{Property: "a", Op: "$where", Values: []any{"1"}}}}, storage.ErrBadFilter},
		"property":      {index.Query{Text: "x", K: 1, Filter: []storage.Condition{{Property: `a"b`, Op: storage.Equal, Values: []any{"1"}}}}, storage.ErrBadFilter},
		"without value": {index.Query{Text: "x", K: 1, Filter: []storage.Condition{{Property: "a", Op: storage.Equal}}}, storage.ErrBadFilter},
		"no vector":     {index.Query{Text: "x", K: 1, Mode: index.ByVector}, index.ErrNoVectors},
	} {
		if _, err := b.Search(context.Background(), tc.query); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	expect(t, b.found(index.Query{Text: "x", Vector: []float32{1}, Mode: index.ByVector}))
}

func TestPassagesFoundElsewhereMustBeOfTheVisibleVersion(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	old := b.publish(storage.Document{ID: "a", Metadata: map[string]any{"lang": "en"}}, texts("one", "two")...)
	b.catchUp()
	now := b.publish(storage.Document{ID: "a", Metadata: map[string]any{"lang": "en"}}, texts("three", "four")...)
	b.publish(storage.Document{ID: "b"}, texts("five")...)
	b.catchUp()
	dense := []index.DenseHit{
		{PassageKey: storage.PassageKey{Doc: "a", Version: old.Version, N: 0}, Score: 0.9},
		{PassageKey: storage.PassageKey{Doc: "a", Version: now.Version, N: 1}, Score: 0.8},
		{PassageKey: storage.PassageKey{Doc: "a", Version: now.Version, N: 2}, Score: 0.7},
		{PassageKey: storage.PassageKey{Doc: "a", Version: now.Version, N: -1}, Score: 0.7},
		{PassageKey: storage.PassageKey{Doc: "gone", Version: 1, N: 0}, Score: 0.6},
		{PassageKey: storage.PassageKey{Doc: "b", Version: now.Version + 1, N: 0}, Score: 0.5},
	}
	expect(t, b.found(index.Query{Text: "three", Dense: dense, Mode: index.ByVector}), key("a", 1), key("b", 0))
	expect(t, b.found(index.Query{Text: "three", Dense: dense}), key("a", 0), key("a", 1), key("b", 0))
	expect(t, b.found(index.Query{Text: "three", Dense: dense, Filter: []storage.Condition{{Property: "lang", Op: storage.Equal, Values: []any{"en"}}}}),
		key("a", 0), key("a", 1))
}

// What is replaced between the scan and the reading of its vectors is searched again.
func TestAReplaceDuringASearchIsSeen(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.StoredVectors})
	doc := storage.Document{ID: "a", EmbeddingModel: model}
	b.publish(doc, storage.Passage{Text: "old", Vector: []float32{1, 0}})
	b.catchUp()
	var now storage.Document
	replaced := 0
	replace := func(times int) func(string) {
		replaced = 0
		return func(call string) {
			if call == "Vectors" && replaced < times {
				replaced++
				now = b.publish(doc, storage.Passage{Text: fmt.Sprint("new ", replaced), Vector: []float32{1, 1}})
			}
		}
	}
	b.docs.set(nil, replace(2))
	hits := b.search(index.Query{Text: "new", Vector: []float32{1, 0}})
	if len(hits) != 1 || hits[0].Version != now.Version || math.Abs(hits[0].VectorScore-math.Sqrt2/2) > 1e-7 {
		t.Errorf("found %+v, now it is version %d", hits, now.Version)
	}
	// One that is replaced whenever it is looked at is still not lost.
	b.docs.set(nil, replace(math.MaxInt))
	if hits := b.search(index.Query{Text: "new", Vector: []float32{1, 0}}); len(hits) != 1 || replaced != 3 {
		t.Errorf("found %+v after %d replaces", hits, replaced)
	}
}

func TestAStoreThatFailsFailsTheSearchThatNeedsIt(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{Vectors: index.StoredVectors})
	b.publish(storage.Document{ID: "a", EmbeddingModel: model}, storage.Passage{Text: "old boat", Vector: []float32{1, 0}})
	b.catchUp()
	b.docs.set(func(string) error { return errPlanted }, nil)
	if _, err := b.Search(context.Background(), index.Query{Text: "boat", Vector: []float32{1, 0}, K: 1}); !errors.Is(err, errPlanted) {
		t.Errorf("%v", err)
	}
	expect(t, b.found(index.Query{Text: "boat", Mode: index.ByWords}), key("a", 0))
}

func TestFuse(t *testing.T) {
	t.Parallel()
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
	for _, tc := range []struct {
		words, cosines []float64
		share, weight  float64
		want           []float64
	}{
		{[]float64{4, 2, 0}, []float64{0.5, 1, -1}, 1, 0.5, []float64{1.25 / 1.5, 1 / 1.5, 0}},
		{[]float64{4, 2, 0}, []float64{0.5, 1, -1}, 0.5, 0.5, []float64{0.75 / 1.5, 0.75 / 1.5, 0}},
		{[]float64{0, 0}, []float64{0.5, 0.25}, 0, 1, []float64{0.25, 0.125}},
		{[]float64{4, 2}, []float64{1, 1}, 1, 0, []float64{1, 0.5}},
		{nil, nil, 1, 1, []float64{}},
	} {
		if diff := cmp.Diff(tc.want, index.Fuse(tc.words, tc.cosines, tc.share, tc.weight), near); diff != "" {
			t.Errorf("%v %v: (-want +got)\n%s", tc.words, tc.cosines, diff)
		}
	}
	// Places 1, 2, 2 and none; 2, 1, none and 3.
	want := []float64{(61./61 + 61./62) / 2, (61./62 + 61./61) / 2, 61. / 62 / 2, 61. / 63 / 2}
	if diff := cmp.Diff(want, index.FuseRanks([]float64{9, 3, 3, 0}, []float64{0.4, 0.5, -0.1, 0.1}), near); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The filter is asked of documents with many properties just as of those with few.
func TestFiltersMeanWhatTheStoreSays(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	many := map[string]any{"text": "x", "n": 3.0, "yes": true, "z": "é"}
	b.publish(storage.Document{ID: "many", Metadata: many}, texts("boat")...)
	b.publish(storage.Document{ID: "none"}, texts("boat two")...)
	b.catchUp()
	for _, c := range []storage.Condition{
		{Property: "text", Op: storage.Equal, Values: []any{"x"}},
		{Property: "text", Op: storage.NotEqual, Values: []any{"x"}},
		{Property: "missing", Op: storage.NotEqual, Values: []any{"x"}},
		{Property: "n", Op: storage.Greater, Values: []any{2.5}},
		{Property: "n", Op: storage.Greater, Values: []any{"2"}},
		{Property: "yes", Op: storage.In, Values: []any{true}},
		{Property: "z", Op: storage.GreaterOrEqual, Values: []any{"z"}},
	} {
		var want []storage.PassageKey
		if storage.Meets(many, []storage.Condition{c}) {
			want = append(want, key("many", 0))
		}
		if storage.Meets(nil, []storage.Condition{c}) {
			want = append(want, key("none", 0))
		}
		t.Run(strings.TrimPrefix(c.Op, "$")+" "+c.Property, func(t *testing.T) {
			expect(t, b.found(index.Query{Text: "boat", Filter: []storage.Condition{c}}), want...)
		})
	}
}
