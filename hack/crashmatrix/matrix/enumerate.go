package matrix

import (
	"context"
	"fmt"
	"time"
)

// Point is a call or write of a life, as the recording run found it.
type Point struct {
	Life  Life
	Phase int
	N     int
	What  string
}

func (p Point) String() string {
	return fmt.Sprintf("%s %s, %s %d: %s", p.Life.Kind, p.Life.Name, p.Life.Phases[p.Phase].Name, p.N, p.What)
}

// Record lives every life without a fault and gives the points that it passes.
func Record(ctx context.Context, maker Maker) ([]Point, error) {
	c, err := NewClient()
	if err != nil {
		return nil, err
	}
	var out []Point
	for _, life := range Lives() {
		s := Scenario{Life: life, DeleteAt: -1}
		points, v, err := s.Run(ctx, c, maker, "record")
		if err != nil || !v.OK() {
			return nil, fmt.Errorf("%s without a fault: %+v: %w", s, v, err)
		}
		for phase, list := range points {
			for n, what := range list {
				out = append(out, Point{life, phase, n, what})
			}
		}
	}
	return out, nil
}

// conditions are those under which each point is broken.
var conditions = []struct {
	lag   time.Duration
	stale int
	same  bool
}{{0, 0, false}, {slowList, 0, true}, {0, 2, true}, {slowList, 2, false}}

// Singles break each point with each fault.
func Singles(points []Point) []Scenario {
	var out []Scenario
	for _, p := range points {
		for _, fault := range Faults {
			for _, c := range conditions {
				out = append(out, Scenario{Life: p.Life, DeleteAt: -1, ListLag: c.lag, Stale: c.stale, SameNames: c.same, Note: fmt.Sprintf("%s at %s", fault, p),
					Break: func(phase, incarnation, n int, _ string) Fault {
						if phase == p.Phase && incarnation == 0 && n == p.N {
							return fault
						}
						return ""
					}})
			}
		}
	}
	return out
}

// PairDepth is more points than any incarnation passes until a creation is done.
const PairDepth = 14

// Pairs break each point of a creation with a crash, and then each point of what the next
// incarnation does, up to depth, with another.
func Pairs(points []Point, depth int) []Scenario {
	crashes := []Fault{CrashBefore, CrashAfter}
	var out []Scenario
	for _, p := range points {
		if p.Phase != 0 {
			continue
		}
		// From creation straight to deletion: what lies between has its own points.
		life := p.Life
		life.Phases = []Phase{life.Phases[0], life.Phases[len(life.Phases)-1]}
		for _, first := range crashes {
			for m := range depth {
				for _, second := range crashes {
					c := conditions[(p.N+m)%len(conditions)]
					out = append(out, Scenario{Life: life, DeleteAt: -1, ListLag: c.lag, Stale: c.stale, SameNames: c.same, Note: fmt.Sprintf("%s at %s, then %s at %d", first, p, second, m),
						Break: func(phase, incarnation, n int, _ string) Fault {
							switch {
							case phase == 0 && incarnation == 0 && n == p.N:
								return first
							case phase == 0 && incarnation == 1 && n == m:
								return second
							}
							return ""
						}})
				}
			}
		}
	}
	return out
}

// Deletions delete the binding before and after each point of its creation, and break
// that very point too.
func Deletions(points []Point) []Scenario {
	var out []Scenario
	for _, p := range points {
		if p.Phase != 0 {
			continue
		}
		for _, fault := range append([]Fault{""}, CrashAfter, TimeoutAfter, Fail) {
			for _, after := range []bool{false, true} {
				for _, c := range conditions {
					out = append(out, Scenario{Life: p.Life, DeleteAt: p.N, DeleteAfter: after, ListLag: c.lag, Stale: c.stale, SameNames: c.same, Note: fmt.Sprintf("deleted at %s, %s", p, fault),
						Break: func(phase, incarnation, n int, _ string) Fault {
							if phase == 0 && incarnation == 0 && n == p.N {
								return fault
							}
							return ""
						}})
				}
			}
		}
	}
	return out
}
