package matrix

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Seeded are the scenarios of one seed: every life, each with faults at random points of
// every incarnation, lag, and now and then a deletion in the middle.
func Seeded(seed uint64) []Scenario {
	r := rand.New(rand.NewPCG(seed, 0x6d6174726978))
	var out []Scenario
	for i, life := range Lives() {
		s := Scenario{Life: life, DeleteAt: -1, Seed: seed<<8 | uint64(i), Stale: r.IntN(4), SameNames: seed%2 == 1, Note: fmt.Sprintf("seed %d", seed)}
		if r.IntN(2) == 0 {
			s.ListLag = time.Duration(r.Int64N(int64(slowList)))
		}
		if r.IntN(4) == 0 {
			s.DeleteAt, s.DeleteAfter = r.IntN(8), r.IntN(2) == 0
		}
		s.Break = weather(r)
		out = append(out, s)
	}
	return out
}

// weather breaks points at random: fair for most lives, stormy for some. Only so many
// faults come, for every story must end.
func weather(r *rand.Rand) func(int, int, int, string) Fault {
	mean := []float64{0.05, 0.15, 0.4}[r.IntN(3)]
	left := 3 + r.IntN(12)
	faults := append([]Fault{Limit, Refuse}, Faults...)
	storm := Fault("") // several in a row
	return func(int, int, int, string) Fault {
		switch {
		case left == 0:
			return ""
		case storm != "" && r.IntN(3) > 0:
			left--
			return storm
		}
		storm = ""
		if r.Float64() >= mean {
			return ""
		}
		left--
		fault := faults[r.IntN(len(faults))]
		if (fault == Limit || fault == Fail) && r.IntN(2) == 0 {
			storm = fault
		}
		return fault
	}
}
