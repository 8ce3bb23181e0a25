package embedded

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// pieceBits is how many bits of a piece's id are its number in the payload.
	pieceBits = 12
	// pieceBytes is how long a piece of a payload is, piecesAtOnce how many a transaction
	// takes: a chat waits for no more.
	pieceBytes   = 256 << 10
	piecesAtOnce = 4
)

type jobs struct{ s *Store }

// Add writes the payload a few pieces a transaction, and with the last of them the job,
// before which nobody sees it. What a crash leaves of one is dropped at the next start.
func (j jobs) Add(ctx context.Context, t tenancy.ID, add storage.Job, payload []byte) error {
	if err := j.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckJob(add, payload); err != nil {
		return err
	}
	number := j.s.numbers.Add(1)
	size := len(payload)
	for piece := 0; ; piece += piecesAtOnce {
		first := payload[:min(len(payload), piecesAtOnce*pieceBytes)]
		payload = payload[len(first):]
		refused, err := j.add(ctx, t.Identity(), number, add, size, piece, first, len(payload) == 0)
		if err == nil && refused == nil && len(payload) > 0 {
			continue
		}
		if piece > 0 && (err != nil || refused != nil) {
			// If this isn't written either, the next start sees to it.
			_ = j.s.writer.write(context.WithoutCancel(ctx), &job{apply: func(tx *tx) error { return tx.dropPayload(number) }})
		}
		if err == nil {
			err = refused
		}
		return err
	}
}

func (j jobs) add(ctx context.Context, tenant string, number int64, add storage.Job, size, piece int, payload []byte, last bool) (refused, err error) {
	err = j.s.writer.write(ctx, &job{apply: func(tx *tx) (err error) {
		if refused, err = tx.hasRoom(tenant, add.ID, size); err != nil || refused != nil {
			return err
		}
		id := number<<pieceBits + int64(piece)
		for rest := payload; len(rest) > 0; id++ {
			n := min(len(rest), pieceBytes)
			if _, err := tx.do(`INSERT INTO payloads (id, piece) VALUES (?, ?)`, id, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if !last {
			return nil
		}
		at := add.Created.UnixMilli()
		_, err = tx.do(`INSERT INTO jobs (number, tenant, job, kind, caller, state, ended, attempts, note, created, updated, lease, worker, turn, size)
			VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, 0, '', ?, ?)`,
			number, tenant, add.ID, add.Kind, add.Caller, storage.JobQueued, blob(add.Note), at, at, number, size)
		return err
	}})
	return refused, err
}

// blob is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (t *tx) hasRoom(tenant, id string, size int) (refused, err error) {
	var taken bool
	var open, bytes int
	if _, err := t.one([]any{&taken}, `SELECT EXISTS (SELECT 1 FROM jobs WHERE tenant = ? AND job = ?)`, tenant, id); err != nil {
		return nil, err
	}
	if taken {
		return fmt.Errorf("%w: its id is taken", storage.ErrBadJob), nil
	}
	if _, err := t.one([]any{&open, &bytes}, `SELECT count(*), coalesce(sum(size), 0) FROM jobs WHERE tenant = ? AND ended = 0`, tenant); err != nil {
		return nil, err
	}
	if open >= storage.MaxOpenJobs || bytes+size > storage.MaxOpenBytes {
		return storage.ErrTooManyJobs, nil
	}
	return nil, nil
}

func (t *tx) dropPayload(number int64) error {
	t.dropping = true
	_, err := t.do(`INSERT OR IGNORE INTO dropped (kind, id) VALUES (1, ?)`, number)
	return err
}

const jobColumns = `tenant, job, kind, caller, state, attempts, note, created, updated, lease`

func scanJob(scan func(...any) error, t tenancy.ID) (j storage.Job, err error) {
	var owner string
	var created, updated, lease int64
	if err := scan(&owner, &j.ID, &j.Kind, &j.Caller, &j.State, &j.Attempts, &j.Note, &created, &updated, &lease); err != nil {
		return j, err
	}
	if owner != t.Identity() {
		return j, fmt.Errorf("%w: a job of another tenant is read", ErrCorrupt)
	}
	if len(j.Note) == 0 {
		j.Note = nil
	}
	j.Created, j.Updated = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
	if j.State == storage.JobRunning {
		j.LeaseUntil = time.UnixMilli(lease).UTC()
	}
	return j, nil
}

// nextJob is the one that has waited longest.
const nextJob = `SELECT number FROM jobs WHERE tenant = ?1 AND ended = 0 AND (state = 'queued' OR lease < ?2)
	AND kind IN (SELECT value FROM json_each(?3)) ORDER BY turn LIMIT 1`

// Take asks a reader first: most of the time there is no job, which needs no sync.
func (j jobs) Take(ctx context.Context, t tenancy.ID, worker string, kinds []string, now, until time.Time) (taken storage.Job, there bool, err error) {
	if err := j.s.admit(ctx, t); err != nil {
		return taken, false, err
	}
	if worker == "" {
		return taken, false, fmt.Errorf("%w: a worker has a name", storage.ErrBadJob)
	}
	text, err := json.Marshal(append([]string{}, kinds...))
	if err != nil {
		return taken, false, fmt.Errorf("asking for jobs: %w", err)
	}
	args := []any{t.Identity(), firstMilli(now), string(text)}
	waits := false
	err = j.s.reader.each(ctx, func(*sql.Rows) error { waits = true; return nil }, nextJob, args...)
	if err != nil || !waits {
		return taken, false, err
	}
	err = j.s.writer.write(ctx, &job{apply: func(tx *tx) error {
		var number int64
		var err error
		if there, err = tx.one([]any{&number}, nextJob, args...); err != nil || !there {
			return err
		}
		s, err := tx.query(`UPDATE jobs SET state = 'running', worker = ?, attempts = attempts + 1, updated = ?, lease = ? WHERE number = ? RETURNING ` + jobColumns)
		if err != nil {
			return err
		}
		taken, err = scanJob(s.QueryRowContext(context.Background(), worker, now.UnixMilli(), until.UnixMilli(), number).Scan, t)
		return err
	}})
	return taken, there && err == nil, err
}

func (j jobs) Payload(ctx context.Context, t tenancy.ID, id string) (payload []byte, err error) {
	if err := j.s.admit(ctx, t); err != nil {
		return nil, err
	}
	err = j.s.reader.each(ctx, func(r *sql.Rows) error {
		var size int
		var piece sql.RawBytes
		if err := r.Scan(&size, &piece); err != nil {
			return err
		}
		if payload == nil {
			payload = make([]byte, 0, size)
		}
		payload = append(payload, piece...)
		return nil
	}, `SELECT j.size, p.piece FROM jobs j JOIN payloads p ON p.id >= j.number << 12 AND p.id < (j.number + 1) << 12
		WHERE j.tenant = ? AND j.job = ? AND j.ended = 0 ORDER BY p.id`, t.Identity(), id)
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
	lost := false
	err := j.s.writer.write(ctx, &job{apply: func(tx *tx) error {
		var number, size int64
		there, err := tx.one([]any{&number, &size}, `SELECT number, size FROM jobs WHERE tenant = ? AND job = ? AND state = 'running' AND worker = ?`,
			t.Identity(), u.ID, worker)
		if lost = !there; err != nil || lost {
			return err
		}
		if u.State == storage.JobRunning {
			_, err = tx.do(`UPDATE jobs SET note = ?, updated = ?, lease = ? WHERE number = ?`, blob(u.Note), now.UnixMilli(), until.UnixMilli(), number)
			return err
		}
		if u.Ended() && size > 0 {
			if err := tx.dropPayload(number); err != nil {
				return err
			}
		}
		_, err = tx.do(`UPDATE jobs SET state = ?, ended = ?, note = ?, updated = ?, lease = 0, worker = '', turn = ? WHERE number = ?`,
			u.State, u.Ended(), blob(u.Note), now.UnixMilli(), j.s.numbers.Add(1), number)
		return err
	}})
	if err == nil && lost {
		err = storage.ErrLeaseLost
	}
	return err
}

func (j jobs) Job(ctx context.Context, t tenancy.ID, id string) (found storage.Job, there bool, err error) {
	if err := j.s.admit(ctx, t); err != nil {
		return found, false, err
	}
	err = j.s.reader.each(ctx, func(r *sql.Rows) (err error) {
		there = true
		found, err = scanJob(r.Scan, t)
		return err
	}, `SELECT `+jobColumns+` FROM jobs WHERE tenant = ? AND job = ?`, t.Identity(), id)
	return found, there && err == nil, err
}

func (j jobs) Open(ctx context.Context, t tenancy.ID) (open int, err error) {
	if err := j.s.admit(ctx, t); err != nil {
		return 0, err
	}
	err = j.s.reader.each(ctx, func(r *sql.Rows) error { return r.Scan(&open) },
		`SELECT count(*) FROM jobs WHERE tenant = ? AND ended = 0`, t.Identity())
	return open, err
}
