package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// pieceBytes is how long a piece of a payload is: a message of the protocol, and a value
// that is read whole.
const pieceBytes = 1 << 20

// What enigma.add_job refuses.
const (
	refusedTaken = 1
	refusedMany  = 2
)

type jobs struct{ s *Store }

// Add sends the pieces of the payload first: the job, for which others wait, comes last in
// the transaction.
func (j jobs) Add(ctx context.Context, t tenancy.ID, job storage.Job, payload []byte) error {
	if err := j.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckJob(job, payload); err != nil {
		return err
	}
	return j.s.doLong(ctx, t, counts, func(ctx context.Context, c *pgx.Conn, tag string) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			// What is refused is mostly refused before all of it is sent.
			var taken bool
			if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM enigma.jobs WHERE tenant = $1 AND job = $2)`, tag, job.ID).Scan(&taken); err != nil {
				return err
			}
			if taken {
				return errTaken()
			}
			for piece, rest := 0, payload; len(rest) > 0; piece++ {
				n := min(len(rest), pieceBytes)
				if _, err := tx.Exec(ctx, `INSERT INTO enigma.payloads (tenant, job, piece, data) VALUES ($1, $2, $3, $4)`, tag, job.ID, piece, rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return addJob(ctx, tx, tag, job, len(payload))
		})
	})
}

func errTaken() error { return fmt.Errorf("%w: its id is taken", storage.ErrBadJob) }

func addJob(ctx context.Context, tx pgx.Tx, tag string, j storage.Job, size int) error {
	var got string
	var refused int
	err := tx.QueryRow(ctx, `SELECT tenant, refused FROM enigma.add_job($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		tag, j.ID, []byte(j.Kind), []byte(j.Caller), blob(j.Note), j.Created.UnixMilli(), size, storage.MaxOpenJobs, storage.MaxOpenBytes).Scan(&got, &refused)
	if err != nil {
		return err
	}
	switch refused {
	case refusedTaken:
		return errTaken()
	case refusedMany:
		return storage.ErrTooManyJobs
	}
	return mine(tag, got)
}

// blob is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

const jobColumns = `tenant, job::text, kind, caller, state, attempts, note, created, updated, lease`

func scanJob(scan func(...any) error, tag string) (j storage.Job, err error) {
	var got string
	var kind, caller []byte
	var created, updated, lease int64
	if err := scan(&got, &j.ID, &kind, &caller, &j.State, &j.Attempts, &j.Note, &created, &updated, &lease); err != nil {
		return j, err
	}
	j.Kind, j.Caller, j.Created, j.Updated = string(kind), string(caller), fromMillis(created), fromMillis(updated)
	if len(j.Note) == 0 {
		j.Note = nil
	}
	if j.State == storage.JobRunning {
		j.LeaseUntil = fromMillis(lease)
	}
	return j, mine(tag, got)
}

// takeJob passes over what another worker is just taking.
const takeJob = `UPDATE enigma.jobs SET state = 'running', worker = $2, attempts = attempts + 1, updated = $3, lease = $4
	WHERE tenant = $1 AND job = (SELECT job FROM enigma.jobs WHERE tenant = $1 AND NOT ended AND (state = 'queued' OR lease < $5)
		AND kind = ANY ($6) ORDER BY turn LIMIT 1 FOR UPDATE SKIP LOCKED)
	RETURNING ` + jobColumns

func (j jobs) Take(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (taken storage.Job, there bool, err error) {
	if err := j.s.admit(ctx, t); err != nil {
		return taken, false, err
	}
	if worker == "" {
		return taken, false, fmt.Errorf("%w: a worker has a name", storage.ErrBadJob)
	}
	asked := make([][]byte, len(kinds))
	for i, k := range kinds {
		asked[i] = []byte(k)
	}
	err = j.s.do(ctx, t, counts, func(ctx context.Context, c *pgx.Conn, tag string) error {
		there = false
		return each(ctx, c, func(scan func(...any) error) (err error) {
			there = true
			taken, err = scanJob(scan, tag)
			return err
		}, takeJob, tag, []byte(worker), now.UnixMilli(), until.UnixMilli(), edge(now), asked)
	})
	if err != nil {
		return storage.Job{}, false, err
	}
	return taken, there, nil
}

func (j jobs) Payload(ctx context.Context, t tenancy.ID, id string) (payload []byte, err error) {
	err = j.s.doLong(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		payload = nil
		return each(ctx, c, func(scan func(...any) error) error {
			var got string
			var size int
			var piece pgtype.DriverBytes
			if err := scan(&got, &size, &piece); err != nil {
				return err
			}
			if payload == nil {
				payload = make([]byte, 0, size)
			}
			payload = append(payload, piece...)
			return mine(tag, got)
		}, `SELECT p.tenant, j.size, p.data FROM enigma.jobs j, enigma.payloads p
			WHERE j.tenant = $1 AND j.job::text = $2 AND NOT j.ended AND p.tenant = $1 AND p.job = j.job ORDER BY p.piece`, tag, id)
	})
	if err != nil {
		return nil, err
	}
	return payload, nil
}

func (j jobs) Update(ctx context.Context, t tenancy.ID, worker string, u storage.Job, now, until time.Time) error {
	if err := j.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckJobUpdate(u); err != nil {
		return err
	}
	// Tried again, one that is done would find its lease gone.
	return j.s.doLong(ctx, t, counts, func(ctx context.Context, c *pgx.Conn, tag string) error {
		var got string
		var mineStill bool
		err := c.QueryRow(ctx, `SELECT tenant, was_mine FROM enigma.update_job($1, $2, $3, $4, $5, $6, $7, $8)`,
			tag, u.ID, []byte(worker), u.State, u.Ended(), blob(u.Note), now.UnixMilli(), until.UnixMilli()).Scan(&got, &mineStill)
		if err != nil {
			return err
		}
		if err := mine(tag, got); err != nil {
			return err
		}
		if !mineStill {
			return storage.ErrLeaseLost
		}
		return nil
	})
}

func (j jobs) Job(ctx context.Context, t tenancy.ID, id string) (found storage.Job, there bool, err error) {
	if err := j.s.admit(ctx, t); err != nil {
		return found, false, err
	}
	err = j.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		there = false
		return each(ctx, c, func(scan func(...any) error) (err error) {
			there = true
			found, err = scanJob(scan, tag)
			return err
		}, `SELECT `+jobColumns+` FROM enigma.jobs WHERE tenant = $1 AND job = $2`, tag, id)
	})
	if err != nil {
		return storage.Job{}, false, err
	}
	return found, there, nil
}

func (j jobs) Open(ctx context.Context, t tenancy.ID) (open int, err error) {
	err = j.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		var got string
		if err := c.QueryRow(ctx, `SELECT $1, count(*) FROM enigma.jobs WHERE tenant = $1 AND NOT ended`, tag).Scan(&got, &open); err != nil {
			return err
		}
		return mine(tag, got)
	})
	return open, err
}
