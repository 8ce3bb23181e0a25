package textindex_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/textindex"
)

func TestSharesAreOfTheQueriesWeight(t *testing.T) {
	x := textindex.New()
	x.Add(1, "apple apple pear")
	x.Add(2, "apple plum")
	// By hand, with 1,000 passages of other things: apples are in two of 1,002, pears in
	// one, and cherries in none.
	n := 1002.0
	weight := func(df float64) float64 { return math.Log(1 + (n-df+0.5)/(df+0.5)) }
	apple, pear, cherry := weight(2), weight(1), weight(0)
	all := apple + pear + cherry
	const query = "Where are apples, a pear, the cherries?"
	for i, have := range x.Share(query, []uint32{1, 2, 99}) {
		if want := []float64{(apple + pear) / all, apple / all, 0}[i]; math.Abs(have-want) > 1e-12 {
			t.Errorf("share %d is %v, not %v", i, have, want)
		}
	}
	if have, want := x.Known(query), (apple+pear)/all; math.Abs(have-want) > 1e-12 {
		t.Errorf("%v is known, not %v", have, want)
	}
	x.Remove(1)
	if have := x.Known("pear"); have != 0 {
		t.Errorf("%v is known of what was removed", have)
	}
	for _, query := range []string{"", "the of and", "cherry"} {
		if have := x.Share(query, []uint32{2})[0]; have != 0 || x.Known(query) != 0 {
			t.Errorf("%q: share %v, known %v", query, have, x.Known(query))
		}
	}
}

// More words in a passage never make its share less, one with all words has all, and a
// share is never more than what is known.
func TestSharesGrowWithWords(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"apple", "pear", "plum", "cherry", "fig", "quince"}), 1, 8)
		x := textindex.New()
		for i := range rapid.IntRange(0, 5).Draw(r, "others") {
			x.Add(uint32(10+i), strings.Join(words.Draw(r, "other"), " "))
		}
		query, text := words.Draw(r, "query"), words.Draw(r, "text")
		asked := strings.Join(query, " ")
		x.Add(1, strings.Join(text, " "))
		x.Add(2, strings.Join(append(text, query[0]), " "))
		x.Add(3, asked)
		s := x.Share(asked, []uint32{1, 2, 3})
		if s[0] < 0 || s[0] > s[1] || s[1] > s[2] || s[2] != 1 || x.Known(asked) != 1 {
			r.Errorf("%q: %v of %v", asked, s, x.Known(asked))
		}
	})
}
