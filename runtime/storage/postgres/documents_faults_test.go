package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// versionOf stages a version of n passages that all tell which it is.
func versionOf(t *testing.T, s storage.Store, id tenancy.ID, doc string, n int) storage.Document {
	t.Helper()
	version, err := s.Documents().NextVersion(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	passages := make([]storage.Passage, n)
	for i := range passages {
		passages[i] = storage.Passage{N: i, Text: fmt.Sprint(version), Vector: []float32{1, float32(i)}}
	}
	if err := s.Documents().Stage(t.Context(), id, doc, version, passages); err != nil {
		t.Fatal(err)
	}
	return storage.Document{ID: doc, Version: version, Title: fmt.Sprint(version), Passages: n, Updated: time.Now()}
}

// wantWhole fails unless one whole version is there, and returns it. A call that its caller
// gave up may still be done while it reads: then it reads anew.
func wantWhole(t *testing.T, s storage.Store, id tenancy.ID, doc string) storage.Document {
	t.Helper()
	for {
		d, there, err := s.Documents().Document(t.Context(), id, doc)
		if err != nil || !there {
			t.Fatalf("document %q: there %v, error %v", doc, there, err)
		}
		got, err := s.Documents().Passages(t.Context(), id, doc, d.Version, 0, 1000, true)
		if err != nil {
			t.Fatal(err)
		}
		documents, passages, err := s.Documents().Totals(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if after, _, err := s.Documents().Document(t.Context(), id, doc); err != nil || after.Version != d.Version {
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		if len(got) != d.Passages || documents != 1 || passages != int64(d.Passages) {
			t.Fatalf("version %s has %d passages of %d; totals %d and %d", d.Title, len(got), d.Passages, documents, passages)
		}
		for i, p := range got {
			if p.N != i || p.Text != d.Title || len(p.Vector) != 2 || p.Vector[1] != float32(i) {
				t.Fatalf("passage %d of version %s is %+v", i, d.Title, p)
			}
		}
		return d
	}
}

// TestPublishThroughFaults: the way breaks at any moment of publishing; a reader finds the
// version before or the one after, whole, and publishing again ends it.
func TestPublishThroughFaults(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id, p := newID(t, d.name), newProxy(t, d.server)
	login, err := d.login(t.Context(), id, "a")
	if err != nil {
		t.Fatal(err)
	}
	reader := d.open(t, id)
	s := open(t, postgres.Options{URL: p.through(login), Timeout: 60 * time.Millisecond})
	begin := versionOf(t, reader, id, "d", 7)
	last, err := reader.Documents().Publish(t.Context(), id, begin)
	if err != nil {
		t.Fatal(err)
	}
	unavailable, kept := 0, 0
	for round := range 24 {
		next := versionOf(t, reader, id, "d", 3+round%9)
		back(t, s, id)
		var broken sync.WaitGroup
		broken.Go(func() {
			time.Sleep(time.Duration(round*257%6000) * time.Microsecond) // any moment of a call of some ms
			if round%3 == 2 {
				p.add("downstream", "timeout", map[string]int{"timeout": 0})
			} else {
				p.Stop()
			}
		})
		_, err := s.Documents().Publish(t.Context(), id, next)
		broken.Wait()
		if err != nil {
			unavailable++
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("round %d: got %v", round, err)
			}
		}
		have := wantWhole(t, reader, id, "d")
		if have.Version != last.Version && have.Version != next.Version || err == nil && have.Version != next.Version {
			t.Fatalf("round %d: version %d is there, neither %d nor %d; error %v", round, have.Version, last.Version, next.Version, err)
		}
		if err != nil && have.Version == next.Version {
			kept++
		}
		p.heal()
		if round%3 != 2 {
			p.restart()
		}
		if last, err = reader.Documents().Publish(t.Context(), id, next); err != nil || last.Version != next.Version {
			t.Fatalf("round %d: publishing again: version %d, error %v", round, last.Version, err)
		}
		wantWhole(t, reader, id, "d")
	}
	t.Logf("%d failed, of which %d were done all the same", unavailable, kept)
	if unavailable == 0 || unavailable == 24 && kept == 0 {
		t.Error("calls failed always before they began, or never: nothing was shown")
	}
}

// TestAwaitHearsAndPolls: a change on another replica is told at once, and also when what
// listens is cut off again and again.
func TestAwaitHearsAndPolls(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id, p := newID(t, d.name), newProxy(t, d.server)
	login, err := d.login(t.Context(), id, "a")
	if err != nil {
		t.Fatal(err)
	}
	writer, s := d.open(t, id), open(t, postgres.Options{URL: p.through(login), Timeout: patient})
	super := connect(t, d.server.Super(d.name))
	await := func(after int64) (head int64, took time.Duration) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		next := versionOf(t, writer, id, "d", 1)
		published := make(chan time.Time, 1)
		go func() {
			// The waiting one is waiting once it has asked for the head.
			time.Sleep(50 * time.Millisecond)
			_, err := writer.Documents().Publish(ctx, id, next)
			if err != nil {
				t.Error(err)
			}
			published <- time.Now()
		}()
		head, err := s.Documents().Await(ctx, id, after)
		if err != nil || head <= after {
			t.Fatalf("head %d after %d, error %v", head, after, err)
		}
		return head, time.Since(<-published)
	}
	head, _ := await(0) // begins to listen
	const listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
	for begin := time.Now(); count(t, super, listening) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > patient {
			t.Fatal("nobody listens")
		}
		// It listens on what it has once seen.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, _ = s.Documents().Await(ctx, id, head)
		cancel()
	}
	fastest := patient
	for range 5 {
		var took time.Duration
		head, took = await(head)
		fastest = min(fastest, took)
	}
	t.Logf("told within %v", fastest)
	if fastest > time.Second {
		t.Errorf("told after %v: it was polled", fastest)
	}
	for range 3 {
		if err := run(t.Context(), super, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"); err != nil {
			t.Fatal(err)
		}
		head, _ = await(head)
	}
	// Erased and made anew, the tenant has another channel.
	if _, err := writer.Portable().Erase(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if got, err := s.Documents().Await(ctx, id, head); err != nil || got != 0 {
		t.Errorf("after the erasure: head %d, error %v", got, err)
	}
	await(0)
}

// TestWhatIsDroppedIsDeleted: replaced and removed passages go in the background, and what
// a process that ended left, with the next expiry.
func TestWhatIsDroppedIsDeleted(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id := newID(t, d.name)
	s, super := d.open(t, id), connect(t, d.server.Super(d.name))
	const left = "SELECT (SELECT count(*) FROM enigma.passages) + (SELECT count(*) FROM enigma.vectors) + (SELECT count(*) FROM enigma.dropped)"
	swept := func(want int) {
		t.Helper()
		for begin := time.Now(); count(t, super, left) != want; time.Sleep(5 * time.Millisecond) {
			if time.Since(begin) > patient {
				t.Fatalf("%d rows are left, want %d", count(t, super, left), want)
			}
		}
	}
	for _, n := range []int{1000, 10} {
		if _, err := s.Documents().Publish(t.Context(), id, versionOf(t, s, id, "d", n)); err != nil {
			t.Fatal(err)
		}
	}
	swept(20)
	part := uuid.New()
	// The passages first: a sweep that still runs would else find none, and be done with them.
	if _, err := super.Exec(t.Context(), "INSERT INTO enigma.passages SELECT $1, $2, n, 0, 'x', '' FROM generate_series(0, 2499) n", statestore.Tag(id.Identity()), part); err != nil {
		t.Fatal(err)
	}
	if _, err := super.Exec(t.Context(), "INSERT INTO enigma.dropped VALUES ($1, $2, 0, 2500)", statestore.Tag(id.Identity()), part); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sessions().Expire(t.Context(), id, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	swept(20)
	if _, err := s.Documents().Remove(t.Context(), id, "d"); err != nil {
		t.Fatal(err)
	}
	swept(0)
}

// TestOldSchemaIsUpgraded: a database of the version before keeps what it has, and its
// tenants get documents once the operator has run its scripts.
func TestOldSchemaIsUpgraded(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id := newID(t, d.name)
	s := d.open(t, id)
	if err := write(t.Context(), s, id); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	super := connect(t, d.server.Super(d.name))
	back := "UPDATE enigma.schema SET version = 1; DROP TABLE enigma.libraries, enigma.documents, enigma.removals, enigma.parts, enigma.passages, enigma.vectors, enigma.dropped, enigma.queues, enigma.jobs, enigma.payloads CASCADE;" +
		"DROP FUNCTION enigma.next_version, enigma.is_old, enigma.stage, enigma.drop_parts, enigma.publish, enigma.remove_document, enigma.sweep, enigma.prune_documents, enigma.add_job, enigma.update_job, enigma.erase_documents"
	if err := run(t.Context(), super, back); err != nil {
		t.Fatal(err)
	}
	s = d.open(t, id)
	if _, err := s.Documents().NextVersion(t.Context(), id); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("on the old schema: got %v", err)
	}
	wantHealth(t, s, postgres.ReasonSchema)
	for range 2 {
		if err := d.operate(t.Context(), statestore.PostgresSchema(), statestore.PostgresShare()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Documents().Publish(t.Context(), id, versionOf(t, s, id, "d", 3)); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, s, id, "d")
	got, err := s.Sessions().History(t.Context(), id, owner, "s", storage.Page{Limit: 9})
	if err != nil || len(got) != 1 {
		t.Errorf("of the old database: %d messages, error %v", len(got), err)
	}
}
