package resilient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// ReasonAway in Health: calls are refused until the server is found back. A driver's own
// reason, which says more, goes before it.
const ReasonAway = "away"

// Defaults of Options.
const (
	DefaultTimeout     = 2 * time.Second
	DefaultLongTimeout = 30 * time.Second
	DefaultFailures    = 5
	DefaultProbeEvery  = 200 * time.Millisecond
	DefaultMaxWaiting  = 10_000
)

// probeTimeout and DefaultProbeEvery together stay below the second in which service is
// back.
const probeTimeout = 500 * time.Millisecond

// Options of a Store. Probe is required.
type Options struct {
	// Probe asks the driver for anything that its server must answer.
	Probe func(ctx context.Context) error
	// Timeout is how long a call of a request may take.
	Timeout time.Duration
	// LongTimeout is how long expiry, erasure, and each load may take. A dump has none.
	LongTimeout time.Duration
	// Failures in a row refuse further calls.
	Failures uint
	// ProbeEvery is how often a server that is away is asked.
	ProbeEvery time.Duration
	// MaxWaiting is how many settlements and records are kept for later.
	MaxWaiting int
	// Changed is told when calls begin to be refused and when they are served again; may
	// be nil. It must not block.
	Changed func(away bool)
	// Lost is told of each thing that was kept and could not be sent after all: a
	// storage.UsageRecord, a storage.AuditRecord or a Settlement. It is to be logged: no
	// caller was told. May be nil.
	Lost func(t tenancy.ID, what any)
}

// Settlement is what Budgets.Settle was given.
type Settlement struct {
	Reservation storage.Reservation
	Used        []int64
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.LongTimeout <= 0 {
		o.LongTimeout = DefaultLongTimeout
	}
	if o.Failures == 0 {
		o.Failures = DefaultFailures
	}
	if o.ProbeEvery <= 0 {
		o.ProbeEvery = DefaultProbeEvery
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = DefaultMaxWaiting
	}
	if o.Changed == nil {
		o.Changed = func(bool) {}
	}
	if o.Lost == nil {
		o.Lost = func(tenancy.ID, any) {}
	}
	return o
}

// Store is a driver with a breaker in front.
type Store struct {
	driver  storage.Store
	options Options
	breaker circuitbreaker.CircuitBreaker[any]
	later   later

	// wake tells the keeper that the server is away or that something waits.
	wake   chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}
}

var _ storage.Store = (*Store)(nil)

// New puts a breaker in front of a driver, which Close closes.
func New(driver storage.Store, o Options) *Store {
	o = o.withDefaults()
	s := &Store{driver: driver, options: o, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	s.later.most, s.later.tell = o.MaxWaiting, o.Lost
	s.breaker = circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(o.Failures).
		OnOpen(func(e circuitbreaker.StateChangedEvent) {
			if e.OldState == circuitbreaker.ClosedState {
				o.Changed(true)
				s.wakeUp()
			}
		}).
		OnClose(func(circuitbreaker.StateChangedEvent) { o.Changed(false) }).
		Build()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go s.keep(ctx)
	return s
}

// Away tells whether calls are refused now.
func (s *Store) Away() bool { return !s.breaker.IsClosed() }

// Waiting is how many settlements and records are kept until they can be sent.
func (s *Store) Waiting() int { return s.later.len() }

// Lost is how many were kept and could not be sent after all.
func (s *Store) Lost() int64 { return s.later.lost.Load() }

// Health implements storage.Store.
func (s *Store) Health() storage.Health {
	h := s.driver.Health()
	if s.Away() && h.OK {
		return storage.Health{Reason: ReasonAway}
	}
	return h
}

// Close implements storage.Store. It sends what was kept, if the server is there; the
// error tells of what is lost.
func (s *Store) Close(ctx context.Context) error {
	s.cancel()
	<-s.ended
	if !s.Away() {
		s.later.send(ctx, s)
	}
	var lost error
	if n := s.later.drop(); n > 0 {
		lost = fmt.Errorf("%w: %d settlements and records were never sent", storage.ErrUnavailable, n)
	}
	return errors.Join(lost, s.driver.Close(ctx))
}

func (s *Store) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// keep finds the server back when it is away, and sends what waits.
func (s *Store) keep(ctx context.Context) {
	defer close(s.ended)
	pause := time.NewTicker(s.options.ProbeEvery)
	defer pause.Stop()
	for {
		pause.Stop()
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		pause.Reset(s.options.ProbeEvery)
		for s.Away() || s.later.len() > 0 {
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
			}
			if s.Away() && s.probe(ctx) {
				s.breaker.Close()
			}
			if !s.Away() {
				s.later.send(ctx, s)
			}
		}
	}
}

// probe tells whether the server is back.
func (s *Store) probe(ctx context.Context) bool {
	s.breaker.HalfOpen()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := s.options.Probe(ctx); err != nil {
		s.breaker.Open()
		return false
	}
	return true
}

// call asks the driver within a time, or refuses.
func call[R any](ctx context.Context, s *Store, within time.Duration, ask func(context.Context) (R, error)) (R, error) {
	if s.Away() {
		var none R
		if err := ctx.Err(); err != nil {
			return none, err
		}
		return none, errAway
	}
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r, err := ask(bounded)
	return r, s.judge(ctx, err, within)
}

var errAway = fmt.Errorf("%w (%s): calls are refused until it answers again", storage.ErrUnavailable, ReasonAway)

// judge tells the breaker what an outcome says about the server. ctx is the caller's.
func (s *Store) judge(ctx context.Context, err error, within time.Duration) error {
	switch {
	case err == nil:
		s.breaker.RecordSuccess()
		return nil
	case ctx.Err() != nil:
		return err // the client has gone; the server may be well
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, storage.ErrUnavailable):
		err = fmt.Errorf("%w: no answer within %v: %w", storage.ErrUnavailable, within, err)
	case !errors.Is(err, storage.ErrUnavailable):
		return err
	}
	s.breaker.RecordFailure()
	return err
}

// notDone tells whether a failed call has done nothing on the server.
func notDone(err error) bool {
	var op *net.OpError
	return errors.Is(err, storage.ErrUnavailable) &&
		(errors.Is(err, errAway) || errors.Is(err, storage.ErrNotDone) || errors.As(err, &op) && op.Op == "dial")
}
