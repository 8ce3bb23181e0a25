package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var errSameName = errors.New("windows of one key need names that differ")

type windows struct{ s *Store }

// bounds are the windows that count, as arrays.
type bounds struct {
	names           [][]byte
	limits, lengths []int64
}

func boundsOf(windows []storage.Window) (b bounds, err error) {
	for i, w := range windows {
		for _, other := range windows[:i] {
			if other.Name == w.Name {
				return b, errSameName
			}
		}
		if w.Limit > 0 && w.Length > 0 {
			b.names, b.limits, b.lengths = append(b.names, []byte(w.Name)), append(b.limits, int64(w.Limit)), append(b.lengths, int64(w.Length))
		}
	}
	return b, nil
}

// digest stands for a key of any length.
func digest(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

func (w windows) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
	b, err := boundsOf(windows)
	if err != nil {
		return storage.Taken{}, err
	}
	if len(b.names) == 0 {
		return storage.Taken{OK: true, Remaining: math.MaxInt}, w.s.admit(ctx, t)
	}
	var taken storage.Taken
	err = w.s.do(ctx, t, counts, func(ctx context.Context, c *pgx.Conn, tag string) error {
		var got string
		var tightest int
		err := c.QueryRow(ctx, `SELECT tenant, ok, tightest, remaining, retry, reset FROM enigma.take($1, $2, $3, $4, $5, $6)`,
			tag, digest(key), b.names, b.limits, b.lengths, now.UnixNano()).
			Scan(&got, &taken.OK, &tightest, &taken.Remaining, &taken.RetryAfter, &taken.Reset)
		if err != nil {
			return err
		}
		if tightest > 0 && tightest <= len(b.names) {
			taken.Tightest = string(b.names[tightest-1])
		}
		return mine(tag, got)
	})
	if err != nil {
		return storage.Taken{}, err
	}
	return taken, nil
}

func (w windows) Return(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, at time.Time) error {
	b, err := boundsOf(windows)
	if err != nil {
		return err
	}
	return w.s.doOwed(ctx, t, decide(`SELECT enigma.give_back($1, $2, $3, $4)`, digest(key), b.names, at.UnixNano()))
}
