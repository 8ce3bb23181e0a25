package matrix_test

import (
	"testing"

	"github.com/crispy-enigma/crispy-enigma/hack/crashmatrix/matrix"
)

// workers of the tests: more would starve what runs beside them.
const workers = 2

func report(t *testing.T, what string, r matrix.Result, err error) {
	t.Helper()
	t.Logf("%s: %d scenarios", what, r.Scenarios)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for i, f := range r.Failures {
		if i == 8 {
			t.Errorf("… and %d more", len(r.Failures)-i)
			break
		}
		t.Errorf("%s: %v", f.Scenario, f.Verdict.Why)
	}
}

// thin takes every n-th scenario: make crash-matrix takes all.
func thin(all []matrix.Scenario, n int) []matrix.Scenario {
	var out []matrix.Scenario
	for i := 0; i < len(all); i += n {
		out = append(out, all[i])
	}
	return out
}

func TestEveryPointBroken(t *testing.T) {
	points, err := matrix.Record(t.Context(), matrix.Ours)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		t.Log(p)
	}
	// Strides that share no factor with the faults and conditions meet all of them.
	for what, scenarios := range map[string][]matrix.Scenario{
		"singles": thin(matrix.Singles(points), 19), "pairs": thin(matrix.Pairs(points, matrix.PairDepth), 29), "deletions": thin(matrix.Deletions(points), 19),
	} {
		r, err := matrix.Run(t.Context(), matrix.Ours, workers, scenarios)
		report(t, what, r, err)
	}
}

func TestSeeds(t *testing.T) {
	var all []matrix.Scenario
	for seed := range uint64(10) {
		all = append(all, matrix.Seeded(seed)...)
	}
	r, err := matrix.Run(t.Context(), matrix.Ours, workers, all)
	report(t, "seeds", r, err)
}

func TestTwoOperatorsAndTwoClusters(t *testing.T) {
	var all []matrix.Together
	for seed := range uint64(10) {
		all = append(all, matrix.Meetings(seed)...)
	}
	r, err := matrix.Run(t.Context(), matrix.Ours, workers, all)
	report(t, "together", r, err)
}
