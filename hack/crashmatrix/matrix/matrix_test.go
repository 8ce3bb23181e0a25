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

func TestEveryPointBrokenOnce(t *testing.T) {
	points, err := matrix.Record(t.Context(), matrix.Ours)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		t.Log(p)
	}
	r, err := matrix.Run(t.Context(), matrix.Ours, workers, matrix.Singles(points))
	report(t, "singles", r, err)
	r, err = matrix.Run(t.Context(), matrix.Ours, workers, matrix.Pairs(points, 12))
	report(t, "pairs", r, err)
	r, err = matrix.Run(t.Context(), matrix.Ours, workers, matrix.Deletions(points))
	report(t, "deletions", r, err)
}

func TestSeeds(t *testing.T) {
	var all []matrix.Scenario
	for seed := range uint64(10) {
		all = append(all, matrix.Seeded(seed)...)
	}
	r, err := matrix.Run(t.Context(), matrix.Ours, workers, all)
	report(t, "seeds", r, err)
}
