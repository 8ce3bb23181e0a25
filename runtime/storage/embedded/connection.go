package embedded

import (
	"context"
	"database/sql"
	"errors"
)

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
