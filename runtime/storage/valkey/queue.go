package valkey

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// queue sends what one tenant asks at the same time together: each still costs one round
// trip, but client and server make fewer calls. What comes alone goes alone, at once.
type queue[Q, A any] struct {
	// send asks the server and returns an answer for each.
	send func([]Q) []answer[A]
	// atOnce bounds what goes together, and so for how long the server is held up.
	atOnce int
	// most is how many calls are on their way at once: while the server does one, the
	// next arrives.
	most int

	mu       sync.Mutex
	waiting  []*asking[Q, A]
	underWay int
}

type asking[Q, A any] struct {
	what Q
	done chan answer[A]
}

type answer[A any] struct {
	a   A
	err error
}

// answers gives each of several the same error.
func answers[A any](several int, err error) []answer[A] {
	all := make([]answer[A], several)
	for i := range all {
		all[i].err = err
	}
	return all
}

// ask returns when there is an answer or ctx has ended; what was sent by then is done all
// the same.
func (q *queue[Q, A]) ask(ctx context.Context, what Q) (A, error) {
	one := &asking[Q, A]{what, make(chan answer[A], 1)}
	q.mu.Lock()
	q.waiting = append(q.waiting, one)
	if q.underWay < q.most {
		q.underWay++
		go q.work()
	}
	q.mu.Unlock()
	select {
	case d := <-one.done:
		return d.a, d.err
	case <-ctx.Done():
	}
	q.mu.Lock()
	if i := slices.Index(q.waiting, one); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	var none A
	return none, ctx.Err()
}

// work goes on until none waits. If the server fails, those that wait fail too, unsent:
// they would find out the same, only later.
func (q *queue[Q, A]) work() {
	for {
		q.mu.Lock()
		some := slices.Clone(q.waiting[:min(q.atOnce, len(q.waiting))])
		q.waiting = slices.Delete(q.waiting, 0, len(some))
		if len(some) == 0 {
			q.underWay--
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		what := make([]Q, len(some))
		for i, one := range some {
			what[i] = one.what
		}
		all := q.send(what)
		if i := slices.IndexFunc(all, func(a answer[A]) bool { return errors.Is(a.err, storage.ErrUnavailable) }); i >= 0 {
			q.mu.Lock()
			for _, one := range q.waiting {
				one.done <- answer[A]{err: unsent(all[i].err)}
			}
			q.waiting = nil
			q.mu.Unlock()
		}
		for i, one := range some {
			one.done <- all[i]
		}
	}
}
