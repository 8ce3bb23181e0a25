package embedded

import (
	"context"
	"database/sql"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// expireAtOnce bounds the sessions that one transaction deletes, so that expiry never
// holds up a chat for long.
const expireAtOnce = 100

type sessions struct{ s *Store }

func (s sessions) Append(ctx context.Context, t tenancy.ID, o storage.Owner, id string, msgs []storage.Message, keep storage.Keep) error {
	if err := s.s.admit(ctx, t); err != nil {
		return err
	}
	if len(msgs) == 0 {
		return nil
	}
	var a appended
	return s.s.writer.write(ctx, &job{
		apply: func(tx *tx) (err error) {
			a, err = tx.append(t.Identity(), o.Caller, id, msgs, keep)
			return err
		},
		committed: func() { s.s.recent.appended(recentName{t.Identity(), o.Caller, id}, a) },
	})
}

func (t *tx) append(tenant, caller, id string, msgs []storage.Message, keep storage.Keep) (a appended, err error) {
	updated := msgs[0].At
	for _, m := range msgs {
		if m.At.After(updated) {
			updated = m.At
		}
	}
	var move int64
	err = t.addSession.QueryRowContext(context.Background(), tenant, id, caller, msgs[0].At.UnixMilli(), updated.UnixMilli(),
		len(msgs), max(0, keep.MaxMessages)).Scan(&a.session, &a.first, &a.next, &move)
	if err != nil {
		return a, err
	}
	at := a.next - int64(len(msgs))
	if skip := a.first - at; skip > 0 {
		msgs, at = msgs[skip:], a.first
	}
	a.messages = stored(msgs, move)
	msgs = a.messages
	for len(msgs) > 0 {
		n := min(2, len(msgs))
		args := make([]any, 0, 14)
		for i, m := range msgs[:n] {
			args = append(args, a.session<<32+at+int64(i), tenant, m.Role, m.Content, m.At.UnixMilli(), m.Tokens, marks(m))
		}
		stmt := t.addTurn
		if n == 1 {
			stmt = t.addMessage
		}
		if err := do(stmt, args...); err != nil {
			return a, err
		}
		msgs, at = msgs[n:], at+int64(n)
	}
	if a.first > 0 {
		err = do(t.dropMessages, a.session<<32, a.session<<32+a.first)
	}
	return a, err
}

// Bits of the column "partial", which once held the first alone.
const (
	markPartial = 1 << iota
	markUntrusted
)

func marks(m storage.Message) (n int64) {
	if m.Partial {
		n |= markPartial
	}
	if m.Untrusted {
		n |= markUntrusted
	}
	return n
}

func (s sessions) Delete(ctx context.Context, t tenancy.ID, o storage.Owner, id string) error {
	if err := s.s.admit(ctx, t); err != nil {
		return err
	}
	var ids []int64
	return s.s.writer.write(ctx, &job{
		apply: func(tx *tx) (err error) {
			if o.All {
				ids, err = tx.drop(tx.findAll, t.Identity(), id)
			} else {
				ids, err = tx.drop(tx.findOne, t.Identity(), id, o.Caller)
			}
			return err
		},
		committed: func() { s.s.recent.dropped(ids) },
	})
}

func (s sessions) Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return 0, err
	}
	// updated has whole milliseconds: those below the next whole one lie before.
	edge := before.Add(time.Millisecond - 1).UnixMilli()
	return s.removeAll(ctx, func(tx *tx) ([]int64, error) {
		return tx.drop(tx.findOld, t.Identity(), edge, expireAtOnce)
	})
}

// removeAll removes sessions a transaction at a time, until some names fewer than
// expireAtOnce.
func (s sessions) removeAll(ctx context.Context, some func(*tx) ([]int64, error)) (removed int, err error) {
	for {
		var ids []int64
		err := s.s.writer.write(ctx, &job{
			apply: func(tx *tx) (err error) {
				ids, err = some(tx)
				return err
			},
			committed: func() { s.s.recent.dropped(ids) },
		})
		if err != nil {
			return removed, err
		}
		removed += len(ids)
		if len(ids) < expireAtOnce {
			return removed, nil
		}
	}
}

// drop deletes the sessions that find names, and their messages.
func (t *tx) drop(find *sql.Stmt, args ...any) (ids []int64, err error) {
	r, err := find.QueryContext(context.Background(), args...)
	if err != nil {
		return nil, err
	}
	err = eachRow(r, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := do(t.dropMessages, id<<32, (id+1)<<32); err != nil {
			return nil, err
		}
		if err := do(t.dropSession, id); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (s sessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return nil, err
	}
	if page.Limit < 1 {
		return nil, storage.ErrBadLimit
	}
	// A session of the caller's own comes first with Owner.All too.
	if found, ok := s.s.recent.history(recentName{t.Identity(), o.Caller, id}, page); ok {
		return found, nil
	}
	return s.s.reader.history(ctx, t, o, id, page)
}

func (s sessions) List(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, cursor string) ([]storage.SessionInfo, string, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	after := endOfTime
	if cursor != "" {
		var err error
		if after, err = storage.ParseCursor(t, o, cursor); err != nil {
			return nil, "", err
		}
	}
	return s.s.reader.list(ctx, t, o, limit, after)
}
