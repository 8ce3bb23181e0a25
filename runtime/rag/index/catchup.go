package index

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	// changesRead and passagesRead are how many are asked of the store at once.
	changesRead  = 500
	passagesRead = 250
	// ahead is how many parcels are read while one is indexed.
	ahead = 4
)

// CatchUp returns once all changes that the store had when it was called can be found.
// Callers at the same time share the work.
func (x *Index) CatchUp(ctx context.Context) error {
	head, err := x.docs.Head(ctx, x.tenant)
	if err != nil {
		return fmt.Errorf("asking for the documents' latest change: %w", err)
	}
	if x.upTo(head) {
		return nil
	}
	if err := x.take(ctx); err != nil {
		return err
	}
	defer x.give()
	// Whoever led before may have done it all.
	if head, err = x.docs.Head(ctx, x.tenant); err != nil {
		return fmt.Errorf("asking for the documents' latest change: %w", err)
	}
	if x.upTo(head) {
		return nil
	}
	if since := x.since.Load(); head < since || since == 0 {
		// The store was emptied or brought back to an earlier state, or a first reading
		// failed: what it has shown may have been removed since, which no list tells.
		x.anew()
	}
	err = x.apply(ctx)
	if errors.Is(err, storage.ErrChangesForgotten) {
		x.anew()
		err = x.apply(ctx)
	}
	if err != nil {
		return fmt.Errorf("reading changes of documents: %w", err)
	}
	x.finish()
	return nil
}

func (x *Index) upTo(head int64) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	// After the last change of a complete reading there is still what it didn't find.
	return x.progress.Ready && !x.sweep && x.since.Load() == head
}

// anew begins a complete reading. What it doesn't find goes when it is done; until then
// it is shown as it was.
func (x *Index) anew() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.since.Store(0)
	x.round++
	x.sweep = true
}

// finish ends a reading that reached the end.
func (x *Index) finish() {
	var gone []*document
	x.mu.Lock()
	if x.sweep {
		for id, d := range x.documents {
			if d.round != x.round {
				gone = append(gone, x.hide(id))
			}
		}
		x.sweep = false
	}
	x.progress.Ready = true
	x.mu.Unlock()
	for _, d := range gone {
		x.forget(d)
	}
}

// apply brings all changes after since. One goroutine reads while this one indexes.
func (x *Index) apply(ctx context.Context) error {
	if err := x.expect(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	parcels := make(chan parcel, ahead)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(parcels)
		x.read(ctx, x.since.Load(), parcels)
	})
	defer func() {
		stop()
		reader.Wait()
	}()
	var d *document
	defer func() { x.forget(d) }() // what was read in part
	for p := range parcels {
		if p.err != nil {
			return p.err
		}
		switch {
		case p.whole:
		case p.Document == nil:
			x.mu.Lock()
			gone := x.hide(p.Doc)
			x.mu.Unlock()
			x.forget(gone)
		case p.known:
			x.mu.Lock()
			if have := x.documents[p.Doc]; have != nil {
				have.round = x.round
			}
			x.mu.Unlock()
		default:
			if d == nil {
				x.mu.Lock()
				d = x.describe(*p.Document, x.round)
				x.mu.Unlock()
			}
			x.index(d, *p.Document, p.passages, p.prints)
			if p.last {
				x.settle(d, p.Document.Passages)
				d = nil
			}
		}
		if p.last && p.Seq != 0 {
			x.since.Store(p.Seq)
		}
	}
	return ctx.Err()
}

// expect notes how much there is to read before the first reading.
func (x *Index) expect(ctx context.Context) error {
	x.mu.RLock()
	ready := x.progress.Ready
	x.mu.RUnlock()
	if ready {
		return nil
	}
	total, _, err := x.docs.Totals(ctx, x.tenant)
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.progress.Total = total
	x.mu.Unlock()
	return nil
}

// settle shows d if all its passages are there. If not it was replaced or removed while it
// was read: what was shown before stays until the change that did it.
func (x *Index) settle(d *document, passages int) {
	if len(d.slots) != passages {
		x.mu.Lock()
		if have := x.documents[d.id]; have != nil {
			have.round = x.round
		}
		x.mu.Unlock()
		x.forget(d)
		return
	}
	x.mu.Lock()
	before := x.show(d)
	x.fresh += len(d.slots)
	x.mu.Unlock()
	x.forget(before)
}

// Follow keeps the index fresh, and learns vectors anew when the passages have changed
// enough, until ctx ends. What fails is tried again.
func (x *Index) Follow(ctx context.Context) {
	var learning sync.WaitGroup
	defer learning.Wait()
	const shortest, longest = 100 * time.Millisecond, 10 * time.Second
	pause := shortest
	for {
		err := x.CatchUp(ctx)
		if err == nil {
			x.learnSoon(ctx, &learning)
			_, err = x.docs.Await(ctx, x.tenant, x.since.Load())
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = shortest
			continue
		}
		x.options.Logger.Warn("the index of documents isn't up to date; trying again", "tenant", x.tenant, "error", err)
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, longest)
	}
}
