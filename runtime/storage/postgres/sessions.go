package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// expireAtOnce bounds the sessions that one transaction deletes, and pruneAtOnce the
	// other rows of each table, so that expiry never holds up a chat for long.
	expireAtOnce = 100
	pruneAtOnce  = 1000
	// pruneRounds bounds what one Expire prunes; the next goes on.
	pruneRounds = 50
)

type sessions struct{ s *Store }

const appendSQL = `SELECT enigma.append($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func (s sessions) Append(ctx context.Context, t tenancy.ID, o storage.Owner, id string, msgs []storage.Message, keep storage.Keep) error {
	if len(msgs) == 0 {
		return s.s.admit(ctx, t)
	}
	args := appendArgs(statestore.Tag(t.Identity()), o.Caller, id, msgs, keep.MaxMessages)
	return s.s.do(ctx, t, counts, decide(appendSQL, args[1:]...))
}

// appendArgs are the arguments of enigma.append.
func appendArgs(tag, caller, id string, msgs []storage.Message, keep int) []any {
	n := len(msgs)
	roles, contents := make([][]byte, n), make([][]byte, n)
	ats, tokens, partials := make([]int64, n), make([]int64, n), make([]bool, n)
	for i, m := range msgs {
		roles[i], contents[i] = []byte(m.Role), []byte(m.Content)
		ats[i], tokens[i], partials[i] = m.At.UnixMilli(), tokensOf(m), m.Partial
	}
	return []any{tag, []byte(caller), []byte(id), roles, contents, ats, tokens, partials, int64(max(0, keep))}
}

func (s sessions) Delete(ctx context.Context, t tenancy.ID, o storage.Owner, id string) error {
	return s.s.do(ctx, t, repeats, decide(`SELECT enigma.drop_sessions($1, $2, $3, $4)`, []byte(id), []byte(o.Caller), o.All))
}

// Expire also prunes what has run out by now of all that the tenant has.
func (s sessions) Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error) {
	// updated has whole milliseconds: those below the next whole one lie before.
	edge := before.Add(time.Millisecond - 1).UnixMilli()
	removed := 0
	for {
		n, err := s.batch(ctx, t, `SELECT enigma.expire($1, $2, $3)`, edge, expireAtOnce)
		removed += n
		if err != nil {
			return removed, err
		}
		if n < expireAtOnce {
			break
		}
	}
	now := s.s.now()
	for range pruneRounds {
		n, err := s.batch(ctx, t, `SELECT enigma.prune($1, $2, $3, $4, $5)`,
			now.UnixMilli(), minuteOf(now.Add(-storage.UsageKept)), now.Add(-storage.AuditKept).UnixMilli(), pruneAtOnce)
		if err != nil {
			return removed, err
		}
		if n < pruneAtOnce {
			break
		}
	}
	return removed, s.pruneDocuments(ctx, t, now)
}

// pruneDocuments also ends the sweep that a crash cut off.
func (s sessions) pruneDocuments(ctx context.Context, t tenancy.ID, now time.Time) error {
	for range pruneRounds {
		n, err := s.batch(ctx, t, `SELECT enigma.prune_documents($1, $2, $3, $4, $5)`, now.Add(-stagedFor).UnixMilli(),
			now.Add(-storage.TombstonesKept).UnixMilli(), now.Add(-storage.JobsKept).UnixMilli(), pruneAtOnce)
		if err != nil {
			return err
		}
		if n < pruneAtOnce {
			break
		}
	}
	s.s.sweepSoon(t)
	return nil
}

// batch runs a function that tells how many rows it removed. Tried again, it tells of what
// the last try removed.
func (s sessions) batch(ctx context.Context, t tenancy.ID, sql string, args ...any) (n int, err error) {
	err = s.s.doLong(ctx, t, repeats, func(ctx context.Context, c *pgx.Conn, tag string) error {
		return c.QueryRow(ctx, sql, append([]any{tag}, args...)...).Scan(&n)
	})
	return n, err
}

const (
	messageColumns = `m.tenant, m.role, m.content, m.at, m.tokens, m.partial`
	ownHistory     = `SELECT ` + messageColumns + ` FROM enigma.messages m WHERE m.tenant = $1 AND m.session =
		(SELECT s.id FROM enigma.sessions s WHERE s.tenant = $1 AND s.session = $2 AND s.caller = $3)
		AND m.at < $4 ORDER BY m.n DESC LIMIT $5`
	anyHistory = `SELECT ` + messageColumns + ` FROM enigma.messages m WHERE m.tenant = $1 AND m.session =
		(SELECT s.id FROM enigma.sessions s WHERE s.tenant = $1 AND s.session = $2
			ORDER BY (s.caller = $3) DESC, s.updated DESC, s.seq DESC LIMIT 1)
		AND m.at < $4 ORDER BY m.n DESC LIMIT $5`
)

func (s sessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return nil, err
	}
	if page.Limit < 1 {
		return nil, storage.ErrBadLimit
	}
	edge := int64(math.MaxInt64)
	if !page.Before.IsZero() {
		edge = page.Before.Add(time.Millisecond - 1).UnixMilli()
	}
	sql := ownHistory
	if o.All {
		sql = anyHistory
	}
	var found []storage.Message
	err := s.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) (err error) {
		found, err = messages(ctx, c, tag, sql, tag, []byte(id), []byte(o.Caller), edge, int64(page.Limit))
		return err
	})
	return found, err
}

// tokensOf is the column "tokens": the count, or below 0 its complement for an untrusted
// message. The column was there before that mark, and pods of several versions share it.
func tokensOf(m storage.Message) int64 {
	if m.Untrusted {
		return ^int64(m.Tokens)
	}
	return int64(m.Tokens)
}

// messages reads rows of messageColumns.
func messages(ctx context.Context, c *pgx.Conn, tag, sql string, args ...any) ([]storage.Message, error) {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	var found []storage.Message
	var got string
	var m storage.Message
	var role, content []byte
	var at, tokens int64
	_, err = pgx.ForEachRow(rows, []any{&got, &role, &content, &at, &tokens, &m.Partial}, func() error {
		if m.Untrusted = tokens < 0; m.Untrusted {
			tokens = ^tokens
		}
		m.Role, m.Content, m.At, m.Tokens = string(role), string(content), fromMillis(at), int(tokens)
		found = append(found, m)
		return mine(tag, got)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

const (
	infoColumns = `tenant, seq, session, created, updated, next - first`
	ownList     = `SELECT ` + infoColumns + ` FROM enigma.sessions
		WHERE tenant = $1 AND caller_hash = $2 AND (updated, seq) < ($3, $4) ORDER BY updated DESC, seq DESC LIMIT $5`
	anyList = `SELECT ` + infoColumns + ` FROM enigma.sessions
		WHERE tenant = $1 AND $2::bytea IS NOT NULL AND (updated, seq) < ($3, $4) ORDER BY updated DESC, seq DESC LIMIT $5`
)

func (s sessions) List(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, cursor string) ([]storage.SessionInfo, string, error) {
	if err := s.s.admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	after := storage.Position{Updated: time.UnixMilli(math.MaxInt64), Seq: math.MaxInt64}
	if cursor != "" {
		var err error
		if after, err = storage.ParseCursor(t, o, cursor); err != nil {
			return nil, "", err
		}
	}
	sql := ownList
	if o.All {
		sql = anyList
	}
	var found []storage.SessionInfo
	var at []storage.Position
	err := s.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		// One row more than asked for tells whether there is a next page.
		rows, err := c.Query(ctx, sql, tag, digest(o.Caller), after.Updated.UnixMilli(), after.Seq, int64(limit)+1)
		if err != nil {
			return err
		}
		found, at = nil, nil
		var got string
		var seq, created, updated int64
		var id []byte
		var i storage.SessionInfo
		_, err = pgx.ForEachRow(rows, []any{&got, &seq, &id, &created, &updated, &i.Messages}, func() error {
			i.ID, i.Created, i.Updated = string(id), fromMillis(created), fromMillis(updated)
			found, at = append(found, i), append(at, storage.Position{Updated: i.Updated, Seq: seq})
			return mine(tag, got)
		})
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if len(found) <= limit {
		return found, "", nil
	}
	return found[:limit], storage.Cursor(t, o, at[limit-1]), nil
}

func fromMillis(at int64) time.Time { return time.UnixMilli(at).UTC() }

// millis is 0 for no time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
