package embedded

import (
	"context"
	"os"
	"sync/atomic"
)

// batch is what one transaction holds. Everyone in it waits for the same commit.
type batch struct {
	jobs []*job
	done chan struct{}
	err  error

	// claimed are the jobs to be done: those whose callers haven't given up.
	claimed   []*job
	isClaimed bool
}

// claim settles, once, which jobs are done. It comes as late as can be.
func (b *batch) claim() {
	if b.isClaimed {
		return
	}
	b.isClaimed = true
	for _, j := range b.jobs {
		if j.apply != nil && j.taken.CompareAndSwap(false, true) {
			b.claimed = append(b.claimed, j)
		}
	}
}

// job is one write. apply runs on the writer; nil waits for the counters alone.
type job struct {
	apply func(tx *tx) error
	// committed runs on the writer once what apply did is durable, before any caller
	// is told; may be nil.
	committed func()
	// taken is set by the writer or by a caller that gives up, whoever is first.
	taken atomic.Bool
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// write joins the next batch and waits for its commit. When ctx ends first, a job
// that the writer hasn't taken yet is never done; one that it has is done whole.
func (w *writer) write(ctx context.Context, j *job) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return unavailable(ReasonClosed, os.ErrClosed)
	}
	b := w.next
	b.jobs = append(b.jobs, j)
	w.mu.Unlock()
	signal(w.nudge)
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		j.taken.CompareAndSwap(false, true)
		return ctx.Err()
	}
}
