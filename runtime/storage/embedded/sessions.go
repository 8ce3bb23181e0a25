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
	return s.s.writer.write(ctx, func(tx *tx) error {
		return tx.append(t.Identity(), o.Caller, id, msgs, keep)
	})
}

func (t *tx) append(tenant, caller, id string, msgs []storage.Message, keep storage.Keep) error {
	updated := msgs[0].At
	for _, m := range msgs {
		if m.At.After(updated) {
			updated = m.At
		}
	}
	var session, first, next, move int64
	err := t.addSession.QueryRowContext(context.Background(), tenant, id, caller, msgs[0].At.UnixMilli(), updated.UnixMilli(),
		len(msgs), max(0, keep.MaxMessages)).Scan(&session, &first, &next, &move)
	if err != nil {
		return err
	}
	at := next - int64(len(msgs))
	if skip := first - at; skip > 0 {
		msgs, at = msgs[skip:], first
	}
	for len(msgs) > 0 {
		n := min(2, len(msgs))
		args := make([]any, 0, 14)
		for i, m := range msgs[:n] {
			args = append(args, session<<32+at+int64(i), tenant, m.Role, m.Content, m.At.UnixMilli()+move, m.Tokens, m.Partial)
		}
		stmt := t.addTurn
		if n == 1 {
			stmt = t.addMessage
		}
		if err := do(stmt, args...); err != nil {
			return err
		}
		msgs, at = msgs[n:], at+int64(n)
	}
	if first == 0 {
		return nil
	}
	return do(t.dropMessages, session<<32, session<<32+first)
}

func (s sessions) Delete(ctx context.Context, t tenancy.ID, o storage.Owner, id string) error {
	if err := s.s.admit(ctx, t); err != nil {
		return err
	}
	return s.s.writer.write(ctx, func(tx *tx) error {
		if o.All {
			_, err := tx.drop(tx.findAll, t.Identity(), id)
			return err
		}
		_, err := tx.drop(tx.findOne, t.Identity(), id, o.Caller)
		return err
	})
}

func (s sessions) Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return 0, err
	}
	// updated has whole milliseconds: those below the next whole one lie before.
	edge := before.Add(time.Millisecond - 1).UnixMilli()
	removed := 0
	for {
		n := 0
		err := s.s.writer.write(ctx, func(tx *tx) (err error) {
			n, err = tx.drop(tx.findOld, t.Identity(), edge, expireAtOnce)
			return err
		})
		if err != nil {
			return removed, err
		}
		removed += n
		if n < expireAtOnce {
			return removed, nil
		}
	}
}

// drop deletes the sessions that find names, and their messages.
func (t *tx) drop(find *sql.Stmt, args ...any) (int, error) {
	r, err := find.QueryContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	var ids []int64
	err = eachRow(r, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := do(t.dropMessages, id<<32, (id+1)<<32); err != nil {
			return 0, err
		}
		if err := do(t.dropSession, id); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

func (s sessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return nil, err
	}
	if page.Limit < 1 {
		return nil, storage.ErrBadLimit
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
