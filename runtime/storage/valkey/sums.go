package valkey

import (
	"context"
	"errors"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// sums sends what one tenant has only added up: while one sum is on its way, those of the
// same place that come are made one, which goes next. Each caller still waits until the
// server has what it gave; one that comes alone goes alone, at once.
type sums struct {
	mu      sync.Mutex
	waiting map[string]*sum
	sending bool
}

// sum is a call whose arguments end with numbers; twice the call is once the call with
// both numbers' sums.
type sum struct {
	script  *script
	keys    []string
	args    func(amounts []int64) []string
	amounts []int64
	done    chan struct{}
	err     error
}

// add returns when the server has it. place tells sums of one script and the same
// arguments, but for the amounts, from others.
func (s *Store) add(n *names, place string, one *sum) error {
	q := &n.sums
	q.mu.Lock()
	same := q.waiting[place]
	if same == nil {
		if q.waiting == nil {
			q.waiting = map[string]*sum{}
		}
		same, one.done = one, make(chan struct{})
		q.waiting[place] = one
	} else {
		for i, a := range one.amounts {
			same.amounts[i] = total(same.amounts[i], a)
		}
	}
	if !q.sending {
		q.sending = true
		go s.sendSums(n)
	}
	q.mu.Unlock()
	<-same.done
	return same.err
}

// sendSums goes on until none waits. If the server fails, those that wait fail too,
// unsent: they would find out the same, only later.
func (s *Store) sendSums(n *names) {
	q := &n.sums
	var failed error
	for {
		q.mu.Lock()
		some := q.waiting
		q.waiting = nil
		if len(some) == 0 {
			q.sending = false
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		var sending sync.WaitGroup
		for _, one := range some {
			if failed != nil {
				one.err = failed
				close(one.done)
				continue
			}
			sending.Go(func() {
				_, one.err = s.run(context.Background(), n, one.script, one.keys, one.args(one.amounts)...)
				close(one.done)
			})
		}
		sending.Wait()
		failed = nil
		for _, one := range some {
			if errors.Is(one.err, storage.ErrUnavailable) {
				failed = unavailable(s.Health().Reason)
			}
		}
	}
}
