package embedded

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// linger is how long a change that nobody waits for may gather others.
	linger = 5 * time.Millisecond
	// windowsEvery is how often windows are written: nobody waits for them, and a
	// busy one is large.
	windowsEvery = 250 * time.Millisecond
	// healEvery is how often a store that can't be written tries again by itself.
	healEvery = time.Second
	// pruneEvery is how often what has run out is deleted from the file.
	pruneEvery = time.Hour
)

// writer owns the only connection that writes. Nothing else touches its fields but
// those under mu and the channels.
type writer struct {
	s *Store

	mu     sync.Mutex
	next   *batch
	closed bool

	// nudge: someone waits. lazy: a counter changed. window: only a window did.
	nudge, lazy, window chan struct{}
	windowDirty         atomic.Bool
	closing, stopped    chan struct{}
	closeErr            error

	lock       *os.File
	db         *sql.DB
	tx         *tx
	pages      int64
	windowsDue time.Time
	pruneDue   time.Time
	forgetDue  time.Time
	due        *time.Timer
}

func newWriter(s *Store) *writer {
	due := time.NewTimer(time.Hour)
	due.Stop()
	return &writer{
		s: s, next: newBatch(), due: due, pruneDue: s.options.Now().Add(time.Minute),
		nudge: make(chan struct{}, 1), lazy: make(chan struct{}, 1), window: make(chan struct{}, 1),
		closing: make(chan struct{}), stopped: make(chan struct{}),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// changed tells that a budget or usage changed, for which nobody waits.
func (w *writer) changed() { signal(w.lazy) }

// windowChanged tells that a window changed.
func (w *writer) windowChanged() {
	if w.windowDirty.CompareAndSwap(false, true) {
		signal(w.window)
	}
}

func (w *writer) run() {
	defer close(w.stopped)
	// What a crash left reserved was counted as spent: to be written.
	signal(w.lazy)
	if w.s.reason.Load() != nil {
		w.due.Reset(healEvery)
	}
	for {
		select {
		case <-w.nudge:
		case <-w.lazy:
			w.gather()
		case <-w.window:
			w.due.Reset(windowsEvery)
			continue
		case <-w.due.C:
		case <-w.closing:
			w.finish()
			return
		}
		// Those who are about to ask for a write come first: they share the commit.
		runtime.Gosched()
		w.commit(false)
		if w.s.reason.Load() != nil {
			w.due.Reset(healEvery)
		}
	}
}

// gather waits for someone who waits, but not for long.
func (w *writer) gather() {
	t := time.NewTimer(linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.nudge:
	case <-w.closing:
	}
}

// commit writes the batch and what changed in the counters, in one transaction.
func (w *writer) commit(all bool) {
	w.mu.Lock()
	b := w.next
	w.next = newBatch()
	w.mu.Unlock()
	failed := w.s.reason.Load()
	err := w.attach(context.Background())
	if err == nil {
		rows := w.changedRows(all, len(b.jobs) > 0)
		if len(b.jobs) == 0 && rows.empty() && failed == nil {
			close(b.done)
			return
		}
		if err = w.do(b, rows, failed != nil); err != nil {
			rows.notWritten(w.s)
		} else {
			w.s.audit.written(rows.audit)
		}
	}
	if err == nil {
		w.s.reason.Store(nil)
		for _, j := range b.claimed {
			if j.committed != nil {
				j.committed()
			}
		}
		w.forget()
		if w.tx.dropping {
			signal(w.lazy)
		}
	} else {
		w.s.fail(err)
		// The file may have got it nevertheless.
		w.s.recent.clear()
		b.err = unavailable(w.s.reason.Load().reason, err)
		w.recover()
	}
	close(b.done)
}

// do writes a batch; once more if the disk has got room since the file's bound was set.
func (w *writer) do(b *batch, r *rows, probe bool) error {
	err := w.tx.run(b, r, probe)
	if err == nil || reasonOf(w.s.dir, err) != ReasonDiskFull {
		return err
	}
	if pages, statErr := roomFor(w.s.path, w.s.options.MaxBytes); statErr != nil || pages <= w.pages {
		return err
	}
	w.detach()
	if err := w.attach(context.Background()); err != nil {
		return err
	}
	return w.tx.run(b, r, probe)
}

// changedRows takes what changed; windows only when they are due. waited tells that
// somebody waits for the commit.
func (w *writer) changedRows(all, waited bool) *rows {
	now := w.s.options.Now()
	r := &rows{budgets: w.s.budgets.Changed(), usage: w.s.usage.Changed(), audit: w.s.audit.all()}
	if all || !now.Before(w.windowsDue) {
		w.windowsDue = now.Add(windowsEvery)
		w.windowDirty.Store(false)
		r.windows = w.s.windows.Changed()
	}
	r.sweep = w.tx.dropping
	if now.After(w.pruneDue) && (waited || !r.empty()) {
		r.prune = now
		w.pruneDue = now.Add(pruneEvery)
	}
	return r
}

// forget drops usage from memory that the file holds. No rows are under way now.
func (w *writer) forget() {
	if now := w.s.options.Now(); now.After(w.forgetDue) {
		w.forgetDue = now.Add(time.Minute)
		w.s.usage.Forget(now.Add(-usageInMemory))
	}
}

// recover makes the next try start from a fresh connection. A full disk first gets
// back the room of the log, if the file can take what is in it.
func (w *writer) recover() {
	if w.tx != nil && w.s.reason.Load().reason == ReasonDiskFull {
		w.tx.checkpoint()
	}
	w.detach()
}

func (w *writer) finish() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	// Before the counters were loaded nothing was taken on.
	if w.s.loaded.Load() {
		w.commit(true)
		if f := w.s.reason.Load(); f != nil {
			w.closeErr = unavailable(f.reason, f.err)
		}
	}
	w.closeErr = errors.Join(w.closeErr, w.s.reader.close(), w.release())
}

func (w *writer) close(ctx context.Context) error {
	w.mu.Lock()
	select {
	case <-w.closing:
	default:
		close(w.closing)
	}
	w.mu.Unlock()
	select {
	case <-w.stopped:
		return w.closeErr
	case <-ctx.Done():
		return ctx.Err()
	}
}
