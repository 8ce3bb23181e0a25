package index_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const dims = 5

var errPlanted = errors.New("planted fault")

// kept is what the model knows of a document.
type kept struct {
	storage.Document
	passages []storage.Passage
}

// truth scores every passage by the definitions.
func truth(all map[string]kept, q index.Query) []index.Hit {
	words := textindex.New()
	var hits []index.Hit
	var texts []string
	var keeps []bool
	for _, id := range slices.Sorted(maps.Keys(all)) {
		d := all[id]
		for _, p := range d.passages {
			slot := uint32(len(hits))
			words.Add(slot, p.Text, append([]string{d.Title}, p.Headings...)...)
			hit := index.Hit{PassageKey: storage.PassageKey{Doc: id, Version: d.Version, N: p.N}, Passages: len(d.passages)}
			if p.Vector != nil && d.EmbeddingModel == model {
				hit.VectorScore = exactCosine(q.Vector, p.Vector)
			}
			hits, texts, keeps = append(hits, hit), append(texts, strings.ToLower(p.Text)), append(keeps, storage.Meets(d.Metadata, q.Filter))
		}
	}
	slots := make([]uint32, len(hits))
	for i := range slots {
		slots[i] = uint32(i)
	}
	var best, share float64
	for i, s := range words.Score(q.Text, slots) {
		if !keeps[i] {
			continue
		}
		if hits[i].WordScore = s; s > best {
			best, share = s, words.Share(q.Text, slots[i:i+1])[0]
		}
	}
	var out []index.Hit
	for i, h := range hits {
		w, v := 0.0, max(h.VectorScore, 0)
		if best > 0 {
			w = h.WordScore / best * share
		}
		switch q.Mode {
		case index.Hybrid:
			h.Score = (w + index.DefaultWeight*v) / (1 + index.DefaultWeight)
		case index.ByVector:
			h.Score, h.WordScore = v, 0
		case index.ByWords:
			h.Score, h.VectorScore = w, 0
		}
		if keeps[i] && h.Score > 0 {
			hits[len(out)], texts[len(out)] = h, texts[i]
			out = hits[:len(out)+1]
		}
	}
	order := make([]int, len(out))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(out[b].Score, out[a].Score), cmp.Compare(out[a].Doc, out[b].Doc), cmp.Compare(out[a].N, out[b].N))
	})
	seen := map[string]bool{}
	var given []index.Hit
	for _, i := range order {
		if !seen[texts[i]] && len(given) < q.K && out[i].Score >= q.MinScore {
			given = append(given, out[i])
		}
		seen[texts[i]] = true
	}
	return given
}

func exactCosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		dot, aa, bb = dot+float64(a[i])*float64(b[i]), aa+float64(a[i])*float64(a[i]), bb+float64(b[i])*float64(b[i])
	}
	return dot / math.Sqrt(aa*bb)
}

// Whatever is published, replaced, removed and fails on the way: a search gives what
// scoring every passage gives.
func TestSearchIsTheSortedTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		b := newBed(t, index.Options{Vectors: index.StoredVectors, Dimensions: dims})
		b.catchUp()
		m := &machine{bed: b, all: map[string]kept{}, embedded: map[string][]float32{}}
		m.settled()
		r.Repeat(map[string]func(*rapid.T){
			"publish":        m.publishAny,
			"remove":         m.removeAny,
			"catch up":       m.catchUpAny,
			"fail to":        m.failToCatchUp,
			"search":         m.searchAny,
			"search another": m.searchAny,
		})
	})
}

type machine struct {
	*bed
	all, shown map[string]kept
	// between are the versions that came since the index was up to date.
	between   map[int64]bool
	unsettled bool
	embedded  map[string][]float32
}

var (
	ids     = rapid.SampledFrom([]string{"a", "b", "handbook/1", "Ünï", "e"})
	phrases = rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"red", "green", "blue", "boat", "harbour", "Storm"}), 1, 5), func(w []string) string {
		return strings.Join(w, " ")
	})
	vectors = rapid.Map(rapid.SliceOfN(rapid.Float32Range(-1, 1), dims, dims), func(v []float32) []float32 {
		v[0] += 0.01 // hardly ever zero
		return v
	}).Filter(func(v []float32) bool { return v[0] != 0 })
)

func (m *machine) publishAny(r *rapid.T) {
	d := storage.Document{ID: ids.Draw(r, "id"), Title: phrases.Draw(r, "title"), EmbeddingModel: rapid.SampledFrom([]string{model, model, "another"}).Draw(r, "model")}
	d.Metadata = map[string]any{"kind": rapid.SampledFrom([]string{"x", "y"}).Draw(r, "kind"), "n": float64(rapid.IntRange(0, 3).Draw(r, "n"))}
	if rapid.Bool().Draw(r, "bare") {
		delete(d.Metadata, "kind")
	}
	var passages []storage.Passage
	// The same text has the same vector, as an embedding model would have it.
	withVectors := rapid.IntRange(0, 4).Draw(r, "vectors") > 0
	for i := range rapid.IntRange(1, 8).Draw(r, "passages") {
		p := storage.Passage{N: i, Text: phrases.Draw(r, "text"), Headings: []string{phrases.Draw(r, "heading")}}
		if withVectors {
			if m.embedded[p.Text] == nil {
				m.embedded[p.Text] = vectors.Draw(r, "vector")
			}
			p.Vector = m.embedded[p.Text]
		}
		passages = append(passages, p)
	}
	d = m.publish(d, passages...)
	m.all[d.ID] = kept{d, passages}
	m.between[d.Version] = true
}

func (m *machine) removeAny(r *rapid.T) {
	id := ids.Draw(r, "id")
	m.remove(id)
	delete(m.all, id)
}

func (m *machine) catchUpAny(*rapid.T) {
	m.docs.set(nil, nil)
	m.catchUp()
	m.settled()
}

func (m *machine) settled() {
	m.shown, m.between, m.unsettled = maps.Clone(m.all), map[int64]bool{}, false
}

// failToCatchUp leaves the index somewhere between what was shown and what is there.
func (m *machine) failToCatchUp(r *rapid.T) {
	calls := rapid.IntRange(0, 6).Draw(r, "calls")
	m.docs.set(func(string) error {
		if calls--; calls < 0 {
			return errPlanted
		}
		return nil
	}, nil)
	err := m.CatchUp(context.Background())
	m.docs.set(nil, nil)
	switch {
	case err == nil:
		m.settled()
	case errors.Is(err, errPlanted):
		m.unsettled = true
	default:
		r.Fatalf("another error: %v", err)
	}
}

func (m *machine) searchAny(r *rapid.T) {
	if m.unsettled {
		m.searchBetween(r)
		return
	}
	q := index.Query{
		Text: phrases.Draw(r, "query"), Vector: vectors.Draw(r, "vector"), K: rapid.IntRange(1, 12).Draw(r, "k"),
		Mode: rapid.SampledFrom([]index.Mode{index.Hybrid, index.ByVector, index.ByWords}).Draw(r, "mode"),
	}
	if rapid.IntRange(0, 3).Draw(r, "threshold") == 0 {
		q.MinScore = rapid.Float64Range(0, 1).Draw(r, "least")
	}
	q.Filter = rapid.SampledFrom([][]storage.Condition{
		nil, nil,
		{{Property: "kind", Op: storage.Equal, Values: []any{"x"}}},
		{{Property: "kind", Op: storage.NotEqual, Values: []any{"x"}}},
		{{Property: "n", Op: storage.GreaterOrEqual, Values: []any{1.0}}, {Property: "n", Op: storage.Less, Values: []any{3.0}}},
		{{Property: "kind", Op: storage.In, Values: []any{"x", "y"}}, {Property: "n", Op: storage.Less, Values: []any{2.0}}},
		{{Property: "kind", Op: storage.Equal, Values: []any{1.0}}},
	}).Draw(r, "filter")
	// What the store has replaced since can't be scored by its vector.
	if !maps.EqualFunc(m.shown, m.all, func(a, b kept) bool { return a.Version == b.Version }) && q.Mode != index.ByWords {
		m.catchUpAny(r)
	}
	got, err := m.Search(context.Background(), q)
	if err != nil {
		r.Fatal(err)
	}
	if problem := differ(truth(m.shown, q), got); problem != "" {
		r.Fatalf("%+v: %s", q, problem)
	}
}

// differ tells where two answers aren't the same. Scores that are equal but for the last
// bits may stand in either order.
func differ(want, got []index.Hit) string {
	if len(want) != len(got) {
		return fmt.Sprintf("%d hits, not %d:\n%+v\n%+v", len(got), len(want), got, want)
	}
	const close = 1e-9
	for i := range want {
		if math.Abs(want[i].Score-got[i].Score) > close {
			return fmt.Sprintf("hit %d has %f, not %f:\n%+v\n%+v", i, got[i].Score, want[i].Score, got, want)
		}
		tied := i > 0 && want[i-1].Score-want[i].Score < close || i+1 == len(want) || want[i].Score-want[i+1].Score < close
		w, g := want[i], got[i]
		if !tied && (w.PassageKey != g.PassageKey || w.Passages != g.Passages || math.Abs(w.WordScore-g.WordScore) > close || math.Abs(w.VectorScore-g.VectorScore) > close) {
			return fmt.Sprintf("hit %d is %+v, not %+v", i, g, w)
		}
	}
	return ""
}

// searchBetween: each document is in the version that was shown, or in one that came
// later, and whole.
func (m *machine) searchBetween(r *rapid.T) {
	got := m.search(index.Query{Text: "red green blue boat harbour storm", Mode: index.ByWords, K: 100})
	versions := map[string]int64{}
	for _, h := range got {
		if v, seen := versions[h.Doc]; seen && v != h.Version {
			r.Fatalf("two versions of %s", h.Doc)
		}
		versions[h.Doc] = h.Version
		if h.Version != m.shown[h.Doc].Version && !m.between[h.Version] {
			r.Fatalf("%s has version %d, shown was %d, since then there were %v", h.Doc, h.Version, m.shown[h.Doc].Version, m.between)
		}
	}
}
