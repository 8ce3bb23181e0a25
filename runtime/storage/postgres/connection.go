package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// tries bounds how often one call is made; each is a transaction.
	tries = 4
	// probeEvery is how often a store that failed asks for its server.
	probeEvery = 250 * time.Millisecond
)

// kind says what a call may do again and what it proves.
type kind int

const (
	// reads may be tried again whatever happened to the first try.
	reads kind = iota
	// repeats is a write that, made twice, is as made once.
	repeats
	// counts is a write that would count twice.
	counts
)

// call is one statement, or a few in one transaction, for the tenant of this tag.
type call func(ctx context.Context, c *pgx.Conn, tag string) error

// do runs f for a tenant on a connection of the pool. It returns soon after ctx ends.
func (s *Store) do(ctx context.Context, t tenancy.ID, k kind, f call) error {
	return s.within(ctx, s.timeout, t, k, f)
}

// doLong is do for what moves many rows.
func (s *Store) doLong(ctx context.Context, t tenancy.ID, k kind, f call) error {
	return s.within(ctx, longer*s.timeout, t, k, f)
}

func (s *Store) within(ctx context.Context, most time.Duration, t tenancy.ID, k kind, f call) error {
	if err := s.admit(ctx, t); err != nil {
		return err
	}
	tag := statestore.Tag(t.Identity())
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for try := 1; ; try++ {
		err := s.once(limited, tag, f)
		if err == nil {
			if k != reads {
				s.heal()
			}
			return nil
		}
		if ended := ctx.Err(); ended != nil {
			return ended
		}
		again := rolledBack(err) || pgconn.SafeToRetry(err) || k != counts && lost(err)
		if again && try < tries && limited.Err() == nil && s.pause(limited, err, try) {
			continue
		}
		return s.fail(err)
	}
}

// admit refuses a call that names no tenant, whose context has ended, or that comes after
// Close.
func (s *Store) admit(ctx context.Context, t tenancy.ID) error {
	if err := s.admitOwed(t); err != nil {
		return err
	}
	return ctx.Err()
}

// admitOwed is admit for calls that are owed though their context has ended.
func (s *Store) admitOwed(t tenancy.ID) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	if s.closed.Load() {
		return closedError()
	}
	return nil
}

// doOwed is do for counts that are owed though their context has ended.
func (s *Store) doOwed(ctx context.Context, t tenancy.ID, f call) error {
	return s.do(context.WithoutCancel(ctx), t, counts, f)
}

// pause lets those pass for whom the try was rolled back.
func (s *Store) pause(ctx context.Context, err error, try int) bool {
	if !rolledBack(err) {
		return true
	}
	wait := time.NewTimer(time.Duration(rand.Int64N(int64(try) * int64(5*time.Millisecond))))
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Store) once(ctx context.Context, tag string, f call) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return unheard{err}
	}
	defer c.Release()
	if err = s.prepare(ctx, c.Conn(), tag); err == nil {
		err = f(ctx, c.Conn(), tag)
	} else {
		err = unheard{err}
	}
	return s.parted(c.Conn(), err)
}

// parted drops a connection that broke or lost step, and with it those that lie idle:
// what ended one has mostly ended all.
func (s *Store) parted(c *pgx.Conn, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrForeignRow) {
		s.drop(c)
		s.log.Error("the store answered with another tenant's row; the connection is dropped")
	} else if lost(err) && !errors.Is(err, context.Canceled) {
		s.drop(c)
		s.pool.Reset()
	}
	return err
}

// drop closes a connection without waiting for its other end.
func (s *Store) drop(c *pgx.Conn) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.Close(ended) // it is given up whatever Close says
}

// prepare makes sure, once, that the schema is there and that it is open to the tenant.
func (s *Store) prepare(ctx context.Context, c *pgx.Conn, tag string) error {
	if ready := s.ready.Load(); ready != nil {
		if *ready != tag {
			return ErrOtherTenant
		}
		return nil
	}
	if s.tenant != "" && s.tenant != tag {
		return ErrOtherTenant
	}
	select {
	case s.preparing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.preparing }()
	if ready := s.ready.Load(); ready != nil {
		if *ready != tag {
			return ErrOtherTenant
		}
		return nil
	}
	if err := s.prepareSchema(ctx, c); err != nil {
		return err
	}
	if s.tenant == "" {
		own, err := statestore.PostgresOwn(tag)
		if err != nil {
			return err
		}
		if err := script(ctx, c, own); err != nil {
			var pg *pgconn.PgError
			if errors.As(err, &pg) && pg.Code == "42710" {
				return ErrOtherTenant
			}
			return fmt.Errorf("giving the database to its tenant: %w", err)
		}
	}
	s.ready.Store(&tag)
	return nil
}

// prepareSchema makes the schema if the login is no tenant's of a shared database.
func (s *Store) prepareSchema(ctx context.Context, c *pgx.Conn) error {
	if s.current.Load() {
		return nil
	}
	var version int
	err := c.QueryRow(ctx, `SELECT version FROM enigma.schema`).Scan(&version)
	missing := err != nil && reasonOf(err) == ReasonSchema
	if err != nil && !missing {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	if missing || version < statestore.PostgresVersion {
		if s.tenant != "" {
			return errSchema
		}
		if err := script(ctx, c, statestore.PostgresSchema()); err != nil {
			return fmt.Errorf("making the schema: %w", err)
		}
	}
	s.current.Store(true)
	return nil
}

// script runs statements of the simple protocol, as one transaction.
func script(ctx context.Context, c *pgx.Conn, sql string) error {
	_, err := c.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// fail takes the error's reason into Health and starts to ask for the server.
func (s *Store) fail(err error) error {
	reason := reasonOf(err)
	if reason == "" {
		return err
	}
	if had := s.reason.Swap(&reason); had == nil || *had != reason {
		s.log.Warn("the state store is unavailable", slog.String("reason", reason))
	}
	if !s.closed.Load() && s.probing.CompareAndSwap(false, true) {
		go s.probeUntilBack()
	}
	return unavailable(reason, err)
}

func (s *Store) heal() {
	if s.reason.Load() != nil && s.reason.Swap(nil) != nil {
		s.log.Info("the state store is available again")
	}
}

func (s *Store) probeUntilBack() {
	defer s.probing.Store(false)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for s.reason.Load() != nil {
		select {
		case <-s.ended:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
		if s.probe(ctx) == nil {
			s.heal()
		}
		cancel()
	}
}

// probe tries to write, and takes it back; before a tenant has come it looks for the
// schema.
func (s *Store) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	ready := s.ready.Load()
	if ready == nil {
		select {
		case s.preparing <- struct{}{}:
			defer func() { <-s.preparing }()
		case <-ctx.Done():
			return ctx.Err()
		}
		return s.parted(c.Conn(), s.prepareSchema(ctx, c.Conn()))
	}
	batch := &pgx.Batch{}
	batch.Queue(`BEGIN`)
	batch.Queue(`INSERT INTO enigma.budgets (tenant, name, used, reserved, until) VALUES ($1, '\x00', 0, 0, 1) ON CONFLICT DO NOTHING`, *ready)
	batch.Queue(`ROLLBACK`)
	if err := c.Conn().SendBatch(ctx, batch).Close(); err != nil {
		// A transaction may be left open.
		s.drop(c.Conn())
		return err
	}
	return nil
}

// mine refuses what isn't of the tenant that asked: a connection that lost step.
func mine(tag, got string) error {
	if got != tag {
		return ErrForeignRow
	}
	return nil
}

// decide runs a function of the schema that answers with its tenant alone.
func decide(sql string, args ...any) call {
	return func(ctx context.Context, c *pgx.Conn, tag string) error {
		var got string
		if err := c.QueryRow(ctx, sql, append([]any{tag}, args...)...).Scan(&got); err != nil {
			return err
		}
		return mine(tag, got)
	}
}
