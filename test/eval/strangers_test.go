package main

import (
	"math"
	"strings"
	"testing"
)

func TestSeparation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		own, others   []float64
		area          float64
		kept, refused float64 // by a least score of 0.25
	}{
		"apart":           {[]float64{0.9, 0.5}, []float64{0.1, 0.2}, 1, 1, 1},
		"the wrong way":   {[]float64{0.1}, []float64{0.9}, 0, 0, 0},
		"all the same":    {[]float64{0.3, 0.3}, []float64{0.3}, 0.5, 1, 0},
		"mixed":           {[]float64{0.2, 0.6}, []float64{0.1, 0.4}, 0.75, 0.5, 0.5},
		"at the least":    {[]float64{0.25}, []float64{0.25}, 0.5, 1, 0},
		"nothing to tell": {nil, nil, 0, 1, 0},
	} {
		s := separate(c.own, c.others)
		if math.Abs(s.area-c.area) > 1e-9 || s.kept[3] != c.kept || s.refused[3] != c.refused || leasts[3] != 0.25 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestTheTableOfOthersQuestions(t *testing.T) {
	t.Parallel()
	if s := strangersTable([]*result{{name: "alone"}}); s != "" {
		t.Errorf("one set has no others: %s", s)
	}
	both := separate([]float64{0.9, 0.2}, []float64{0.1})
	s := strangersTable([]*result{{name: "a", byWords: &both, byBoth: &both}})
	if want := "| a, both | 1.0000 | 100.0, 0.0 | 100.0, 100.0 |"; !strings.Contains(s, want) || !strings.Contains(s, "| a, words |") {
		t.Errorf("the table lacks %q: %s", want, s)
	}
}
