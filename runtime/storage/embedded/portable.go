package embedded

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// dumpAtOnce is how many rows a dump reads before it gives them.
const dumpAtOnce = 64

type portable struct{ s *Store }

// Parts of a dump, in their order; a position is a part and a place in it.
const (
	partSessions = iota
	partBudgets
	partUsage
	partAudit
	partDocuments
)

// dump gives one tenant's records from a position on. It reads what is committed and
// what waits to be, so that a store which can't be written any more can be moved.
type dump struct {
	s     *Store
	ctx   context.Context
	t     tenancy.ID
	yield func(storage.Record, string) error
}

func (p portable) Dump(ctx context.Context, t tenancy.ID, from string, yield func(storage.Record, string) error) error {
	if err := p.s.admit(ctx, t); err != nil {
		return err
	}
	d := &dump{p.s, ctx, t, yield}
	return storage.DumpFrom(t, from, d.sessions, d.budgets, d.usage, d.audit, d.documents)
}

func (d *dump) give(r storage.Record, part byte, place []byte) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	return d.yield(r, storage.PartPosition(d.t, part, place))
}

// number is the place after a record with a number; 0 is the beginning.
func number(place []byte) int64 {
	n, _ := binary.Varint(place)
	return n
}

// sessions go by their number: one that is replaced while a dump runs may be missed.
func (d *dump) sessions(place []byte) error {
	for after := number(place); ; {
		page, err := d.s.reader.sessionsAfter(d.ctx, d.t, after, dumpAtOnce)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, s := range page {
			after = s.id
			if s.Messages, err = d.s.reader.messages(d.ctx, d.t, s.id); err != nil {
				return err
			}
			if len(s.Messages) == 0 {
				continue // deleted meanwhile
			}
			if err := d.give(storage.Record{Session: &s.SessionRecord}, partSessions, binary.AppendVarint(nil, s.id)); err != nil {
				return err
			}
		}
	}
}

func (d *dump) budgets(place []byte) error {
	for _, b := range d.s.budgets.All(d.t) {
		if place != nil && b.Name <= string(place) {
			continue
		}
		r := b.Record()
		if err := d.give(storage.Record{Budget: &r}, partBudgets, []byte(b.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *dump) usage(place []byte) error {
	after, resumed := ledger.ParseBucketPlace(place)
	for from := after.Minute; ; {
		minute, ok, err := d.nextMinute(from)
		if err != nil || !ok {
			return err
		}
		from = minute.Add(time.Minute)
		buckets, err := usage{d.s}.Sum(d.ctx, d.t, minute, from)
		if err != nil {
			return err
		}
		for _, b := range buckets {
			if resumed && ledger.CompareBuckets(b, after) <= 0 {
				continue
			}
			if err := d.give(storage.Record{Usage: &b}, partUsage, ledger.BucketPlace(b)); err != nil {
				return err
			}
		}
	}
}

// nextMinute is the first, not before from, with usage in memory or in the file.
func (d *dump) nextMinute(from time.Time) (minute time.Time, ok bool, err error) {
	minute, ok = d.s.usage.Next(d.t, from)
	err = d.s.reader.each(d.ctx, func(r *sql.Rows) error {
		var stored int64
		if err := r.Scan(&stored); err != nil {
			return err
		}
		if at := time.Unix(stored*60, 0).UTC(); !ok || at.Before(minute) {
			minute, ok = at, true
		}
		return nil
	}, `SELECT minute FROM usage WHERE tenant = ? AND minute >= ? ORDER BY minute LIMIT 1`, d.t.Identity(), firstMinute(from))
	return minute, ok, err
}

// audit gives the file's records and then those that wait, whose numbers are greater.
func (d *dump) audit(place []byte) error {
	waiting := d.s.audit.of(d.t.Identity())
	for after, more := number(place), true; more; {
		page, err := d.s.reader.auditAfter(d.ctx, d.t, after, dumpAtOnce)
		if err != nil {
			return err
		}
		if more = len(page) > 0; !more {
			page = waiting
		}
		for _, a := range page {
			if a.id <= after {
				continue // written since it waited
			}
			after = a.id
			if err := d.give(storage.Record{Audit: &a.AuditRecord}, partAudit, binary.AppendVarint(nil, a.id)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dump) documents(place []byte) error {
	return storage.DumpDocuments(d.ctx, documents{d.s}, d.t, place, func(r storage.Record, next []byte) error {
		return d.give(r, partDocuments, next)
	})
}

type storedSession struct {
	id int64
	storage.SessionRecord
}

func (r *reader) sessionsAfter(ctx context.Context, t tenancy.ID, id int64, limit int) (found []storedSession, err error) {
	err = r.each(ctx, func(rows *sql.Rows) error {
		var s storedSession
		var created int64
		if err := rows.Scan(&s.id, &s.Caller, &s.ID, &created); err != nil {
			return err
		}
		s.Created = time.UnixMilli(created).UTC()
		found = append(found, s)
		return nil
	}, `SELECT id, caller, session, created FROM sessions WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?`, t.Identity(), id, limit)
	return found, err
}

// messages of a session, oldest first.
func (r *reader) messages(ctx context.Context, t tenancy.ID, session int64) (found []storage.Message, err error) {
	err = r.each(ctx, func(rows *sql.Rows) error {
		m, err := scanMessage(rows, t)
		found = append(found, m)
		return err
	}, `SELECT tenant, role, content, at, tokens, partial FROM messages WHERE id >= ?1 << 32 AND id < (?1 + 1) << 32 ORDER BY id`, session)
	return found, err
}

// Load puts records into the file in one transaction, and what is counted into memory
// after it.
func (p portable) Load(ctx context.Context, t tenancy.ID, records []storage.Record) error {
	if err := p.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.ValidateAll(records); err != nil {
		return err
	}
	var dropped []int64
	var refused error
	err := p.s.writer.write(ctx, &job{
		apply: func(tx *tx) (err error) {
			dropped, refused, err = tx.loadAll(p.s, t.Identity(), records)
			return err
		},
		committed: func() {
			if refused != nil {
				return
			}
			p.s.recent.dropped(dropped)
			p.s.changes.tell(t.Identity())
			for _, r := range records {
				if r.Budget != nil {
					p.s.budgets.Put(t, *r.Budget)
				} else if r.Usage != nil {
					p.s.usage.Put(t, *r.Usage)
				}
			}
		},
	})
	if err == nil {
		err = refused
	}
	return err
}

// loadAll takes all records in or, if one is refused, none.
func (t *tx) loadAll(s *Store, tenant string, records []storage.Record) (dropped []int64, refused, err error) {
	if _, err := t.do(`SAVEPOINT load`); err != nil {
		return nil, nil, err
	}
	for _, r := range records {
		var ids []int64
		ids, refused, err = t.load(s, tenant, r)
		if err != nil {
			return nil, nil, err
		}
		if refused != nil {
			if _, err := t.do(`ROLLBACK TO load`); err != nil {
				return nil, nil, err
			}
			break
		}
		dropped = append(dropped, ids...)
	}
	_, err = t.do(`RELEASE load`)
	return dropped, refused, err
}

func (t *tx) load(s *Store, tenant string, r storage.Record) (dropped []int64, refused, err error) {
	switch {
	case r.Session != nil:
		dropped, err = t.loadSession(tenant, r.Session)
	case r.Budget != nil:
		err = do(t.putBudget, tenant, r.Budget.Name, r.Budget.Used, 0, millis(r.Budget.Until))
	case r.Usage != nil:
		err = t.writeBucket(tenant, *r.Usage)
	case r.Audit != nil:
		err = t.loadAudit(auditRow{tenant, s.audit.number(), *r.Audit})
	case r.Passages != nil:
		refused, err = t.loadPassages(tenant, r.Passages, s.options.Now())
	case r.Document != nil:
		refused, err = t.loadDocument(tenant, *r.Document, s.options.Now())
	}
	return dropped, refused, err
}

func (t *tx) loadSession(tenant string, r *storage.SessionRecord) (dropped []int64, err error) {
	if dropped, err = t.drop(t.findOne, tenant, r.ID, r.Caller); err != nil {
		return nil, err
	}
	if _, err = t.append(tenant, r.Caller, r.ID, r.Messages, storage.Keep{}); err != nil {
		return nil, err
	}
	_, err = t.do(`UPDATE sessions SET created = ? WHERE tenant = ? AND session = ? AND caller = ?`, r.Created.UnixMilli(), tenant, r.ID, r.Caller)
	return dropped, err
}

// loadAudit adds a record unless the file has an equal one.
func (t *tx) loadAudit(a auditRow) error {
	_, err := t.conn.ExecContext(context.Background(), `INSERT INTO audit (`+auditColumns+`) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
		WHERE NOT EXISTS (SELECT 1 FROM audit WHERE tenant = ?1 AND at = ?3 AND caller = ?4 AND tool = ?5
		AND params_hash = ?6 AND outcome = ?7 AND duration_ns = ?8)`,
		a.tenant, a.id, a.At.UnixMilli(), a.Caller, a.Tool, a.ParamsHash, a.Outcome, int64(a.Duration))
	return err
}

// Erase forgets what memory has first: no commit that begins after it can bring it
// back. Sessions go a hundred a transaction, since they may be many.
func (p portable) Erase(ctx context.Context, t tenancy.ID) (int, error) {
	if err := p.s.admit(ctx, t); err != nil {
		return 0, err
	}
	p.s.windows.Erase(t)
	p.s.budgets.Erase(t)
	p.s.usage.Erase(t)
	p.s.audit.erase(t.Identity())
	p.s.cache.Clear(t)
	removed, err := sessions(p).removeAll(ctx, func(tx *tx) ([]int64, error) {
		return tx.drop(tx.findAny, t.Identity(), expireAtOnce)
	})
	if err != nil {
		return removed, err
	}
	err = p.s.writer.write(ctx, &job{apply: func(tx *tx) error { return tx.eraseCounters(t.Identity()) }})
	if err != nil {
		return removed, err
	}
	return removed, p.eraseDocuments(ctx, t)
}

// eraseDocuments returns when nothing of them lies in the file's tables.
func (p portable) eraseDocuments(ctx context.Context, t tenancy.ID) error {
	for more := true; more; {
		err := p.s.writer.write(ctx, &job{
			apply: func(tx *tx) (err error) {
				more, err = tx.eraseSome(t.Identity())
				return err
			},
			committed: func() { p.s.changes.tell(t.Identity()) },
		})
		if err != nil {
			return err
		}
	}
	for left := true; left; {
		err := p.s.writer.write(ctx, &job{apply: func(tx *tx) error {
			err := tx.sweep()
			left = tx.dropping
			return err
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) eraseCounters(tenant string) error {
	for _, erase := range []string{
		`DELETE FROM windows WHERE tenant = ?`, `DELETE FROM budgets WHERE tenant = ?`,
		`DELETE FROM usage WHERE tenant = ?`, `DELETE FROM audit WHERE tenant = ?`,
	} {
		if _, err := t.conn.ExecContext(context.Background(), erase, tenant); err != nil {
			return fmt.Errorf("erasing counters: %w", err)
		}
	}
	return nil
}
