package move

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// DefaultPatience is how long a store that is away is waited for.
	DefaultPatience = time.Minute
	// progressEvery is how often progress is told.
	progressEvery = 5 * time.Second
	// askAgain is the pause before a store that is away is asked again.
	askAgain = 500 * time.Millisecond
	// A batch is loaded when it holds this many records or characters.
	batchRecords = 100
	batchChars   = 1 << 20
)

// Pace says how a move waits and what it tells; the zero value is ready.
type Pace struct {
	// Patience is how long a store that is away is waited for. 0 is DefaultPatience.
	Patience time.Duration
	// Progress is told every few seconds what is done, and Waiting that a store is away.
	// Either may be nil.
	Progress func(Counts)
	Waiting  func(error)

	told, warned time.Time
	// since is when the store was found away; zero while things move.
	since time.Time
}

func (p *Pace) tell(c Counts) {
	if p.Progress != nil && time.Since(p.told) >= progressEvery {
		p.told = time.Now()
		p.Progress(c)
	}
}

// moved is told that something did.
func (p *Pace) moved() { p.since = time.Time{} }

// patiently asks until the store isn't away, or patience is at its end.
func (p *Pace) patiently(ctx context.Context, ask func() error) error {
	patience := p.Patience
	if patience <= 0 {
		patience = DefaultPatience
	}
	for {
		err := ask()
		if !errors.Is(err, storage.ErrUnavailable) {
			p.moved()
			return err
		}
		if p.since.IsZero() {
			p.since = time.Now()
		}
		if time.Since(p.since) >= patience {
			return err
		}
		if p.Waiting != nil && time.Since(p.warned) >= progressEvery {
			p.warned = time.Now()
			p.Waiting(err)
		}
		pause := time.NewTimer(askAgain)
		select {
		case <-ctx.Done():
			pause.Stop()
			return errors.Join(err, ctx.Err())
		case <-pause.C:
		}
	}
}

// loader takes records into a store, many at once.
type loader struct {
	to     storage.Portable
	tenant tenancy.ID
	pace   *Pace
	// loaded is called when all that was added is in the store; last is what add was
	// given with the latest.
	loaded func(c Counts, last string) error

	batch []storage.Record
	chars int
	last  string
	// counts are of what was added, done of what is in the store.
	counts, done Counts
}

func (l *loader) add(ctx context.Context, r storage.Record, at string) error {
	l.batch, l.last = append(l.batch, r), at
	l.counts.add(r)
	if r.Session != nil {
		for _, m := range r.Session.Messages {
			l.chars += len(m.Content)
		}
	}
	if r.Passages != nil {
		for _, p := range r.Passages.Passages {
			l.chars += len(p.Text) + len(p.Vector)
		}
	}
	if len(l.batch) < batchRecords && l.chars < batchChars {
		return nil
	}
	return l.flush(ctx)
}

func (l *loader) flush(ctx context.Context) error {
	if len(l.batch) == 0 {
		return nil
	}
	err := l.pace.patiently(ctx, func() error { return l.to.Load(ctx, l.tenant, l.batch) })
	if err != nil {
		return fmt.Errorf("taking records in: %w", err)
	}
	l.batch, l.chars, l.done = l.batch[:0], 0, l.counts
	l.pace.tell(l.done)
	return l.loaded(l.done, l.last)
}

// dump reads all records from a position on, and goes on after a store was away.
func dump(ctx context.Context, from storage.Portable, t tenancy.ID, at string, pace *Pace, yield func(r storage.Record, next string) error) error {
	var refused error
	err := pace.patiently(ctx, func() error {
		return from.Dump(ctx, t, at, func(r storage.Record, next string) error {
			if refused = yield(r, next); refused != nil {
				return errYield
			}
			at = next
			pace.moved()
			return nil
		})
	})
	if errors.Is(err, errYield) {
		return refused
	}
	if err != nil {
		return fmt.Errorf("reading records: %w", err)
	}
	return nil
}

// errYield ends a dump for a reason that isn't the dumped store's: it may be that the
// other is away.
var errYield = errors.New("the reader stopped")
