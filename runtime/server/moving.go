package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/move"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	statefile "github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Move brings what lies in the file under state.path to the store that the document
// names, before the first request is served from there. It returns at once where there
// is nothing to move, or no more. It refuses a file that another process serves.
func Move(ctx context.Context, t *tenancy.Tenant, logger *slog.Logger, pace move.Pace) (_ move.Counts, err error) {
	state := t.Config.State
	if state.Driver != tenantconfig.StateValkey && state.Driver != tenantconfig.StatePostgres || state.Path == "" {
		logger.Info("nothing to move: the document names no file that state comes from")
		return move.Counts{}, nil
	}
	journal, err := move.OpenJournal(state.Path, t.ID, destination(t))
	if err != nil {
		return move.Counts{}, err
	}
	if journal.Done {
		logger.Info("nothing to move: it is done", "at", journal.At, "to", journal.To)
		return journal.Counts, nil
	}
	from, err := openExisting(ctx, state.Path)
	if errors.Is(err, fs.ErrNotExist) {
		logger.Info("nothing to move: there is no file", "path", state.Path)
		return move.Counts{}, nil
	}
	if err != nil {
		return move.Counts{}, fmt.Errorf("opening the state to move: %w", err)
	}
	defer func() { err = errors.Join(err, closeWithin(from)) }()
	to, err := OpenStore(ctx, t, logger)
	if err != nil {
		return move.Counts{}, err
	}
	defer func() { err = errors.Join(err, closeWithin(to)) }()
	return move.Copy(ctx, from.Portable(), to.Portable(), t.ID, journal, pace)
}

// destination names the servers, so that a move is told from one to others. It holds no
// login.
func destination(t *tenancy.Tenant) string {
	state := t.Config.State
	at := func(driver string, s tenantconfig.StateServer) string {
		address, _ := t.Secret(s.URLFile) // opening the store tells what is wrong with it
		u, err := url.Parse(address)
		if err != nil {
			return driver
		}
		return driver + "://" + u.Host + u.Path
	}
	to := at(state.Driver, state.Server)
	if state.LimitsOn != "" {
		to += " " + at(state.LimitsOn, state.LimitsServer)
	}
	return to
}

// openExisting opens the file in dir without waiting for who has it, and makes none.
func openExisting(ctx context.Context, dir string) (storage.Store, error) {
	if _, err := os.Stat(filepath.Join(dir, statefile.File)); err != nil {
		return nil, err
	}
	store, err := statefile.Open(ctx, dir, statefile.Options{})
	if err != nil {
		return nil, err
	}
	return store, nil
}

func closeWithin(s storage.Store) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return s.Close(ctx)
}
