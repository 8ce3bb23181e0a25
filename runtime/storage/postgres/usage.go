package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type usage struct{ s *Store }

func (u usage) Add(ctx context.Context, t tenancy.ID, r storage.UsageRecord) error {
	if err := u.s.admitOwed(t); err != nil {
		return err
	}
	if min(r.TokensIn, r.TokensOut, r.MicroUSD, int64(r.Latency)) < 0 {
		return storage.ErrBadAmount
	}
	u.s.unflushed.Store(true)
	return u.s.doOwed(ctx, t, decide(`SELECT enigma.use($1, $2, $3, $4, $5, 1, $6, $7, $8, $9)`,
		minuteOf(r.At), []byte(r.Model), []byte(r.Feature), []byte(r.Outcome), r.TokensIn, r.TokensOut, r.MicroUSD, int64(r.Latency)))
}

const bucketColumns = `tenant, minute, model, feature, outcome, calls, tokens_in, tokens_out, micro_usd, latency_ns`

func (u usage) Sum(ctx context.Context, t tenancy.ID, from, to time.Time) ([]storage.UsageBucket, error) {
	var found []storage.UsageBucket
	err := u.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) (err error) {
		found, err = buckets(ctx, c, tag, `SELECT `+bucketColumns+` FROM enigma.usage
			WHERE tenant = $1 AND minute >= $2 AND minute < $3 ORDER BY minute, model, feature, outcome`, tag, firstMinute(from), firstMinute(to))
		return err
	})
	return found, err
}

// buckets reads rows of bucketColumns.
func buckets(ctx context.Context, c *pgx.Conn, tag, sql string, args ...any) ([]storage.UsageBucket, error) {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	var found []storage.UsageBucket
	var got string
	var minute int64
	var model, feature, outcome []byte
	var b storage.UsageBucket
	_, err = pgx.ForEachRow(rows, []any{
		&got, &minute, &model, &feature, &outcome, &b.Calls, &b.TokensIn, &b.TokensOut, &b.MicroUSD, (*int64)(&b.Latency),
	}, func() error {
		b.Minute, b.Model, b.Feature, b.Outcome = time.Unix(minute*60, 0).UTC(), string(model), string(feature), string(outcome)
		found = append(found, b)
		return mine(tag, got)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// minuteOf counts minutes since 1970, rounding down before it too.
func minuteOf(at time.Time) int64 {
	s := at.Unix()
	if s < 0 {
		s -= 59
	}
	return s / 60
}

// firstMinute is the first whole minute since 1970 that isn't before t.
func firstMinute(t time.Time) int64 {
	minute := minuteOf(t)
	if time.Unix(minute*60, 0).Before(t) {
		minute++
	}
	return minute
}
