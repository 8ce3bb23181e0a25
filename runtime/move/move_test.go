package move_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/move"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func tenant(t testing.TB, public, identity string) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID(public, identity)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func acme(t testing.TB) tenancy.ID { return tenant(t, "acme", "o/n/development/acme") }

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// belongings are n sessions and one of each other record.
func belongings(n int) []storage.Record {
	var all []storage.Record
	for i := range n {
		at := noon.Add(time.Duration(i) * time.Second)
		all = append(all, storage.Record{Session: &storage.SessionRecord{
			Caller: fmt.Sprintf("key:%d", i%3), ID: fmt.Sprintf("s%d", i), Created: at,
			Messages: []storage.Message{
				{Role: storage.RoleUser, Content: fmt.Sprintf("c4nary <%d> \u2028\n", i), At: at},
				{Role: storage.RoleAssistant, Content: "c4nary & answer", At: at.Add(time.Millisecond), Tokens: 7, Partial: i%2 == 0},
			},
		}})
	}
	return append(all,
		storage.Record{Budget: &storage.BudgetRecord{Name: "tokens:month:2026-11", Used: 42, Until: time.Date(2126, 12, 1, 0, 0, 0, 0, time.UTC)}},
		storage.Record{Usage: &storage.UsageBucket{Minute: time.Now().UTC().Truncate(time.Minute), Model: "big", Feature: "chat", Outcome: "ok", Calls: 3, TokensIn: 5, TokensOut: 6, MicroUSD: 7, Latency: 8}},
		storage.Record{Audit: &storage.AuditRecord{At: time.Now().UTC().Truncate(time.Millisecond), Caller: "key:0", Tool: "search", ParamsHash: "ab", Outcome: "ok", Duration: 9}},
	)
}

func with(t testing.TB, id tenancy.ID, records []storage.Record) *memory.Store {
	t.Helper()
	s := memory.New(memory.Options{})
	if err := s.Portable().Load(t.Context(), id, records); err != nil {
		t.Fatal(err)
	}
	return s
}

// dumped is what a store holds, in a form that can be compared.
func dumped(t testing.TB, s storage.Portable, id tenancy.ID) map[string]storage.Record {
	t.Helper()
	all := map[string]storage.Record{}
	err := s.Dump(t.Context(), id, "", func(r storage.Record, _ string) error {
		name := fmt.Sprintf("%+v", r.Audit)
		switch {
		case r.Session != nil:
			name = r.Session.Caller + " " + r.Session.ID
		case r.Budget != nil:
			name = r.Budget.Name
		case r.Usage != nil:
			name = r.Usage.Minute.String() + r.Usage.Model
		}
		if _, twice := all[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		all[name] = r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantSame(t testing.TB, id tenancy.ID, got, want storage.Portable) {
	t.Helper()
	if d := cmp.Diff(dumped(t, want, id), dumped(t, got, id)); d != "" {
		t.Errorf("not the same (-want +got):\n%s", d)
	}
}

// frail is a store that fails at one load, before or after it has taken it in.
type frail struct {
	storage.Portable
	loads, failAt int
	after         bool
}

var errCrash = errors.New("the process is killed")

func (f *frail) Load(ctx context.Context, t tenancy.ID, records []storage.Record) error {
	f.loads++
	if f.loads != f.failAt {
		return f.Portable.Load(ctx, t, records)
	}
	if f.after {
		if err := f.Portable.Load(ctx, t, records); err != nil {
			return err
		}
	}
	return errCrash
}

// TestAMoveGoesOnWhereItWasCutOff: however a run ends, the next one finishes, nothing is
// missing or twice, little is moved again, and a third does nothing.
func TestAMoveGoesOnWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	id := acme(t)
	from := with(t, id, belongings(450))
	want := move.Counts{Sessions: 450, Messages: 900, Budgets: 1, Usage: 1, Audit: 1}
	for failAt := 1; failAt <= 5; failAt++ {
		for _, after := range []bool{false, true} {
			dir := t.TempDir()
			to := &frail{Portable: memory.New(memory.Options{}).Portable(), failAt: failAt, after: after}
			run := func() (move.Counts, error) {
				j, err := move.OpenJournal(dir, id, "valkey://a")
				if err != nil {
					t.Fatal(err)
				}
				return move.Copy(t.Context(), from.Portable(), to, id, j, move.Pace{})
			}
			if c, err := run(); !errors.Is(err, errCrash) || c.Sessions != int64(failAt-1)*100 {
				t.Fatalf("cut at load %d: %+v, %v", failAt, c, err)
			}
			if c, err := run(); err != nil || c != want {
				t.Errorf("cut at load %d, then: %+v, %v", failAt, c, err)
			}
			if to.loads != 6 {
				t.Errorf("cut at load %d: %d loads, want 5 and the one that failed", failAt, to.loads)
			}
			wantSame(t, id, to.Portable, from.Portable())
			if c, err := run(); err != nil || c != want || to.loads != 6 {
				t.Errorf("once more: %+v, %v, %d loads", c, err, to.loads)
			}
		}
	}
}

func TestTheJournal(t *testing.T) {
	t.Parallel()
	id := acme(t)
	from := with(t, id, belongings(3))
	dir := t.TempDir()
	copied := func(to string) *frail {
		t.Helper()
		f := &frail{Portable: memory.New(memory.Options{}).Portable()}
		j, err := move.OpenJournal(dir, id, to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := move.Copy(t.Context(), from.Portable(), f, id, j, move.Pace{}); err != nil {
			t.Fatal(err)
		}
		return f
	}
	if copied("a").loads != 1 || copied("a").loads != 0 {
		t.Error("a move that is done is done again")
	}
	if copied("b").loads != 1 {
		t.Error("a move to another store counts as one to this")
	}
	if err := errors.Join(move.Reopened(dir), move.Reopened(dir)); err != nil {
		t.Error(err)
	}
	if copied("b").loads != 1 {
		t.Error("a file that was used again isn't moved")
	}
	other := tenant(t, "acme", "o/n/production/acme")
	if _, err := move.OpenJournal(dir, other, "b"); !errors.Is(err, move.ErrJournal) {
		t.Errorf("another tenant's journal: %v", err)
	}
	path := filepath.Join(dir, "moved.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte(`{"version":1,"ident`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := move.OpenJournal(dir, id, "b"); !errors.Is(err, move.ErrJournal) {
		t.Errorf("a damaged journal: %v", err)
	}
}

// TestNothingMovesWithoutAJournal: a move that couldn't say that it is done would bring
// old data back at the next start.
func TestNothingMovesWithoutAJournal(t *testing.T) {
	t.Parallel()
	id := acme(t)
	from := with(t, id, belongings(3))
	to := &frail{Portable: memory.New(memory.Options{}).Portable()}
	dir := filepath.Join(t.TempDir(), "gone")
	j, err := move.OpenJournal(dir, id, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := move.Copy(t.Context(), from.Portable(), to, id, j, move.Pace{}); err == nil || to.loads != 0 {
		t.Errorf("%v, %d loads", err, to.loads)
	}
}

// away is a store that is away at times.
type away struct {
	storage.Portable
	until time.Time
	dumps int
}

func (a *away) Load(ctx context.Context, t tenancy.ID, records []storage.Record) error {
	if time.Now().Before(a.until) {
		return fmt.Errorf("%w: connection refused", storage.ErrUnavailable)
	}
	return a.Portable.Load(ctx, t, records)
}

// Dump loses its server after every second record.
func (a *away) Dump(ctx context.Context, t tenancy.ID, from string, yield func(storage.Record, string) error) error {
	a.dumps++
	n := 0
	return a.Portable.Dump(ctx, t, from, func(r storage.Record, next string) error {
		if n++; n > 2 {
			return storage.ErrUnavailable
		}
		return yield(r, next)
	})
}

// TestAStoreThatIsAwayIsWaitedFor, but not for ever.
func TestAStoreThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		id := acme(t)
		from := &away{Portable: with(t, id, belongings(300)).Portable()}
		to := &away{Portable: memory.New(memory.Options{}).Portable(), until: time.Now().Add(50 * time.Second)}
		open := func() *move.Journal {
			j, err := move.OpenJournal(t.TempDir(), id, "a")
			if err != nil {
				t.Fatal(err)
			}
			return j
		}
		told, waited := 0, 0
		pace := move.Pace{Progress: func(move.Counts) { told++ }, Waiting: func(error) { waited++ }}
		if c, err := move.Copy(t.Context(), from, to, id, open(), pace); err != nil || c.Sessions != 300 {
			t.Fatalf("%+v, %v", c, err)
		}
		wantSame(t, id, to.Portable, from.Portable)
		if from.dumps < 150 || waited < 9 || told == 0 {
			t.Errorf("%d dumps, told %d times of progress and %d of waiting", from.dumps, told, waited)
		}
		to.until = time.Now().Add(time.Hour)
		began := time.Now()
		if _, err := move.Copy(t.Context(), from, to, id, open(), pace); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("waited for %v", took)
		}
	})
}
