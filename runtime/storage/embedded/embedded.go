package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// File is the name of the file in its directory.
const File = "state.db"

// cacheBytes bounds the cache of all tenants.
const cacheBytes = 16 << 20

// Options of the driver; the zero value is ready to use.
type Options struct {
	// MaxBytes bounds state.db; beyond it the disk counts as full. The write-ahead
	// log comes on top, about 4 MiB. 0 is no bound but the disk, of which 16 MiB are
	// left for the log.
	MaxBytes int64
	// Now is the clock by which what has run out is dropped. nil is time.Now.
	Now func() time.Time
}

// Store keeps everything in one file.
type Store struct {
	dir     string
	path    string
	options Options
	windows *ledger.Windows
	budgets *ledger.Budgets
	usage   *ledger.Usage
	cache   *ledger.Cache
	audit   auditLog
	changes changes
	// numbers orders jobs by their making and by when they began to wait.
	numbers atomic.Int64
	// loaded is set once the counters are those of the file; closed ends all calls.
	loaded, closed atomic.Bool
	reason         atomic.Pointer[fault]
	writer         *writer
	reader         *reader
	recent         *recent
}

type fault struct {
	reason string
	err    error
}

var _ storage.Store = (*Store)(nil)

// Open opens the file in dir, or makes it. It refuses a directory in use (ErrInUse),
// a file of a newer version (ErrNewer) and a corrupt one (ErrCorrupt). If the disk is
// full, read-only or failing it returns a store whose calls are
// storage.ErrUnavailable until that has healed.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening state directory %s: %w", dir, err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, fmt.Errorf("making state directory %s: %w", dir, err)
	}
	s := &Store{dir: abs, path: filepath.Join(abs, File), options: o}
	s.windows = ledger.NewWindows(true)
	s.budgets = ledger.NewBudgets(o.Now, true)
	s.cache = ledger.NewCache(o.Now, cacheBytes)
	s.reader, s.recent = newReader(s), newRecent()
	s.usage = ledger.NewUsage(o.Now, s.reader.usageBase)
	s.writer = newWriter(s)
	if err := s.writer.attach(ctx); err != nil {
		if final(err) || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("opening %s: %w", s.path, err), s.writer.release(), s.reader.close())
		}
		s.fail(err)
	}
	go s.writer.run()
	return s, nil
}

func (s *Store) fail(err error) {
	s.reason.Store(&fault{reasonOf(s.dir, err), err})
}

// Sessions implements storage.Store.
func (s *Store) Sessions() storage.Sessions { return sessions{s} }

// Windows implements storage.Store.
func (s *Store) Windows() storage.Windows { return windows{s} }

// Budgets implements storage.Store.
func (s *Store) Budgets() storage.Budgets { return budgets{s} }

// Usage implements storage.Store.
func (s *Store) Usage() storage.Usage { return usage{s} }

// Cache implements storage.Store. It is in memory alone.
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
func (s *Store) Health() storage.Health {
	if s.closed.Load() {
		return storage.Health{Reason: ReasonClosed}
	}
	if f := s.reason.Load(); f != nil {
		return storage.Health{Reason: f.reason}
	}
	return storage.Health{OK: true}
}

// Close implements storage.Store. What could not be written by the end of ctx is an
// error; calls that come later are storage.ErrUnavailable.
func (s *Store) Close(ctx context.Context) error {
	s.closed.Store(true)
	return s.writer.close(ctx)
}

// admit refuses a call that names no tenant, whose context has ended, or that comes
// when the file isn't there yet or any more.
func (s *Store) admit(ctx context.Context, t tenancy.ID) error {
	if err := s.admitEnded(t); err != nil {
		return err
	}
	return ctx.Err()
}

// admitEnded is admit for calls that are owed though their context has ended.
func (s *Store) admitEnded(t tenancy.ID) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	if s.closed.Load() {
		return unavailable(ReasonClosed, os.ErrClosed)
	}
	if !s.loaded.Load() {
		if f := s.reason.Load(); f != nil {
			return unavailable(f.reason, f.err)
		}
		return storage.ErrUnavailable
	}
	return nil
}
