package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type audit struct{ s *Store }

func (a audit) Record(ctx context.Context, t tenancy.ID, r storage.AuditRecord) error {
	a.s.unflushed.Store(true)
	return a.s.doOwed(ctx, t, decide(`SELECT enigma.note($1, $2, $3, $4, $5, $6, $7)`,
		r.At.UnixMilli(), []byte(r.Caller), []byte(r.Tool), []byte(r.ParamsHash), []byte(r.Outcome), int64(r.Duration)))
}

const auditColumns = `tenant, at, seq, id::text, caller, tool, params_hash, outcome, duration_ns`

func (a audit) Records(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) ([]storage.AuditRecord, string, error) {
	if err := a.s.admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	after := storage.Position{Updated: time.UnixMilli(math.MaxInt64), Seq: math.MaxInt64}
	if cursor != "" {
		var err error
		if after, err = storage.ParseAuditCursor(t, cursor); err != nil {
			return nil, "", err
		}
	}
	var found []audited
	err := a.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) (err error) {
		found, err = records(ctx, c, tag, `SELECT `+auditColumns+` FROM enigma.audit
			WHERE tenant = $1 AND at >= $2 AND at < $3 AND (at, seq) < ($4, $5) ORDER BY at DESC, seq DESC LIMIT $6`,
			tag, edge(from), edge(to), after.Updated.UnixMilli(), after.Seq, int64(limit)+1)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(found) > limit {
		found = found[:limit]
		last := found[limit-1]
		next = storage.AuditCursor(t, storage.Position{Updated: last.At, Seq: last.seq})
	}
	var told []storage.AuditRecord
	for _, r := range found {
		told = append(told, r.AuditRecord)
	}
	return told, next, nil
}

// edge is the first whole millisecond that isn't before t.
func edge(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// audited is a record and what orders those of one time.
type audited struct {
	storage.AuditRecord
	seq int64
	id  string
}

// records reads rows of auditColumns.
func records(ctx context.Context, c *pgx.Conn, tag, sql string, args ...any) ([]audited, error) {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	var found []audited
	var got string
	var at int64
	var caller, tool, hash, outcome []byte
	var r audited
	_, err = pgx.ForEachRow(rows, []any{&got, &at, &r.seq, &r.id, &caller, &tool, &hash, &outcome, (*int64)(&r.Duration)}, func() error {
		r.At, r.Caller, r.Tool, r.ParamsHash, r.Outcome = fromMillis(at), string(caller), string(tool), string(hash), string(outcome)
		found = append(found, r)
		return mine(tag, got)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}
