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
		named("usage", loadUsage(ctx, c, s, now.Add(-usageInMemory))),
		named("sessions", each(ctx, c, func(*sql.Rows) error { return nil },
			`SELECT s.id, m.id FROM (SELECT id FROM sessions ORDER BY id DESC LIMIT 1) s, (SELECT id FROM messages ORDER BY id DESC LIMIT 1) m`)),
	)
}

func loadUsage(ctx context.Context, c *sql.Conn, s *Store, from time.Time) error {
	s.usage.Forget(from)
	return each(ctx, c, func(r *sql.Rows) error {
		var u ledger.UsageRow
		var err error
		if u.Bucket, err = scanBucket(r, &u.Tenant); err == nil {
			s.usage.Restore(u)
		}
		return err
	}, `SELECT tenant, `+bucketColumns+` FROM usage WHERE minute >= ?`, from.Unix()/60)
}

func named(table string, err error) error {
	if err != nil {
		return fmt.Errorf("loading %s: %w", table, err)
	}
	return nil
}

// querier is a connection, a pool or a prepared statement's owner.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func each(ctx context.Context, q querier, row func(*sql.Rows) error, query string, args ...any) error {
	r, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	return eachRow(r, row)
}

func eachRow(r *sql.Rows, row func(*sql.Rows) error) error {
	defer r.Close()
	for r.Next() {
		if err := row(r); err != nil {
			return err
		}
	}
	return r.Err()
}
