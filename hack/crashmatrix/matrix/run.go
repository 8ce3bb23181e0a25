package matrix

import (
	"context"
	"fmt"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// story is whatever can be run for a verdict.
type story interface {
	String() string
	verdict(ctx context.Context, c client.WithWatch, maker Maker, namespace string) (Verdict, error)
}

func (s Scenario) verdict(ctx context.Context, c client.WithWatch, maker Maker, namespace string) (Verdict, error) {
	_, v, err := s.Run(ctx, c, maker, namespace)
	return v, err
}

// Failure is a scenario that went wrong.
type Failure struct {
	Scenario string
	Verdict  Verdict
}

// Result sums up.
type Result struct {
	Scenarios int
	Verdict
	Failures []Failure
}

// Run runs scenarios on several API servers in memory at once.
func Run[S story](ctx context.Context, maker Maker, workers int, scenarios []S) (Result, error) {
	clients := []client.WithWatch{}
	for range workers {
		c, err := NewClient()
		if err != nil {
			return Result{}, err
		}
		clients = append(clients, c)
	}
	return RunOn(ctx, maker, clients, scenarios)
}

// RunOn runs scenarios on the API servers that are given, one at a time on each.
func RunOn[S story](ctx context.Context, maker Maker, clients []client.WithWatch, scenarios []S) (Result, error) {
	var (
		mu     sync.Mutex
		out    Result
		failed error
		group  sync.WaitGroup
	)
	work := queue(scenarios)
	for i, c := range clients {
		group.Go(func() {
			for s := range work {
				if ctx.Err() != nil {
					continue
				}
				v, err := s.verdict(ctx, c, maker, fmt.Sprintf("world-%d", i))
				mu.Lock()
				out.Scenarios++
				out.Add(Verdict{Duplicates: v.Duplicates, Orphans: v.Orphans, Manual: v.Manual})
				if !v.OK() {
					out.Failures = append(out.Failures, Failure{s.String(), v})
				}
				if err != nil && failed == nil {
					failed = fmt.Errorf("%s: %w", s, err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	return out, failed
}

func queue[S any](all []S) <-chan S {
	out := make(chan S, len(all))
	for _, s := range all {
		out <- s
	}
	close(out)
	return out
}
