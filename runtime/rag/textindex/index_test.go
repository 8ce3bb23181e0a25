package textindex_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
)

func ids(hits []textindex.Hit) []uint32 {
	var out []uint32
	for _, h := range hits {
		out = append(out, h.ID)
	}
	return out
}

func TestTheBestPassageComesFirst(t *testing.T) {
	x := textindex.New()
	x.Add(3, "The gateway counts tokens of a stream.")
	x.Add(1, "Tokens, tokens, tokens: a budget of tokens.")
	x.Add(2, "A vector index finds neighbours.")
	for query, want := range map[string][]uint32{
		"token budget":        {1, 3},
		"neighbouring vector": {2},
		"streams":             {3},
		"the of and":          nil,
		"unheard":             nil,
		"":                    nil,
		"what is a vector?":   {2},
	} {
		if diff := cmp.Diff(want, ids(x.Search(query, 10, nil))); diff != "" {
			t.Errorf("%q (-want +have):\n%s", query, diff)
		}
	}
}

func TestScoresAreBM25Plus(t *testing.T) {
	x := textindex.New()
	x.Add(1, "apple apple pear")
	x.Add(2, "apple plum plum plum plum")
	x.Add(3, "plum")
	// By hand: N = 3, two passages have apple, their mean length is 3 words.
	idf := math.Log(1 + (3-2+0.5)/(2+0.5))
	want := []float64{
		idf * (0.9 + 2*2.2/(2+1.2*(0.25+0.75*3/3))),
		idf * (0.9 + 1*2.2/(1+1.2*(0.25+0.75*5/3))),
		0, 0,
	}
	for i, have := range x.Score("apples", []uint32{1, 2, 3, 99}) {
		if math.Abs(have-want[i]) > 1e-12 {
			t.Errorf("passage %d: score %v, want %v", i+1, have, want[i])
		}
	}
	hits := x.Search("apples", 10, nil)
	if len(hits) != 2 || math.Abs(hits[0].Score-want[0]) > 1e-12 || hits[0].ID != 1 {
		t.Errorf("hits %v, want 1 with %v first", hits, want[0])
	}
	if once, twice := x.Score("apple", []uint32{1})[0], x.Score("apple apple", []uint32{1})[0]; twice != 2*once {
		t.Errorf("asked for twice it counts %v, want twice %v", twice, once)
	}
}

func TestTheVeryWordComesBeforeItsRelatives(t *testing.T) {
	x := textindex.New()
	for id, text := range []string{"engine room", "engines room", "engine room", "other room"} {
		x.Add(uint32(id), text)
	}
	for query, want := range map[string][]uint32{"engine": {0, 2, 1}, "engines": {1, 0, 2}, "rooms": {0, 1, 2, 3}} {
		if diff := cmp.Diff(want, ids(x.Search(query, 10, nil))); diff != "" {
			t.Errorf("%q (-want +have):\n%s", query, diff)
		}
	}
}

func TestEqualScoresGoById(t *testing.T) {
	x := textindex.New()
	for _, id := range []uint32{9, 2, 7, 4, math.MaxUint32, 0} {
		x.Add(id, "the same words")
	}
	if diff := cmp.Diff([]uint32{0, 2, 4, 7}, ids(x.Search("same", 4, nil))); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	odd := func(id uint32) bool { return id%2 == 1 }
	if diff := cmp.Diff([]uint32{7, 9, math.MaxUint32}, ids(x.Search("same", 1_000_000_000, odd))); diff != "" {
		t.Errorf("only odd ones (-want +have):\n%s", diff)
	}
	for _, k := range []int{0, -1} {
		if hits := x.Search("same", k, nil); hits != nil {
			t.Errorf("k %d finds %v", k, hits)
		}
	}
}

func TestFurtherTextsCountAsOne(t *testing.T) {
	x, y := textindex.New(), textindex.New()
	x.Add(1, "body words", "A Title", "heading")
	y.Add(1, "body words A Title heading")
	for _, q := range []string{"title", "heading words"} {
		if diff := cmp.Diff(y.Search(q, 1, nil), x.Search(q, 1, nil)); diff != "" {
			t.Errorf("%q (-want +have):\n%s", q, diff)
		}
	}
}

func TestAThousandQueryTermsAreBounded(t *testing.T) {
	x := textindex.New()
	var q strings.Builder
	for i := range 1000 {
		word := fmt.Sprintf("q%c%c%cq", 'a'+i/100, 'a'+i/10%10, 'a'+i%10)
		x.Add(uint32(i), word+" shared")
		q.WriteString(word + " ")
	}
	if n := len(x.Search(q.String(), 1000, nil)); n < 200 || n > 256 {
		t.Errorf("%d found, want those of at most 256 terms", n)
	}
}

var vocabulary = strings.Fields("gateway token stream budget vector index tenant key cache 東京 foo_bar v1.2 sha256 running runs")

func passage(chance *rand.Rand) string {
	var b strings.Builder
	for range chance.IntN(30) {
		b.WriteString(vocabulary[min(chance.IntN(len(vocabulary)), chance.IntN(len(vocabulary)))] + " ")
	}
	return b.String()
}

// exhaustive ranks by Score alone.
func exhaustive(x *textindex.Index, query string, k int, all []uint32) []textindex.Hit {
	var hits []textindex.Hit
	for i, s := range x.Score(query, all) {
		if s > 0 {
			hits = append(hits, textindex.Hit{ID: all[i], Score: s})
		}
	}
	slices.SortFunc(hits, func(a, b textindex.Hit) int {
		if a.Score != b.Score {
			if a.Score > b.Score {
				return -1
			}
			return 1
		}
		return int(a.ID) - int(b.ID)
	})
	return hits[:min(k, len(hits))]
}

// Whatever came and went, the index is bit for bit one that was made of what is left.
func TestHistoryLeavesNoTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chance := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		x, held := textindex.New(), map[uint32]string{}
		for range rapid.IntRange(1, 4000).Draw(t, "steps") {
			id := uint32(chance.IntN(120))
			if chance.IntN(3) == 0 {
				x.Remove(id)
				delete(held, id)
				continue
			}
			held[id] = passage(chance)
			x.Add(id, held[id])
		}
		fresh, all := textindex.New(), []uint32{}
		for id := uint32(0); id < 120; id++ {
			if text, ok := held[id]; ok {
				fresh.Add(id, text)
				all = append(all, id)
			}
		}
		if x.Len() != len(held) {
			t.Fatalf("%d passages, want %d", x.Len(), len(held))
		}
		for range 5 {
			q, k := passage(chance), 1+chance.IntN(20)
			have := x.Search(q, k, nil)
			if diff := cmp.Diff(fresh.Search(q, k, nil), have); diff != "" {
				t.Fatalf("%q (-made anew +have):\n%s", q, diff)
			}
			if want := exhaustive(x, q, k, all); len(want)+len(have) > 0 && !cmp.Equal(want, have) {
				t.Fatalf("%q: not the best %d (-by score +have):\n%s", q, k, cmp.Diff(want, have))
			}
		}
	})
}

// Rows beyond one window, and removals enough to number them anew.
func TestALargeIndexIsExact(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 1))
	x := textindex.New()
	var all []uint32
	for id := range uint32(9000) {
		x.Add(id, passage(chance)+fmt.Sprintf(" word%d", id%97))
	}
	for id := range uint32(9000) {
		if id%3 != 0 && id != 8999 {
			x.Remove(id)
		} else {
			all = append(all, id)
		}
	}
	for _, q := range []string{"token stream word5", "word96", "tenant key cache vector", passage(chance)} {
		if diff := cmp.Diff(exhaustive(x, q, 25, all), x.Search(q, 25, nil)); diff != "" {
			t.Errorf("%q (-by score +have):\n%s", q, diff)
		}
	}
	if n := len(x.Search("token", 10_000, nil)); n == 0 || n > len(all) {
		t.Errorf("%d found of %d", n, len(all))
	}
}

func TestMemoryComesBack(t *testing.T) {
	chance := rand.New(rand.NewPCG(2, 2))
	x := textindex.New()
	var full int
	for round := range 20 {
		for id := range uint32(3000) {
			x.Add(id, passage(chance)+fmt.Sprintf(" only%d", uint32(round)*3000+id))
		}
		if round == 0 {
			full = x.Bytes()
		}
	}
	if have := x.Bytes(); have > 4*full {
		t.Errorf("%d bytes after twenty rounds of replacing, %d after the first", have, full)
	}
	for id := range uint32(3000) {
		x.Remove(id)
	}
	if have := x.Bytes(); x.Len() != 0 || have > full {
		t.Errorf("%d passages and %d bytes left, %d when full", x.Len(), have, full)
	}
}

func TestCountsForLearning(t *testing.T) {
	x := textindex.New()
	x.Add(5, "pear pear apple")
	x.Add(2, strings.Repeat("apple ", 300)+"plum")
	x.Add(9, "lonely plum")
	x.Add(4, "pear")
	x.Remove(4)
	snapshot := x.Snapshot()
	x.Remove(5)
	x.Add(6, "later apple")
	c := snapshot.Counts(10, 10)
	if diff := cmp.Diff([]string{"appl", "plum"}, c.Terms); diff != "" {
		t.Fatalf("terms that two passages have (-want +have):\n%s", diff)
	}
	var have string
	for i := range c.Rows() {
		columns, n := c.Row(i)
		have += fmt.Sprint(columns, n, " ")
	}
	if want := "[0 1] [255 1] [0] [1] [1] [1] "; have != want {
		t.Errorf("rows by id %s, want %s", have, want)
	}
	if c := snapshot.Counts(2, 1); c.Rows() != 2 || len(c.Terms) != 1 || c.Passages != 3 {
		t.Errorf("%d rows of %d with %v, want 2 of 3 with one term", c.Rows(), c.Passages, c.Terms)
	}
	if c := textindex.New().Snapshot().Counts(10, 10); c.Rows() != 0 || len(c.Terms) != 0 {
		t.Errorf("an empty index has %d rows", c.Rows())
	}
}
