package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Isolation drives many tenants, whose names spell each other, through one driver at
// once, and holds every answer against a model of what a right store would give.
//
// Each tenant has a lane that draws its operations at random, one after the other, so
// that its model is exact; all lanes run at once, and so do the calls of a burst within
// one tenant. What a lane reads and did not write is a leak; what it wrote and does not
// find, finds twice or out of order, a limit that was exceeded or refused wrongly and a
// budget that isn't exact count as lost. A lane ends at its first deviation.
type Isolation struct {
	// Operations is how many calls of the store are made at least.
	Operations int64
	// Seed draws the operations; the same seed draws the same for each lane.
	Seed uint64
	// Open returns the replicas that serve a tenant, each with the login of this tenant
	// if the server knows logins. They may be the same for all tenants. Who calls Run
	// closes them.
	Open func(ctx context.Context, t tenancy.ID) ([]storage.Store, error)
	// Enforced tells that each tenant has a login of its own. Then lanes also ask for
	// their neighbours' data, with their own login, and must get none.
	Enforced bool
	// Done is told of every so many operations that were made; may be nil.
	Done func(operations int64)
}

// Verdict is what a run showed, counted from what ran.
type Verdict struct {
	Operations, Leaks, Lost int64
	// Failures are calls that failed though they should not have.
	Failures int64
	// Deviations tells of the first few.
	Deviations []string
}

// OK tells whether the store kept tenants apart and lost nothing.
func (v Verdict) OK() bool { return v.Leaks == 0 && v.Lost == 0 && v.Failures == 0 }

// maxDeviations bounds those that a Verdict tells.
const maxDeviations = 20

// Tenants of an Isolation: every way to spell a with b and c.
func hostileTenants() []string {
	var all []string
	for _, sep := range separators {
		tenants, _, _ := spelling(sep)
		all = append(all, tenants...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func hostileNames() (callers, names []string) {
	for _, sep := range separators {
		_, c, n := spelling(sep)
		callers, names = append(callers, c...), append(names, n...)
	}
	slices.Sort(callers)
	slices.Sort(names)
	return slices.Compact(callers), slices.Compact(names)
}

// Run makes the operations. Its error is one of opening; all else is in the verdict.
func (i Isolation) Run(ctx context.Context) (Verdict, error) {
	r := &isolationRun{Isolation: i}
	tenants := hostileTenants()
	lanes := make([]*lane, len(tenants))
	for n, identity := range tenants {
		id, err := tenancy.NewID("acme", identity)
		if err != nil {
			return Verdict{}, fmt.Errorf("making tenant %q: %w", identity, err)
		}
		stores, err := i.Open(ctx, id)
		if err != nil {
			return Verdict{}, fmt.Errorf("opening the store of tenant %q: %w", identity, err)
		}
		lanes[n] = newLane(ctx, r, id, stores, rand.New(rand.NewPCG(i.Seed, uint64(n))))
	}
	for n, l := range lanes {
		l.neighbour = lanes[(n+1)%len(lanes)].id
	}
	// All begin empty before any begins, and all have ended before any is erased.
	for _, stage := range []func(*lane){(*lane).begin, (*lane).play, (*lane).readAll, (*lane).end} {
		var all sync.WaitGroup
		for _, l := range lanes {
			all.Go(func() {
				if !l.ended {
					stage(l)
				}
			})
		}
		all.Wait()
	}
	r.verdict.Operations = r.made.Load()
	return r.verdict, ctx.Err()
}

type isolationRun struct {
	Isolation
	made atomic.Int64

	mu      sync.Mutex
	verdict Verdict
}

// did counts calls of the store.
func (r *isolationRun) did(calls int64) {
	const every = 1000
	after := r.made.Add(calls)
	if r.Done != nil && after/every != (after-calls)/every {
		r.Done(after)
	}
}

type deviation int

const (
	leak deviation = iota
	lost
	failure
)

func (r *isolationRun) deviates(kind deviation, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch kind {
	case leak:
		r.verdict.Leaks++
		text = "leak: " + text
	case lost:
		r.verdict.Lost++
		text = "lost: " + text
	default:
		r.verdict.Failures++
		text = "failed: " + text
	}
	if len(r.verdict.Deviations) < maxDeviations {
		r.verdict.Deviations = append(r.verdict.Deviations, text)
	}
}

// deviates ends the lane: its model is worth nothing from here on.
func (l *lane) deviates(kind deviation, format string, args ...any) {
	l.run.deviates(kind, fmt.Sprintf("tenant %q: ", l.id.Identity())+fmt.Sprintf(format, args...))
	l.ended = true
}

// works ends the lane if a call failed that should not have.
func (l *lane) works(what string, err error) bool {
	if errors.Is(err, context.Canceled) {
		l.ended = true
		return false
	}
	if err != nil {
		l.deviates(failure, "%s: %v", what, err)
		return false
	}
	return true
}

// counts compares a counter, which carries no mark of who raised it: what is too much
// came from somebody else, what is too little is gone.
func (l *lane) counts(what string, got, want int64) bool {
	switch {
	case got > want:
		l.deviates(leak, "%s: got %d, want %d", what, got, want)
	case got < want:
		l.deviates(lost, "%s: got %d, want %d", what, got, want)
	}
	return got == want
}
