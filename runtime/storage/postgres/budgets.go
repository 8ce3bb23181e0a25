package postgres

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type budgets struct{ s *Store }

// columns are limits as arrays. A budget without a bound is bounded by what can be counted.
func columns(limits []storage.Limit) (names [][]byte, mosts, untils []int64) {
	for _, l := range limits {
		most := l.Max
		if most <= 0 {
			most = math.MaxInt64
		}
		names, mosts, untils = append(names, []byte(l.Name)), append(mosts, most), append(untils, millis(l.Until))
	}
	return names, mosts, untils
}

func (b budgets) Reserve(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
	if err := b.s.admit(ctx, t); err != nil {
		return storage.Reservation{}, err
	}
	if err := storage.CheckAmounts(limits, amounts); err != nil {
		return storage.Reservation{}, err
	}
	if len(limits) == 0 {
		return storage.Reservation{}, nil
	}
	names, mosts, untils := columns(limits)
	refused := 0
	err := b.s.do(ctx, t, counts, func(ctx context.Context, c *pgx.Conn, tag string) error {
		var got string
		err := c.QueryRow(ctx, `SELECT tenant, refused FROM enigma.reserve($1, $2, $3, $4, $5)`, tag, names, mosts, amounts, untils).Scan(&got, &refused)
		if err != nil {
			return err
		}
		return mine(tag, got)
	})
	switch {
	case err != nil:
		return storage.Reservation{}, err
	case refused > 0:
		return storage.Reservation{Refused: limits[refused-1].Name}, nil
	}
	return storage.Reservation{Limits: slices.Clone(limits), Amounts: slices.Clone(amounts)}, nil
}

func (b budgets) Settle(ctx context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
	if err := b.s.admitOwed(t); err != nil {
		return err
	}
	if err := errors.Join(storage.CheckAmounts(r.Limits, r.Amounts), storage.CheckAmounts(r.Limits, used)); err != nil {
		return err
	}
	if len(used) == 0 {
		return nil
	}
	names, _, untils := columns(r.Limits)
	b.s.unflushed.Store(true)
	return b.s.doOwed(ctx, t, decide(`SELECT enigma.settle($1, $2, $3, $4, $5)`, names, r.Amounts, used, untils))
}

func (b budgets) Spent(ctx context.Context, t tenancy.ID, names []string) (used, reserved []int64, err error) {
	asked := make([][]byte, len(names))
	for i, name := range names {
		asked[i] = []byte(name)
	}
	err = b.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		used, reserved = make([]int64, len(names)), make([]int64, len(names))
		rows, err := c.Query(ctx, `SELECT b.tenant, a.i - 1, b.used, b.reserved FROM unnest($2::bytea[]) WITH ORDINALITY AS a (name, i)
			JOIN enigma.budgets b ON b.tenant = $1 AND b.name = a.name`, tag, asked)
		if err != nil {
			return err
		}
		var got string
		var i int
		var u, r int64
		_, err = pgx.ForEachRow(rows, []any{&got, &i, &u, &r}, func() error {
			used[i], reserved[i] = u, r
			return mine(tag, got)
		})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return used, reserved, nil
}
