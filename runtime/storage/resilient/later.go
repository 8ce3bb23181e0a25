package resilient

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// later holds calls that are owed, in the order of their making.
type later struct {
	most int
	tell func(tenancy.ID, any)
	lost atomic.Int64

	mu      sync.Mutex
	waiting []*owed
	// closed: nothing is sent any more.
	closed bool
}

// owed is a call whose answer nobody needs, and what it says.
type owed struct {
	tenant tenancy.ID
	what   any
	call   func(ctx context.Context) error
}

func (l *later) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

func (l *later) add(o *owed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.waiting) >= l.most {
		return false
	}
	l.waiting = append(l.waiting, o)
	return true
}

// drop lets go of what waits, tells how many those are, and takes no more.
func (l *later) drop() int {
	l.mu.Lock()
	dropped := l.waiting
	l.waiting, l.closed = nil, true
	l.mu.Unlock()
	for _, o := range dropped {
		l.lose(o)
	}
	return len(dropped)
}

func (l *later) lose(o *owed) {
	l.lost.Add(1)
	l.tell(o.tenant, o.what)
}

func (l *later) next() *owed {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.waiting = nil
		return nil
	}
	return l.waiting[0]
}

func (l *later) sent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
}

// send sends what waits, until all is sent, one can't be sent or ctx has ended. What was
// sent and not answered is lost: it may have been done. Only one may run at a time.
func (l *later) send(ctx context.Context, s *Store) {
	for o := l.next(); o != nil && ctx.Err() == nil; o = l.next() {
		// One that is under way when ctx ends is waited for: its outcome must be known.
		err := s.do(context.WithoutCancel(ctx), s.options.Timeout, o.call)
		if err != nil && notDone(err) {
			return
		}
		if err != nil {
			l.lose(o)
		}
		l.sent()
	}
}

// owe makes a call that is owed though ctx has ended, and keeps it for later if nothing of
// it was done.
func (s *Store) owe(ctx context.Context, o *owed) error {
	err := s.do(context.WithoutCancel(ctx), s.options.Timeout, o.call)
	if err == nil || !notDone(err) || !s.later.add(o) {
		return err
	}
	s.wakeUp()
	return nil
}
