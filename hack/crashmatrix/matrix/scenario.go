package matrix

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Scenario is a life and what breaks in it.
type Scenario struct {
	Life Life
	// Break says what goes wrong at the points of a phase, of an incarnation (0 is the one
	// that lives when the phase begins).
	Break func(phase, incarnation, n int, what string) Fault
	// DeleteAt has a person delete the binding in the first phase, before or after the
	// point; -1 for not.
	DeleteAt    int
	DeleteAfter bool
	// ListLag of Cloudflare, and the lag of the operator's cache in versions.
	ListLag time.Duration
	Stale   int
	// SameNames lets several things have one name where the name isn't the id.
	SameNames bool
	Seed      uint64
	// Note says in words what breaks.
	Note string
}

// slowList is close to the lag that the controller allows for.
const slowList = 110 * time.Second

// String tells how to have the scenario again.
func (s Scenario) String() string {
	return fmt.Sprintf("%s %s, %s (list lag %s, cache lag %d, same names %t, deleted at %d, after %t)", s.Life.Kind, s.Life.Name, s.Note, s.ListLag, s.Stale, s.SameNames, s.DeleteAt, s.DeleteAfter)
}

// Run lives a scenario in a namespace of its own. It gives the points that each phase's
// first incarnation passed.
func (s Scenario) Run(ctx context.Context, c client.WithWatch, maker Maker, namespace string) (points [][]string, v Verdict, err error) {
	w := NewWorld(Options{Client: c, Namespace: namespace, OwnerID: "cluster-a", ListLag: s.ListLag, SameNames: s.SameNames, Seed: s.Seed, Make: maker})
	defer func() { err = w.cleanUp(ctx, err) }()
	gate := &Gate{}
	o, err := w.Start("operator", gate, s.Stale)
	if err != nil {
		return nil, v, err
	}
	gone := false
	for phase, p := range s.Life.Phases {
		if gone && p.Name != "delete" {
			continue
		}
		incarnation := 0
		arm := func(g *Gate) {
			at := incarnation
			var around func(int, bool)
			if phase == 0 && at == 0 && s.DeleteAt >= 0 {
				around = func(n int, after bool) {
					if n == s.DeleteAt && after == s.DeleteAfter && !gone {
						gone = true
						err = deleting(ctx, w)
					}
				}
			}
			g.Arm(func(n int, what string) Fault {
				if s.Break == nil {
					return ""
				}
				return s.Break(phase, at, n, what)
			}, around)
		}
		first := o.Gate
		arm(first)
		o.Lag = s.Stale
		if err := p.Do(ctx, w); err != nil {
			return points, v, fmt.Errorf("%s: %w", p.Name, err)
		}
		o, err = w.Settle(ctx, o, Name, func() (*Operator, error) {
			incarnation++
			g := &Gate{}
			arm(g)
			return w.Start("operator", g, s.Stale)
		})
		points = append(points, first.Points())
		if err != nil {
			v.Add(Verdict{Manual: 1, Why: []string{fmt.Sprintf("%s: %v", p.Name, err)}})
			return points, v, nil
		}
		found, err := w.Check(ctx)
		if err != nil {
			return points, v, err
		}
		for i := range found.Why {
			found.Why[i] = p.Name + ": " + found.Why[i]
		}
		v.Add(found)
		if !v.OK() {
			return points, v, nil // what comes after is no news
		}
	}
	return points, v, nil
}

// cleanUp leaves the API server as it was found.
func (w *World) cleanUp(ctx context.Context, err error) error {
	if b, readErr := w.Get(ctx, Name); readErr == nil && b != nil {
		b.Finalizers = nil
		_ = w.Client.Update(ctx, b) // it may be gone meanwhile
		_ = w.Client.Delete(ctx, b)
	}
	if s, readErr := w.Secret(ctx, Name); readErr == nil && s != nil {
		_ = w.Client.Delete(ctx, s)
	}
	return err
}
