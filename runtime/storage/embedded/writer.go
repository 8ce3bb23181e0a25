package embedded

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// linger is how long a change that nobody waits for may gather others.
	linger = 5 * time.Millisecond
	// windowsEvery is how often windows are written: nobody waits for them, and a
	// busy one is large.
	windowsEvery = 500 * time.Millisecond
	// healEvery is how often a store that can't be written tries again by itself.
	healEvery = time.Second
	// pruneEvery is how often what has run out is deleted from the file.
	pruneEvery = time.Hour
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
	// taken is set by the writer or by a caller that gives up, whoever is first.
	taken atomic.Bool
}

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

func newBatch() *batch { return &batch{done: make(chan struct{})} }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write joins the next batch and waits for its commit. When ctx ends first, a job
// that the writer hasn't taken yet is never done; one that it has is done whole.
func (w *writer) write(ctx context.Context, apply func(tx *tx) error) error {
	j := &job{apply: apply}
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
		rows := w.changedRows(all)
		if len(b.jobs) == 0 && rows.empty() && failed == nil {
			close(b.done)
			return
		}
		if err = w.do(b, rows, failed != nil); err != nil {
			rows.notWritten(w.s)
		}
	}
	if err == nil {
		w.s.reason.Store(nil)
		w.forget()
	} else {
		w.s.fail(err)
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

// changedRows takes what changed; windows only when they are due.
func (w *writer) changedRows(all bool) *rows {
	now := w.s.options.Now()
	r := &rows{budgets: w.s.budgets.Changed(), usage: w.s.usage.Changed()}
	if all || !now.Before(w.windowsDue) {
		w.windowsDue = now.Add(windowsEvery)
		w.windowDirty.Store(false)
		r.windows = w.s.windows.Changed()
	}
	if now.After(w.pruneDue) && !r.empty() {
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

// attach makes sure of the lock, the connection and, once, the counters.
func (w *writer) attach(ctx context.Context) error {
	if w.tx != nil {
		return nil
	}
	if w.lock == nil {
		f, err := lock(w.s.dir)
		if err != nil {
			return err
		}
		w.lock = f
	}
	pages, err := roomFor(w.s.path, w.s.options.MaxBytes)
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dsn(w.s.path, true, pages))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	w.db, w.pages = db, pages
	if err := w.prepare(ctx); err != nil {
		w.detach()
		if isCorrupt(err) {
			return errors.Join(ErrCorrupt, err)
		}
		return err
	}
	return nil
}

func (w *writer) prepare(ctx context.Context) error {
	c, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	if err := migrate(ctx, c); err != nil {
		return errors.Join(err, c.Close())
	}
	t, err := newTx(ctx, c)
	if err != nil {
		return errors.Join(err, c.Close())
	}
	if !w.s.loaded.Load() {
		if err := load(ctx, c, w.s); err != nil {
			return errors.Join(err, c.Close())
		}
		w.s.loaded.Store(true)
	}
	w.tx = t
	return nil
}

// detach closes the connection. Its errors say nothing that the one that led here
// didn't.
func (w *writer) detach() {
	if w.tx != nil {
		_ = w.tx.close()
		w.tx = nil
	}
	if w.db != nil {
		_ = w.db.Close()
		w.db = nil
	}
}

func (w *writer) finish() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	if w.s.loaded.Load() {
		w.commit(true)
	}
	if f := w.s.reason.Load(); f != nil {
		w.closeErr = unavailable(f.reason, f.err)
	}
	w.closeErr = errors.Join(w.closeErr, w.s.reader.close(), w.release())
}

// release closes the connection and lets the directory go.
func (w *writer) release() error {
	w.detach()
	if w.lock == nil {
		return nil
	}
	err := w.lock.Close()
	w.lock = nil
	return err
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
