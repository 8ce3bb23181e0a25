package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// TestACrashOfTheServer: killed amid appends and reservations of two replicas, it comes
// back with all that was acknowledged, and of the rest the whole or nothing. The same
// stores work on.
func TestACrashOfTheServer(t *testing.T) {
	t.Parallel()
	server := servers.OwnPostgres(t, "fsync = on", "full_page_writes = on")
	d := share(t, server)
	id := newID(t, d.name)
	replicas := []*postgres.Store{d.open(t, id, soonTired), d.open(t, id, soonTired)}
	const writers = 8
	acked := make([]int, writers) // turns
	var reserved atomic.Int64     // reservations that were granted
	for round := range 2 {
		var done sync.WaitGroup
		var total atomic.Int64
		busy := make(chan struct{})
		for w := range writers {
			done.Go(func() {
				s := replicas[w%len(replicas)]
				for {
					if err := turn(t, s, id, w, acked[w]); err != nil {
						return
					}
					acked[w]++
					if r, err := s.Budgets().Reserve(t.Context(), id, []storage.Limit{{Name: "day"}}, []int64{1}); err != nil {
						return
					} else if r.Refused == "" {
						reserved.Add(1)
					}
					if total.Add(1) == 200 {
						close(busy)
					}
				}
			})
		}
		<-busy
		server.Kill(t)
		done.Wait()
		if err := write(t.Context(), replicas[0], id); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("while it is away: %v", err)
		}
		server.Start(t)
		back(t, replicas[0], id)
		for w := range writers {
			acked[w] = compare(t, replicas[1], id, w, acked[w])
		}
		_, held, err := replicas[1].Budgets().Spent(t.Context(), id, []string{"day"})
		if err != nil {
			t.Fatal(err)
		}
		// Each writer may have been cut off once a round after the server had it.
		if granted := reserved.Load(); held[0] < granted || held[0] > granted+int64(writers*(round+1)) {
			t.Errorf("round %d: %d are reserved, %d were granted", round, held[0], granted)
		}
		t.Logf("round %d: %d turns acknowledged", round, total.Load())
	}
}

func soonTired(o *postgres.Options) { o.Timeout = 2 * time.Second }

func turn(t *testing.T, s storage.Store, id tenancy.ID, writer, n int) error {
	at := time.Now()
	msgs := []storage.Message{
		{Role: storage.RoleUser, Content: fmt.Sprint(n), At: at},
		{Role: storage.RoleAssistant, Content: fmt.Sprint(n), At: at.Add(time.Millisecond)},
	}
	return s.Sessions().Append(t.Context(), id, owner, fmt.Sprint("writer", writer), msgs, storage.Keep{})
}

// compare returns how many turns are kept: all that were acknowledged and at most the one
// that was under way.
func compare(t *testing.T, s storage.Store, id tenancy.ID, writer, acked int) int {
	t.Helper()
	got, err := s.Sessions().History(t.Context(), id, owner, fmt.Sprint("writer", writer), storage.Page{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if len(got)%2 != 0 || len(got)/2 < acked || len(got)/2 > acked+1 {
		t.Errorf("writer %d: %d messages are kept, %d turns were acknowledged", writer, len(got), acked)
	}
	slices.Reverse(got)
	for i, m := range got {
		if m.Content != fmt.Sprint(i/2) || (m.Role == storage.RoleUser) != (i%2 == 0) {
			t.Fatalf("writer %d: message %d is %s %s", writer, i, m.Role, m.Content)
		}
	}
	return len(got) / 2
}

// TestTheServerIsAwayAtTheStart, comes, goes and comes again.
func TestTheServerIsAwayAtTheStart(t *testing.T) {
	t.Parallel()
	server := servers.OwnPostgres(t)
	d := share(t, server)
	id := newID(t, d.name)
	login, err := d.login(t.Context(), id, "a")
	if err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	begin := time.Now()
	s := open(t, postgres.Options{URL: login})
	if took := time.Since(begin); took > 1500*time.Millisecond {
		t.Errorf("Open took %v", took)
	}
	wantHealth(t, s, postgres.ReasonUnreachable)
	if _, _, err := s.Cache().Get(t.Context(), id, "k"); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	server.Start(t)
	for range 2 {
		back(t, s, id)
		server.Kill(t)
		if err := write(t.Context(), s, id); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("while it is away: %v", err)
		}
		wantHealth(t, s, postgres.ReasonUnreachable)
		server.Start(t)
	}
	back(t, s, id)
}

// TestTheSchemaComesLast: a tenant's pod that is there before the operator has made the
// schema waits for it.
func TestTheSchemaComesLast(t *testing.T) {
	t.Parallel()
	server := servers.Postgres(t)
	d := share(t, server)
	id := newID(t, d.name)
	super := connect(t, server.Super(d.name))
	if err := run(t.Context(), super, "ALTER SCHEMA enigma RENAME TO later"); err != nil {
		t.Fatal(err)
	}
	s := d.open(t, id)
	wantHealth(t, s, postgres.ReasonSchema)
	if err := write(t.Context(), s, id); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if err := run(t.Context(), super, "ALTER SCHEMA later RENAME TO enigma; UPDATE enigma.schema SET version = 0"); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), s, id); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("an old schema: got %v", err)
	}
	wantHealth(t, s, postgres.ReasonSchema)
	if err := run(t.Context(), super, fmt.Sprint("UPDATE enigma.schema SET version = ", statestore.PostgresVersion)); err != nil {
		t.Fatal(err)
	}
	back(t, s, id)
}

// TestWhatIsClosedIsOnTheDisk: settlements, usage and audit, which wait for no disk, are
// there after a crash that follows Close.
func TestWhatIsClosedIsOnTheDisk(t *testing.T) {
	t.Parallel()
	server := servers.OwnPostgres(t, "fsync = on", "wal_writer_delay = 10s")
	d := share(t, server)
	id := newID(t, d.name)
	s := d.open(t, id)
	furnish(t, s, id, 1)
	if err := s.Usage().Add(t.Context(), id, storage.UsageRecord{At: time.Now(), Model: "last"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sessions().History(t.Context(), id, owner, "s0", storage.Page{Limit: 1}); !errors.Is(err, storage.ErrUnavailable) || s.Health().Reason != postgres.ReasonClosed {
		t.Errorf("after Close: %v, %+v", err, s.Health())
	}
	server.Kill(t)
	server.Start(t)
	again := d.open(t, id)
	buckets, err := again.Usage().Sum(t.Context(), id, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil || len(buckets) != 2 {
		t.Errorf("%d buckets, %v; want 2", len(buckets), err)
	}
	if used, reserved, err := again.Budgets().Spent(t.Context(), id, []string{"day"}); err != nil || used[0] != 3 || reserved[0] != 0 {
		t.Errorf("used %v, reserved %v, %v", used, reserved, err)
	}
}
