package main

import (
	"math"
	"testing"
)

func TestJudge(t *testing.T) {
	far := make([]string, 120)
	for i := range far {
		far[i] = string(rune(0x4e00 + i))
	}
	log3, log4 := math.Log2(3), math.Log2(4)
	for name, c := range map[string]struct {
		ranking []string
		gains   map[string]float64
		want    quality
	}{
		"all at the top":        {[]string{"a", "b", "x"}, map[string]float64{"a": 4, "b": 1}, quality{1, 1, 1, 1}},
		"the lesser one first":  {[]string{"b", "a"}, map[string]float64{"a": 4, "b": 1}, quality{(1 + 4/log3) / (4 + 1/log3), 1, 1, 1}},
		"second and third":      {[]string{"x", "a", "b"}, map[string]float64{"a": 1, "b": 1}, quality{(1/log3 + 1/log4) / (1 + 1/log3), 0.5, 1, 1}},
		"one of two":            {[]string{"a"}, map[string]float64{"a": 1, "b": 1}, quality{1 / (1 + 1/log3), 1, 0.5, 0.5}},
		"at the eleventh place": {far, map[string]float64{far[10]: 1}, quality{0, 1.0 / 11, 0, 1}},
		"beyond the hundredth":  {far, map[string]float64{far[100]: 1}, quality{0, 1.0 / 101, 0, 0}},
		"none found":            {[]string{"x", "y"}, map[string]float64{"a": 1}, quality{}},
		"an empty ranking":      {nil, map[string]float64{"a": 1}, quality{}},
		"nothing relevant":      {[]string{"a"}, nil, quality{}},
	} {
		have := judge(c.ranking, c.gains)
		for i, pair := range [][2]float64{{have.NDCG10, c.want.NDCG10}, {have.MRR, c.want.MRR}, {have.Recall10, c.want.Recall10}, {have.Recall100, c.want.Recall100}} {
			if math.Abs(pair[0]-pair[1]) > 1e-12 {
				t.Errorf("%s: measure %d is %v, want %v", name, i, pair[0], pair[1])
			}
		}
	}
	if have, want := mean([]quality{{1, 0.5, 0, 1}, {0, 0.5, 1, 1}}), (quality{0.5, 0.5, 0.5, 1}); have != want {
		t.Errorf("mean %v, want %v", have, want)
	}
	if have := mean(nil); have != (quality{}) {
		t.Errorf("mean of nothing %v", have)
	}
}

func TestChooseTakesNoWeightThatHarms(t *testing.T) {
	swept := func(text float64, by map[float64]float64) *result {
		r := &result{text: quality{NDCG10: text}}
		for _, w := range weights {
			v, ok := by[w]
			if !ok {
				v = text
			}
			r.sweep = append(r.sweep, quality{NDCG10: v})
		}
		return r
	}
	one := swept(0.4, map[float64]float64{0.25: 0.41, 0.5: 0.42, 1: 0.5})
	if have := choose([]*result{one}); have != 1 {
		t.Errorf("alone: weight %g, want 1", have)
	}
	if have := choose([]*result{one, swept(0.7, map[float64]float64{0.5: 0.694, 1: 0.6})}); have != 0.5 {
		t.Errorf("beside one that loses 14 %% at 1: weight %g, want 0.5", have)
	}
	if have := choose([]*result{swept(0.7, map[float64]float64{0.1: 0.6})}); have != 0 {
		t.Errorf("vectors gain nothing: weight %g, want 0", have)
	}
}
