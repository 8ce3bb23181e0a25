package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	// DefaultMaxConns is how many connections a process opens at most.
	DefaultMaxConns = 8
	// DefaultTimeout is how long a call waits for the server.
	DefaultTimeout = time.Second
	// longer is by how much more the parts of an expiry, a dump, a load or an erasure may
	// take: they move many rows.
	longer = 10
)

// Options of the driver.
type Options struct {
	// URL is postgres://user:password@host/database, with the parameters of libpq.
	URL string
	// Current gives the URL anew before each connection, so that a login and its password
	// change without a restart; only they are taken from it. nil is URL for ever.
	Current func() (string, error)
	// CA is the PEM of who signs the server's certificate. With it the connection is
	// encrypted and the server's name verified, whatever the URL says. Without it the
	// URL's sslmode tells.
	CA []byte
	// MaxConns bounds the connections of this process, but for the one over which it hears
	// of documents that change. 0 is DefaultMaxConns.
	MaxConns int
	// Timeout bounds each call, ten times it each part of an expiry, a dump, a load or an
	// erasure. It also is how soon calls work again after a network that swallowed them.
	// 0 is DefaultTimeout.
	Timeout time.Duration
	// Logger tells when the server goes and comes. nil is none.
	Logger *slog.Logger
	// Now is the clock by which what has run out is dropped. nil is time.Now.
	Now func() time.Time
}

// Store is one database, as one login sees it.
type Store struct {
	pool    *pgxpool.Pool
	timeout time.Duration
	log     *slog.Logger
	now     func() time.Time
	// tenant is the tag that the login's name tells; empty in a database that a tenant
	// has to itself.
	tenant string

	// preparing is held by who makes the schema ready; ready is the tag it is ready for.
	preparing chan struct{}
	current   atomic.Bool
	ready     atomic.Pointer[string]
	reason    atomic.Pointer[string]
	probing   atomic.Bool
	unflushed atomic.Bool
	// sweeping is true while documents that were dropped are deleted; unswept once there is
	// more of them.
	sweeping, unswept atomic.Bool
	ear               ear
	closed            atomic.Bool
	ended             chan struct{}
}

var _ storage.Store = (*Store)(nil)

// ErrOptions: the URL or the CA can't be used. It doesn't say what they hold.
var ErrOptions = errors.New("the store's URL must be postgres://user:password@host/database, and the CA certificates in PEM")

// Open returns a store at once or, if the server answers slowly, after Timeout. If the
// server is away, or its schema not there yet, calls are storage.ErrUnavailable until
// that has changed. ErrOptions is all that it refuses.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.MaxConns <= 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	config, err := configure(o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		timeout: o.Timeout, log: o.Logger, now: o.Now, tenant: tagOf(config.ConnConfig.User),
		preparing: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if o.Current != nil {
		config.BeforeConnect = s.renew(o.Current)
	}
	// The pool outlives the context that opens it.
	if s.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config); err != nil {
		return nil, fmt.Errorf("making a pool of connections: %w", err)
	}
	if err := s.probe(ctx); err != nil {
		_ = s.fail(err) // Health tells, and so does each call until it has healed
	}
	return s, nil
}

func configure(o Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, ErrOptions // the cause quotes the URL
	}
	config.MaxConns = int32(o.MaxConns)
	config.MinConns, config.MinIdleConns = 0, 0
	config.MaxConnIdleTime, config.MaxConnLifetime, config.MaxConnLifetimeJitter = 5*time.Minute, 30*time.Minute, 5*time.Minute
	config.PingTimeout = o.Timeout / 2
	c := config.ConnConfig
	c.ConnectTimeout = o.Timeout
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "crispy-enigma"
	}
	if len(o.CA) == 0 {
		return config, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(o.CA) {
		return nil, ErrOptions
	}
	c.TLSConfig = &tls.Config{RootCAs: roots, ServerName: c.Host, MinVersion: tls.VersionTLS12}
	kept := c.Fallbacks[:0]
	for _, f := range c.Fallbacks {
		if f.Host == c.Host && f.Port == c.Port {
			continue // the same server once more, without encryption
		}
		f.TLSConfig = &tls.Config{RootCAs: roots, ServerName: f.Host, MinVersion: tls.VersionTLS12}
		kept = append(kept, f)
	}
	c.Fallbacks = kept
	return config, nil
}

// renew takes the login of now, if it is the same tenant's.
func (s *Store) renew(current func() (string, error)) func(context.Context, *pgx.ConnConfig) error {
	return func(_ context.Context, c *pgx.ConnConfig) error {
		text, err := current()
		if err != nil {
			return fmt.Errorf("reading the store's URL: %w", err)
		}
		now, err := pgx.ParseConfig(text)
		if err != nil {
			return ErrOptions
		}
		if tagOf(now.User) != s.tenant {
			return ErrOtherTenant
		}
		c.User, c.Password = now.User, now.Password
		return nil
	}
}

var loginName = regexp.MustCompile(`^ce_([0-9a-f]{32})(?:_[ab])?$`)

// tagOf is the tenant that a login's name tells, "" if it tells none.
func tagOf(user string) string {
	if m := loginName.FindStringSubmatch(user); m != nil {
		return m[1]
	}
	return ""
}

// Sessions implements storage.Store.
func (s *Store) Sessions() storage.Sessions { return sessions{s} }

// Windows implements storage.Store. A take costs the server time in proportion to the
// window's limit: above some thousand, use a faster store for limits.
func (s *Store) Windows() storage.Windows { return windows{s} }

// Budgets implements storage.Store.
func (s *Store) Budgets() storage.Budgets { return budgets{s} }

// Usage implements storage.Store.
func (s *Store) Usage() storage.Usage { return usage{s} }

// Cache implements storage.Store.
func (s *Store) Cache() storage.Cache { return cache{s} }

// Audit implements storage.Store.
func (s *Store) Audit() storage.Audit { return audit{s} }

// Documents implements storage.Store.
func (s *Store) Documents() storage.Documents { return documents{s} }

// Jobs implements storage.Store.
func (s *Store) Jobs() storage.Jobs { return jobs{s} }

// Portable implements storage.Store.
func (s *Store) Portable() storage.Portable { return portable{s} }

// Health implements storage.Store. Its reasons are the Reason constants. A store that
// failed asks the server several times a second whether it is back.
func (s *Store) Health() storage.Health {
	if s.closed.Load() {
		return storage.Health{Reason: ReasonClosed}
	}
	if reason := s.reason.Load(); reason != nil {
		return storage.Health{Reason: *reason}
	}
	return storage.Health{OK: true}
}

// Close implements storage.Store. Calls that run are waited for until ctx ends; calls
// that come later are storage.ErrUnavailable.
func (s *Store) Close(ctx context.Context) error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.ended)
	err := s.flush(ctx)
	done := make(chan struct{})
	go func() {
		s.pool.Close()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("closing connections: %w", ctx.Err()))
	}
}

// flush waits for the disk where settlements, usage and audit did not.
func (s *Store) flush(ctx context.Context) error {
	if !s.unflushed.Load() || s.ready.Load() == nil || s.reason.Load() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	// A connection that lay idle may have gone meanwhile.
	for try := 1; ; try++ {
		err := s.once(ctx, *s.ready.Load(), func(ctx context.Context, c *pgx.Conn, _ string) error {
			_, err := c.Exec(ctx, `SELECT pg_logical_emit_message(true, 'enigma', '')`)
			return err
		})
		switch {
		case err == nil:
			return nil
		case try == tries || !lost(err):
			return fmt.Errorf("waiting for the server's disk: %w", err)
		}
	}
}

func closedError() error { return unavailable(ReasonClosed, unheard{os.ErrClosed}) }
