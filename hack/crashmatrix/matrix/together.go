package matrix

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
	clocktesting "k8s.io/utils/clock/testing"
)

// Together is a life that is lived by two operators at once, which take turns call by
// call: two of one cluster, by mistake, over one binding; or two clusters on one account,
// each with its own.
type Together struct {
	Kind     cloudflare.Kind
	Clusters bool
	Seed     uint64
}

// Meetings are those of a seed.
func Meetings(seed uint64) []Together {
	var out []Together
	for i, kind := range cloudflare.Kinds {
		out = append(out, Together{kind, (seed+uint64(i))%2 == 0, seed<<8 | uint64(i)})
	}
	return out
}

func (t Together) String() string {
	who := "two operators"
	if t.Clusters {
		who = "two clusters"
	}
	return fmt.Sprintf("%s with one %s, seed %d", who, t.Kind, t.Seed>>8)
}

func (t Together) verdict(ctx context.Context, c client.WithWatch, maker Maker, namespace string) (v Verdict, err error) {
	r := rand.New(rand.NewPCG(t.Seed, 0x746f676574686572))
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))
	outside := cloudflarefake.New(cloudflarefake.Options{Now: clock.Now, ListLag: time.Duration(r.Int64N(int64(slowList))), SameNames: t.Seed>>9%2 == 1})
	a := NewWorld(Options{Client: c, Namespace: namespace, OwnerID: "cluster-a", Seed: t.Seed, Make: maker, Cloudflare: outside, Clock: clock})
	worlds := []*World{a, a}
	if t.Clusters {
		// Even the names and namespaces are the same there.
		other, err := NewClient()
		if err != nil {
			return v, err
		}
		worlds[1] = NewWorld(Options{Client: other, Namespace: namespace, OwnerID: "cluster-b", Seed: t.Seed + 1, Make: maker, Cloudflare: outside, Clock: clock})
	}
	defer func() { err = a.cleanUp(ctx, err) }()
	turns := newTurns(r)
	var operators []*Operator
	for i, w := range worlds {
		o, err := w.Start(fmt.Sprintf("operator-%d", i), &Gate{turn: turns.seat(i)}, r.IntN(3))
		if err != nil {
			return v, err
		}
		operators = append(operators, o)
	}
	phases := []Phase{{"create", creating(t.Kind)}}
	if t.Kind == cloudflare.APIToken {
		phases = append(phases, Phase{"rotate", editing(rotate)})
	}
	for _, p := range append(phases, Phase{"delete", deleting}) {
		for i, w := range worlds {
			if i == 0 || t.Clusters {
				if err := p.Do(ctx, w); err != nil {
					return v, fmt.Errorf("%s: %w", p.Name, err)
				}
			}
		}
		if err := t.live(ctx, clock, turns, operators); err != nil {
			return v, err
		}
		for i, w := range worlds {
			if i > 0 && !t.Clusters {
				break
			}
			found, err := w.Check(ctx)
			if err != nil {
				return v, err
			}
			for i := range found.Why {
				found.Why[i] = p.Name + ": " + found.Why[i]
			}
			v.Add(found)
		}
		if !v.OK() {
			return v, nil
		}
	}
	return v, nil
}

// live lets the operators pass at the same time, round by round, until neither does
// anything.
func (t Together) live(ctx context.Context, clock *clocktesting.FakePassiveClock, turns *turns, operators []*Operator) error {
	idle := 0
	for range maxPasses {
		before := operators[0].effects() + operators[1].effects()
		results := make([]time.Duration, len(operators))
		failed := make([]error, len(operators))
		var group sync.WaitGroup
		turns.begin(len(operators))
		for i, o := range operators {
			group.Go(func() {
				defer turns.leave(i)
				result, err := o.Pass(ctx, Name)
				results[i], failed[i] = result.RequeueAfter, err
			})
		}
		group.Wait()
		next := time.Hour
		for i, o := range operators {
			o.Lag = 0
			if failed[i] != nil {
				next = min(next, time.Second)
			} else if results[i] > 0 {
				next = min(next, results[i])
			}
		}
		done := next >= time.Minute && failed[0] == nil && failed[1] == nil && operators[0].effects()+operators[1].effects() == before
		for _, o := range operators {
			b, err := o.w.Get(ctx, Name)
			if err != nil {
				return err
			}
			done = done && (b == nil || finished(b))
		}
		if idle++; !done {
			idle = 0
		}
		if idle == 2 {
			return nil
		}
		clock.SetTime(clock.Now().Add(next))
	}
	return nil // what is wrong is found by who checks
}

func newTurns(r *rand.Rand) *turns { return &turns{r: r, waiting: map[int]chan struct{}{}} }

// turns lets one operator go on at a time: once all wait, chance says who, so that a seed
// is one interleaving.
type turns struct {
	r *rand.Rand

	mu      sync.Mutex
	playing int
	waiting map[int]chan struct{}
}

func (t *turns) begin(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.playing = n
}

// seat gives a player's wait for its turn.
func (t *turns) seat(i int) func() {
	return func() {
		mine := make(chan struct{})
		t.mu.Lock()
		t.waiting[i] = mine
		t.next()
		t.mu.Unlock()
		<-mine
	}
}

func (t *turns) leave(int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.playing--
	t.next()
}

// next wakes one, if all who play wait.
func (t *turns) next() {
	if len(t.waiting) < t.playing || t.playing == 0 {
		return
	}
	players := make([]int, 0, len(t.waiting))
	for i := range 2 {
		if _, ok := t.waiting[i]; ok {
			players = append(players, i)
		}
	}
	chosen := players[t.r.IntN(len(players))]
	close(t.waiting[chosen])
	delete(t.waiting, chosen)
}
