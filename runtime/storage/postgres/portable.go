package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// dumpAtOnce is how many records are read at once.
const dumpAtOnce = 100

type portable struct{ s *Store }

// place is the last record that was given: the part it belongs to and its key there.
type place struct {
	Part  int      `json:"part"`
	Names [][]byte `json:"names,omitempty"`
	At    int64    `json:"at,omitempty"`
	Seq   int64    `json:"seq,omitempty"`
	ID    string   `json:"id,omitempty"`
}

// placed is a record and its place.
type placed struct {
	storage.Record
	place
}

// parts of a dump, in their order. Each gives up to dumpAtOnce records after a place, the
// zero one being before all.
var parts = []func(ctx context.Context, c *pgx.Conn, tag string, after *place) ([]placed, error){dumpSessions, dumpBudgets, dumpUsage, dumpAudit}

// partDocuments comes after them.
var partDocuments = len(parts)

func (p portable) Dump(ctx context.Context, t tenancy.ID, from string, yield func(storage.Record, string) error) error {
	if err := p.s.admit(ctx, t); err != nil {
		return err
	}
	part, after := 0, (*place)(nil)
	if from != "" {
		b, err := storage.ParseDumpPosition(t, from)
		if err != nil {
			return err
		}
		after = &place{}
		if json.Unmarshal(b, after) != nil || after.Part < 0 || after.Part > partDocuments {
			return storage.ErrBadCursor
		}
		part = after.Part
	}
	if part == partDocuments {
		return p.dumpDocuments(ctx, t, after, yield)
	}
	for ; part < len(parts); part, after = part+1, nil {
		for {
			var found []placed
			err := p.s.doLong(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) (err error) {
				found, err = parts[part](ctx, c, tag, after)
				return err
			})
			if err != nil {
				return err
			}
			for _, r := range found {
				if err := ctx.Err(); err != nil {
					return err
				}
				r.Part = part
				b, err := json.Marshal(r.place)
				if err != nil {
					return fmt.Errorf("writing a position: %w", err)
				}
				if err := yield(r.Record, storage.DumpPosition(t, b)); err != nil {
					return err
				}
			}
			if len(found) < dumpAtOnce {
				break
			}
			after = &found[len(found)-1].place
		}
	}
	return p.dumpDocuments(ctx, t, nil, yield)
}

// dumpDocuments is the last part, and reads by itself.
func (p portable) dumpDocuments(ctx context.Context, t tenancy.ID, after *place, yield func(storage.Record, string) error) error {
	var from []byte
	if after != nil {
		if len(after.Names) != 1 {
			return storage.ErrBadCursor
		}
		from = after.Names[0]
	}
	return storage.DumpDocuments(ctx, documents(p), t, from, func(r storage.Record, next []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := json.Marshal(place{Part: partDocuments, Names: [][]byte{next}})
		if err != nil {
			return fmt.Errorf("writing a position: %w", err)
		}
		return yield(r, storage.DumpPosition(t, b))
	})
}

func dumpSessions(ctx context.Context, c *pgx.Conn, tag string, after *place) ([]placed, error) {
	sql, args := `SELECT tenant, session, caller, id::text, created FROM enigma.sessions WHERE tenant = $1`, []any{tag}
	if after != nil {
		if len(after.Names) != 2 {
			return nil, storage.ErrBadCursor
		}
		sql, args = sql+` AND (session, caller) > ($2, $3)`, append(args, after.Names[0], after.Names[1])
	}
	rows, err := c.Query(ctx, sql+fmt.Sprintf(` ORDER BY session, caller LIMIT %d`, dumpAtOnce), args...)
	if err != nil {
		return nil, err
	}
	var found []placed
	var ids []string
	var got, id string
	var session, caller []byte
	var created int64
	_, err = pgx.ForEachRow(rows, []any{&got, &session, &caller, &id, &created}, func() error {
		r := &storage.SessionRecord{Caller: string(caller), ID: string(session), Created: fromMillis(created)}
		found = append(found, placed{storage.Record{Session: r}, place{Names: [][]byte{[]byte(r.ID), []byte(r.Caller)}}})
		ids = append(ids, id)
		return mine(tag, got)
	})
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		found[i].Session.Messages, err = messages(ctx, c, tag, `SELECT `+messageColumns+` FROM enigma.messages m
			WHERE m.tenant = $1 AND m.session = $2::text::uuid ORDER BY m.n`, tag, id)
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func dumpBudgets(ctx context.Context, c *pgx.Conn, tag string, after *place) ([]placed, error) {
	sql, args := `SELECT tenant, name, least(9223372036854775807, used::numeric + reserved)::bigint, until FROM enigma.budgets WHERE tenant = $1`, []any{tag}
	if after != nil {
		if len(after.Names) != 1 {
			return nil, storage.ErrBadCursor
		}
		sql, args = sql+` AND name > $2`, append(args, after.Names[0])
	}
	rows, err := c.Query(ctx, sql+fmt.Sprintf(` ORDER BY name LIMIT %d`, dumpAtOnce), args...)
	if err != nil {
		return nil, err
	}
	var found []placed
	var got string
	var name []byte
	var used, until int64
	_, err = pgx.ForEachRow(rows, []any{&got, &name, &used, &until}, func() error {
		r := &storage.BudgetRecord{Name: string(name), Used: used}
		if until != 0 {
			r.Until = fromMillis(until)
		}
		found = append(found, placed{storage.Record{Budget: r}, place{Names: [][]byte{[]byte(r.Name)}}})
		return mine(tag, got)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func dumpUsage(ctx context.Context, c *pgx.Conn, tag string, after *place) ([]placed, error) {
	sql, args := `SELECT `+bucketColumns+` FROM enigma.usage WHERE tenant = $1`, []any{tag}
	if after != nil {
		if len(after.Names) != 3 {
			return nil, storage.ErrBadCursor
		}
		sql, args = sql+` AND (minute, model, feature, outcome) > ($2, $3, $4, $5)`, append(args, after.At, after.Names[0], after.Names[1], after.Names[2])
	}
	all, err := buckets(ctx, c, tag, sql+fmt.Sprintf(` ORDER BY minute, model, feature, outcome LIMIT %d`, dumpAtOnce), args...)
	if err != nil {
		return nil, err
	}
	var found []placed
	for _, b := range all {
		found = append(found, placed{storage.Record{Usage: &b}, place{
			At: minuteOf(b.Minute), Names: [][]byte{[]byte(b.Model), []byte(b.Feature), []byte(b.Outcome)},
		}})
	}
	return found, nil
}

func dumpAudit(ctx context.Context, c *pgx.Conn, tag string, after *place) ([]placed, error) {
	sql, args := `SELECT `+auditColumns+` FROM enigma.audit WHERE tenant = $1`, []any{tag}
	if after != nil {
		sql, args = sql+` AND (at, seq, id) > ($2, $3, $4::text::uuid)`, append(args, after.At, after.Seq, after.ID)
	}
	all, err := records(ctx, c, tag, sql+fmt.Sprintf(` ORDER BY at, seq, audit.id LIMIT %d`, dumpAtOnce), args...)
	if err != nil {
		return nil, err
	}
	var found []placed
	for _, r := range all {
		found = append(found, placed{storage.Record{Audit: &r.AuditRecord}, place{At: r.At.UnixMilli(), Seq: r.seq, ID: r.id}})
	}
	return found, nil
}

func (p portable) Load(ctx context.Context, t tenancy.ID, records []storage.Record) error {
	if err := p.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.ValidateAll(records); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	err := p.s.doLong(ctx, t, repeats, func(ctx context.Context, c *pgx.Conn, tag string) error {
		// What is refused in the middle undoes what came before it.
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			batch := &pgx.Batch{}
			for _, r := range records {
				if err := p.queue(batch, tag, r); err != nil {
					return err
				}
			}
			return tx.SendBatch(ctx, batch).Close()
		})
	})
	if errors.Is(err, storage.ErrBadDocument) {
		return fmt.Errorf("%w: passages of one version have vectors of different lengths", storage.ErrBadRecord)
	}
	if err != nil {
		return err
	}
	p.s.sweepSoon(t)
	return nil
}

// queue adds what replaces one record.
func (p portable) queue(batch *pgx.Batch, tag string, r storage.Record) error {
	switch {
	case r.Session != nil:
		s := r.Session
		batch.Queue(`SELECT enigma.drop_sessions($1, $2, $3, false)`, tag, []byte(s.ID), []byte(s.Caller))
		batch.Queue(appendSQL, appendArgs(tag, s.Caller, s.ID, s.Messages, 0)...)
		batch.Queue(`UPDATE enigma.sessions SET created = $4 WHERE tenant = $1 AND session = $2 AND caller = $3`,
			tag, []byte(s.ID), []byte(s.Caller), s.Created.UnixMilli())
	case r.Budget != nil:
		b := r.Budget
		batch.Queue(`INSERT INTO enigma.budgets (tenant, name, used, reserved, until) VALUES ($1, $2, $3, 0, $4)
			ON CONFLICT (tenant, name) DO UPDATE SET used = excluded.used, reserved = 0, until = excluded.until`, tag, []byte(b.Name), b.Used, millis(b.Until))
	case r.Usage != nil:
		u := r.Usage
		batch.Queue(`INSERT INTO enigma.usage (`+bucketColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (tenant, minute, model, feature, outcome) DO UPDATE SET calls = excluded.calls,
			tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out, micro_usd = excluded.micro_usd, latency_ns = excluded.latency_ns`,
			tag, minuteOf(u.Minute), []byte(u.Model), []byte(u.Feature), []byte(u.Outcome), u.Calls, u.TokensIn, u.TokensOut, u.MicroUSD, int64(u.Latency))
	case r.Audit != nil:
		a := r.Audit
		batch.Queue(`INSERT INTO enigma.audit (tenant, at, caller, tool, params_hash, outcome, duration_ns)
			SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM enigma.audit WHERE tenant = $1 AND at = $2
			AND caller = $3 AND tool = $4 AND params_hash = $5 AND outcome = $6 AND duration_ns = $7)`,
			tag, a.At.UnixMilli(), []byte(a.Caller), []byte(a.Tool), []byte(a.ParamsHash), []byte(a.Outcome), int64(a.Duration))
	case r.Passages != nil:
		passages, err := r.Passages.Unpack()
		if err != nil {
			return err
		}
		return queueStage(batch, tag, r.Passages.Doc, -r.Passages.Version, p.s.now(), passages)
	case r.Document != nil:
		return queuePublish(batch, tag, *r.Document, -r.Document.Version, r.Document.Created)
	}
	return nil
}

func (p portable) Erase(ctx context.Context, t tenancy.ID) (int, error) {
	total := 0
	for more := true; more; {
		var n int
		err := p.s.doLong(ctx, t, repeats, func(ctx context.Context, c *pgx.Conn, tag string) error {
			return c.QueryRow(ctx, `SELECT sessions, more FROM enigma.erase($1, $2)`, tag, pruneAtOnce).Scan(&n, &more)
		})
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}
