package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// clearAtOnce bounds the entries that one transaction deletes.
const clearAtOnce = 10_000

type cache struct{ s *Store }

func (c cache) Get(ctx context.Context, t tenancy.ID, key string) (value []byte, found bool, err error) {
	err = c.s.do(ctx, t, reads, func(ctx context.Context, conn *pgx.Conn, tag string) error {
		var got string
		var until int64
		err := conn.QueryRow(ctx, `SELECT tenant, value, until FROM enigma.cache WHERE tenant = $1 AND key = $2`, tag, digest(key)).Scan(&got, &value, &until)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = until > c.s.now().UnixMilli()
		return mine(tag, got)
	})
	if err != nil || !found {
		return nil, false, err
	}
	return value, true, nil
}

func (c cache) Put(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
	if err := c.s.admit(ctx, t); err != nil {
		return err
	}
	if len(value) > storage.MaxCacheValue || ttl <= 0 {
		return storage.ErrBadEntry
	}
	if value == nil {
		value = []byte{}
	}
	now := c.s.now()
	return c.s.do(ctx, t, repeats, decide(`SELECT enigma.put_cache($1, $2, $3, $4, $5)`, digest(key), value, now.UnixMilli(), now.Add(ttl).UnixMilli()))
}

func (c cache) Clear(ctx context.Context, t tenancy.ID) error {
	for {
		var n int64
		err := c.s.doLong(ctx, t, repeats, func(ctx context.Context, conn *pgx.Conn, tag string) error {
			gone, err := conn.Exec(ctx, `DELETE FROM enigma.cache WHERE (tenant, key) IN
				(SELECT tenant, key FROM enigma.cache WHERE tenant = $1 LIMIT $2)`, tag, clearAtOnce)
			n = gone.RowsAffected()
			return err
		})
		if err != nil || n < clearAtOnce {
			return err
		}
	}
}
