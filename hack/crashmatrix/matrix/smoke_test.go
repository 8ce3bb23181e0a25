package matrix_test

import (
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/hack/crashmatrix/matrix"
)

func TestSmoke(t *testing.T) {
	c, err := matrix.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	for _, life := range matrix.Lives() {
		s := matrix.Scenario{Life: life, DeleteAt: -1}
		points, v, err := s.Run(t.Context(), c, matrix.Ours, "ns")
		if err != nil || !v.OK() {
			t.Errorf("%s: %v %+v", s, err, v)
		}
		for i, p := range points {
			t.Log(life.Kind, life.Name, life.Phases[i].Name, strings.Join(p, "; "))
		}
	}
}
