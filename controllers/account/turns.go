package account

import (
	"math/rand/v2"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// How many passes are in one account at a time: enough to use its budget up, few enough
// that a thousand bindings of one account leave workers for the others, and that what is
// only looked at leaves some for what is changed.
const (
	editTurns = 16
	pollTurns = 4
)

// Turns lets a few passes over bindings into each account at a time. The others wait
// outside, not in a worker, and are woken when it is their turn. A nil *Turns lets
// everybody in.
type Turns struct {
	wake func(client.ObjectKey)

	mu    sync.Mutex
	lines map[lineKey]*line
}

type lineKey struct {
	account client.ObjectKey
	lane    cloudflare.Lane
}

// line is who is in an account and who waits.
type line struct {
	inside  int
	waiting []client.ObjectKey
	queued  map[client.ObjectKey]bool
}

// Turns of the bindings that Bindings wakes.
func (d *Directory) Turns() *Turns {
	return NewTurns(func(binding client.ObjectKey) { d.bindings.call(0, binding) })
}

// NewTurns makes Turns that wake by a function, which is called without a lock.
func NewTurns(wake func(binding client.ObjectKey)) *Turns {
	return &Turns{wake: wake, lines: map[lineKey]*line{}}
}

// Enter lets a binding in if there is room; whoever is let in must leave. Else it waits in
// line and is woken. That may be in vain, if others come first, so it should look again
// after a time, too.
func (t *Turns) Enter(account client.ObjectKey, lane cloudflare.Lane, binding client.ObjectKey) (leave func(), again time.Duration) {
	if t == nil {
		return func() {}, 0
	}
	key := lineKey{account, lane}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[key]
	if l == nil {
		l = &line{queued: map[client.ObjectKey]bool{}}
		t.lines[key] = l
	}
	if l.inside < limitOf(lane) {
		l.inside++
		return func() { t.leave(key) }, 0
	}
	if !l.queued[binding] {
		l.queued[binding] = true
		l.waiting = append(l.waiting, binding)
	}
	return nil, lookAgain + rand.N(lookAgain)
}

// lookAgain is when who waits in line looks whether it was forgotten.
const lookAgain = 30 * time.Second

func limitOf(lane cloudflare.Lane) int {
	if lane == cloudflare.Poll {
		return pollTurns
	}
	return editTurns
}

// leave wakes as many as there is room for.
func (t *Turns) leave(key lineKey) {
	t.mu.Lock()
	l := t.lines[key]
	l.inside--
	n := min(limitOf(key.lane)-l.inside, len(l.waiting))
	woken := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	for _, binding := range woken {
		delete(l.queued, binding)
	}
	if l.inside == 0 && len(l.waiting) == 0 {
		delete(t.lines, key)
	}
	t.mu.Unlock()
	for _, binding := range woken {
		t.wake(binding)
	}
}
