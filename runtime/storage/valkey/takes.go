package valkey

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	// takesAtOnce bounds the takes of one script, and so for how long it holds the
	// server up: a fifth of a millisecond.
	takesAtOnce = 64
	// takesUnderWay is how many scripts of one tenant are on their way: while the server
	// does one, the next arrives.
	takesUnderWay = 2
)

// takes sends the takes of one tenant that come at the same time as one script: each is
// decided by itself and still costs one round trip, but the server starts fewer scripts.
// A take that comes alone goes alone, at once.
type takes struct {
	mu       sync.Mutex
	waiting  []*taking
	underWay int
}

type taking struct {
	windows []storage.Window
	fields  []string
	now     time.Time
	done    chan taken
}

type taken struct {
	taken storage.Taken
	err   error
}

// take returns when it is decided or ctx has ended.
func (s *Store) take(ctx context.Context, n *names, t *taking) (storage.Taken, error) {
	q := &n.takes
	q.mu.Lock()
	q.waiting = append(q.waiting, t)
	if q.underWay < takesUnderWay {
		q.underWay++
		go s.sendTakes(n)
	}
	q.mu.Unlock()
	select {
	case d := <-t.done:
		return d.taken, d.err
	case <-ctx.Done():
	}
	q.mu.Lock()
	if i := slices.Index(q.waiting, t); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	return storage.Taken{}, ctx.Err()
}

// sendTakes goes on until none waits. If the server fails, those that wait fail with
// those that were sent: they would find out the same, only later.
func (s *Store) sendTakes(n *names) {
	q := &n.takes
	for {
		q.mu.Lock()
		some := slices.Clone(q.waiting[:min(takesAtOnce, len(q.waiting))])
		q.waiting = slices.Delete(q.waiting, 0, len(some))
		if len(some) == 0 {
			q.underWay--
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		decided, err := s.decide(n, some)
		if err != nil {
			q.mu.Lock()
			some = append(some, q.waiting...)
			q.waiting = nil
			q.mu.Unlock()
		}
		for i, t := range some {
			if err != nil {
				t.done <- taken{err: err}
			} else {
				t.done <- taken{taken: decided[i]}
			}
		}
	}
}

// asked are takes as the script reads them.
func asked(n *names, some []*taking) []string {
	args, kept := make([]string, 2, 2+2*len(some)), time.Duration(0)
	text := make([]byte, 8, 8+48*len(some))
	for _, t := range some {
		args = append(args, t.fields...)
		text = append(timeBytes(text, t.now), byte(len(t.windows)))
		for _, w := range t.windows {
			text = doubleBytes(doubleBytes(text, int64(w.Limit)), int64(w.Length))
			kept = max(kept, w.Length+windowSlack)
		}
	}
	doubleBytes(text[:0], kept.Milliseconds()+1)
	args[0], args[1] = n.mark, string(text)
	return args
}

func (s *Store) decide(n *names, some []*taking) ([]storage.Taken, error) {
	reply, err := s.run(context.Background(), n, takeScript, n.windowKeys, asked(n, some)...)
	if err != nil {
		return nil, err
	}
	numbers := make([]int64, len(reply))
	for i := range reply {
		if numbers[i], err = reply[i].AsInt64(); err != nil {
			return nil, unreadable(err)
		}
	}
	decided := make([]storage.Taken, len(some))
	for i, t := range some {
		if len(numbers) < 3 || numbers[0] == 0 && len(numbers) < 1+2*len(t.windows) {
			return nil, unreadable(fmt.Errorf("%d takes were decided of %d", i, len(some)))
		}
		var used int
		decided[i], used = readTaken(t.windows, numbers)
		numbers = numbers[used:]
	}
	return decided, nil
}
