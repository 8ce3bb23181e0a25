package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
)

const (
	// usageInMemory is how old a minute may be for its usage to stay in memory.
	usageInMemory = 10 * time.Minute
	// budgetsLate is how long after its period a budget stays in the file.
	budgetsLate = time.Hour
)

// load reads the counters that still matter. It touches every table, so that a file
// that is damaged at the top is refused before anything is written to it.
func load(ctx context.Context, c *sql.Conn, s *Store) error {
	now := s.options.Now()
	return errors.Join(
		named("windows", each(ctx, c, func(r *sql.Rows) error {
			var w ledger.WindowRow
			var takes []byte
			if err := r.Scan(&w.Tenant, &w.Key, &w.Name, &w.Length, &takes); err != nil {
				return err
			}
			var err error
			if w.Takes, err = unpackTakes(takes); err == nil {
				s.windows.Restore(w)
			}
			return err
		}, `SELECT tenant, key, name, length_ns, takes FROM windows WHERE until >= ?`, now.UnixMilli())),
		named("budgets", each(ctx, c, func(r *sql.Rows) error {
			var b ledger.BudgetRow
			var until int64
			if err := r.Scan(&b.Tenant, &b.Name, &b.Used, &b.Reserved, &until); err != nil {
				return err
			}
			if until != 0 {
				b.Until = time.UnixMilli(until)
			}
			s.budgets.Restore(b)
			return nil
		}, `SELECT tenant, name, used, reserved, until FROM budgets WHERE until = 0 OR until >= ?`, now.Add(-budgetsLate).UnixMilli())),
		named("usage", floorUsage(ctx, c, s, now)),
		named("audit", each(ctx, c, func(r *sql.Rows) error {
			var last int64
			err := r.Scan(&last)
			s.audit.startAt(last)
			return err
		}, `SELECT coalesce(max(id), 0) FROM audit`)),
		named("jobs", loadJobs(ctx, c, s)),
		named("documents", each(ctx, c, func(*sql.Rows) error { return nil },
			`SELECT d.id, p.id FROM (SELECT id FROM documents ORDER BY id DESC LIMIT 1) d, (SELECT id FROM passages ORDER BY id DESC LIMIT 1) p`)),
		named("sessions", each(ctx, c, func(*sql.Rows) error { return nil },
			`SELECT s.id, m.id FROM (SELECT id FROM sessions ORDER BY id DESC LIMIT 1) s, (SELECT id FROM messages ORDER BY id DESC LIMIT 1) m`)),
	)
}

// loadJobs goes on counting, and drops the payloads that a crash left without a job.
func loadJobs(ctx context.Context, c *sql.Conn, s *Store) error {
	var last int64
	err := c.QueryRowContext(ctx, `SELECT max((SELECT coalesce(max(number), 0) FROM jobs), (SELECT coalesce(max(turn), 0) FROM jobs),
		(SELECT coalesce(max(id), 0) >> 12 FROM payloads), (SELECT coalesce(max(id), 0) FROM dropped WHERE kind = 1))`).Scan(&last)
	if err != nil {
		return err
	}
	s.numbers.Store(last)
	_, err = c.ExecContext(ctx, `INSERT OR IGNORE INTO dropped (kind, id) SELECT DISTINCT 1, id >> 12 FROM payloads
		WHERE id >> 12 NOT IN (SELECT number FROM jobs WHERE ended = 0)`)
	return err
}

// floorUsage loads no usage: each bucket is read when it is first added to, up to the
// minute from which the file can have none. A clock that was set back meanwhile is
// why the file is asked.
func floorUsage(ctx context.Context, c *sql.Conn, s *Store, now time.Time) error {
	var last sql.NullInt64
	err := c.QueryRowContext(ctx, `WITH RECURSIVE owner (tenant) AS (
		SELECT min(tenant) FROM usage
		UNION ALL SELECT (SELECT min(u.tenant) FROM usage u WHERE u.tenant > owner.tenant) FROM owner WHERE owner.tenant IS NOT NULL)
		SELECT max((SELECT max(minute) FROM usage u WHERE u.tenant = owner.tenant)) FROM owner`).Scan(&last)
	s.usage.Forget(now.Add(2 * time.Minute))
	s.usage.Forget(time.Unix((last.Int64+1)*60, 0))
	return err
}

func named(table string, err error) error {
	if err != nil {
		return fmt.Errorf("loading %s: %w", table, err)
	}
	return nil
}

func each(ctx context.Context, c *sql.Conn, row func(*sql.Rows) error, query string, args ...any) error {
	r, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	return eachRow(r, row)
}

func eachRow(r *sql.Rows, row func(*sql.Rows) error) error {
	for r.Next() {
		if err := row(r); err != nil {
			return errors.Join(err, r.Close())
		}
	}
	return errors.Join(r.Err(), r.Close())
}
