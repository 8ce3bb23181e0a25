package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// childDir names the directory of a child process: this binary, run again to be
// killed or watched.
const (
	childDir     = "STORAGE_CHILD_DIR"
	childWriters = "STORAGE_CHILD_WRITERS"
	childTurns   = "STORAGE_CHILD_TURNS"
	childIngests = "STORAGE_CHILD_INGESTS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		run := child
		if os.Getenv(childIngests) != "" {
			run = ingestingChild
		}
		if err := run(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var (
	day   = storage.Limit{Name: "tokens:day:1", Until: time.Now().Add(24 * time.Hour)}
	owner = storage.Owner{Caller: "key:x"}
)

func acme() tenancy.ID {
	id, err := tenancy.NewID("acme", "o/ns/production/acme")
	if err != nil {
		panic(err)
	}
	return id
}

func session(writer int) string { return "session-" + strconv.Itoa(writer) }

// child runs turns at once, each a reservation, its settlement and an append, and
// tells on standard output when one starts and when it is acknowledged. What is
// unavailable is tried again.
func child(dir string) error {
	ctx := context.Background()
	writers, err := strconv.Atoi(os.Getenv(childWriters))
	if err != nil {
		return err
	}
	turns, err := strconv.Atoi(os.Getenv(childTurns))
	if err != nil {
		return err
	}
	s, err := embedded.Open(ctx, dir, embedded.Options{})
	if err != nil {
		return err
	}
	errs := make(chan error, 2*writers)
	var done sync.WaitGroup
	for w := range writers {
		have, err := s.Sessions().History(ctx, acme(), owner, session(w), storage.Page{Limit: 1 << 30})
		for errors.Is(err, storage.ErrUnavailable) {
			if err := say("FAIL history %d %v\n", w, err); err != nil {
				return err
			}
			have, err = s.Sessions().History(ctx, acme(), owner, session(w), storage.Page{Limit: 1 << 30})
		}
		if err != nil {
			return err
		}
		done.Go(func() {
			for i := len(have); i < len(have)+turns; i++ {
				if err := childTurn(ctx, s, w, i); err != nil {
					errs <- err
					return
				}
			}
			// Whatever failed on the way, memory tells what the file has.
			page := storage.Page{Limit: 1 << 30}
			told, err := s.Sessions().History(ctx, acme(), owner, session(w), page)
			if filed, ferr := embedded.HistoryFromFile(ctx, s, acme(), owner, session(w), page); err != nil || ferr != nil || len(told) != len(filed) {
				errs <- fmt.Errorf("session %d: %d messages told, %d in the file: %w", w, len(told), len(filed), errors.Join(err, ferr))
			}
		})
	}
	done.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return s.Close(ctx)
	}
}

func childTurn(ctx context.Context, s *embedded.Store, w, i int) error {
	if err := say("START reserve %d %d\n", w, i); err != nil {
		return err
	}
	r, err := s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{1})
	for errors.Is(err, storage.ErrUnavailable) {
		if err := say("FAIL reserve %d %d %v\n", w, i, err); err != nil {
			return err
		}
		r, err = s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{1})
	}
	if err != nil {
		return err
	}
	if err := say("ACK reserve %d %d\n", w, i); err != nil {
		return err
	}
	if err := s.Budgets().Settle(ctx, acme(), r, []int64{1}); err != nil {
		return err
	}
	if err := say("START append %d %d\n", w, i); err != nil {
		return err
	}
	m := storage.Message{Role: storage.RoleUser, Content: strconv.Itoa(i), At: time.Now()}
	err = s.Sessions().Append(ctx, acme(), owner, session(w), []storage.Message{m}, storage.Keep{})
	for errors.Is(err, storage.ErrUnavailable) {
		if err := say("FAIL append %d %d %v\n", w, i, err); err != nil {
			return err
		}
		err = s.Sessions().Append(ctx, acme(), owner, session(w), []storage.Message{m}, storage.Keep{})
	}
	if err != nil {
		return err
	}
	return say("ACK append %d %d\n", w, i)
}

// say is one write system call, so that a trace shows when it happened.
func say(format string, args ...any) error {
	_, err := fmt.Fprintf(os.Stdout, format, args...)
	return err
}
