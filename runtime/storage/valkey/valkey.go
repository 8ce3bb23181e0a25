package valkey

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Options of the driver.
type Options struct {
	// URL of the server with its login; the package's text says what it may be.
	URL string
	// CA holds the certificates, in PEM, that the server's is checked against. Empty
	// takes the system's.
	CA []byte
	// Logger is told what an operator must know: a lost server, one that is back, an
	// answer that belonged to another call. Nil tells no one.
	Logger *slog.Logger
}

// Store keeps everything on the server.
type Store struct {
	logger *slog.Logger
	link   *link
	// names by storage identity.
	names sync.Map
	calls atomic.Uint64
}

var _ storage.Store = (*Store)(nil)

// Open reads the options and tries the server once, for a second at most. A server that
// is away, or refuses the login, is no error: calls are storage.ErrUnavailable until
// that has changed, and Health says why. ErrBadURL is.
func Open(ctx context.Context, o Options) (*Store, error) {
	options, err := parse(o.URL, o.CA)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{logger: o.Logger, link: newLink(options, o.Logger)}
	s.link.connect()
	go s.link.keep()
	if err := ctx.Err(); err != nil {
		s.link.end()
		return nil, fmt.Errorf("opening the state server: %w", err)
	}
	return s, nil
}

// Sessions implements storage.Store.
func (s *Store) Sessions() storage.Sessions { return sessions{s} }

// Windows implements storage.Store.
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

// Health implements storage.Store. Its reasons are the Reason constants.
func (s *Store) Health() storage.Health { return s.link.health() }

// Close implements storage.Store: every call that has returned is on the server
// already. Calls that come later are storage.ErrUnavailable.
func (s *Store) Close(ctx context.Context) error {
	s.link.end()
	select {
	case <-s.link.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing the connections to the state server: %w", ctx.Err())
	}
}
