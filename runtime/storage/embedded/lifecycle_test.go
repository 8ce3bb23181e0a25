package embedded_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
)

func TestCloseKeepsEverything(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	now := time.Now()
	windows := []storage.Window{{Name: "long", Limit: 3, Length: time.Minute}}
	record := storage.UsageRecord{At: now, Model: "m", Feature: "chat", Outcome: "ok", TokensIn: 5, Latency: time.Second}
	s := open(t, dir, embedded.Options{})
	for i := range 2 {
		if _, err := s.Windows().Take(ctx, acme(), "key", windows, now.Add(time.Duration(i)*time.Nanosecond)); err != nil {
			t.Fatal(err)
		}
	}
	settled, err := s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{100})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{1000}); err != nil {
		t.Fatal(err)
	}
	old := record
	old.At = now.Add(-3 * time.Hour)
	err = errors.Join(s.Budgets().Settle(ctx, acme(), settled, []int64{7}), s.Usage().Add(ctx, acme(), record), s.Usage().Add(ctx, acme(), old), s.Close(ctx))
	if err != nil {
		t.Fatal(err)
	}

	s = open(t, dir, embedded.Options{})
	taken, err := s.Windows().Take(ctx, acme(), "key", windows, now.Add(time.Second))
	if want := (storage.Taken{OK: true, Tightest: "long", Reset: time.Minute}); err != nil || taken != want {
		t.Errorf("third take: got %+v, %v, want %+v", taken, err, want)
	}
	taken, err = s.Windows().Take(ctx, acme(), "key", windows, now.Add(time.Second))
	if want := (storage.Taken{Tightest: "long", RetryAfter: 59 * time.Second, Reset: time.Minute}); err != nil || taken != want {
		t.Errorf("fourth take: got %+v, %v, want %+v", taken, err, want)
	}
	used, reserved, err := s.Budgets().Spent(ctx, acme(), []string{day.Name})
	if err != nil || used[0] != 1007 || reserved[0] != 0 {
		t.Errorf("used %v, reserved %v, %v: 7 were settled, 1000 were never", used, reserved, err)
	}
	// Both a bucket in memory and one that only the file has count on.
	if err := errors.Join(s.Usage().Add(ctx, acme(), record), s.Usage().Add(ctx, acme(), old)); err != nil {
		t.Fatal(err)
	}
	got, err := s.Usage().Sum(ctx, acme(), now.Add(-24*time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	bucket := storage.UsageBucket{Model: "m", Feature: "chat", Outcome: "ok", Calls: 2, TokensIn: 10, Latency: 2 * time.Second}
	first, second := bucket, bucket
	first.Minute, second.Minute = old.At.Truncate(time.Minute).UTC(), now.Truncate(time.Minute).UTC()
	if d := cmp.Diff([]storage.UsageBucket{first, second}, got); d != "" {
		t.Errorf("usage (-want +got):\n%s", d)
	}
}

// TestNobodyWaitsButItIsWritten: a settlement, a record and a take are in the file soon
// though nothing else is written. A busy machine gets more than the second promised.
func TestNobodyWaitsButItIsWritten(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, embedded.Options{})
	r, err := s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{100})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = s.Windows().Take(ctx, acme(), "key", []storage.Window{{Name: "long", Limit: 3, Length: time.Minute}}, start)
	if err := errors.Join(err, s.Budgets().Settle(ctx, acme(), r, []int64{7}), s.Usage().Add(ctx, acme(), storage.UsageRecord{At: start})); err != nil {
		t.Fatal(err)
	}
	db := raw(t, dir)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		var budgets, usage, windows int
		err := db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM budgets WHERE used = 7 AND reserved = 0),
			(SELECT count(*) FROM usage WHERE calls = 1), (SELECT count(*) FROM windows)`).Scan(&budgets, &usage, &windows)
		if err != nil {
			t.Fatal(err)
		}
		if budgets == 1 && usage == 1 && windows == 1 {
			return
		}
		if time.Since(start) > 5*time.Second {
			t.Fatalf("after 5 s the file has %d settlements, %d records, %d windows", budgets, usage, windows)
		}
		<-look.C
	}
}

// TestWhatRanOutLeavesTheFile: a week later the file holds nothing of what doesn't
// matter any more.
func TestWhatRanOutLeavesTheFile(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	var later atomic.Int64
	start := time.Now()
	options := embedded.Options{Now: func() time.Time { return start.Add(time.Duration(later.Load())) }}
	use := func(s *embedded.Store, name string, until time.Time) {
		t.Helper()
		_, err := s.Windows().Take(ctx, acme(), name, []storage.Window{{Name: "long", Limit: 3, Length: time.Minute}}, options.Now())
		if err := errors.Join(err, s.Usage().Add(ctx, acme(), storage.UsageRecord{At: options.Now(), Model: name})); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Budgets().Reserve(ctx, acme(), []storage.Limit{{Name: name, Until: until}}, []int64{1}); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, options)
	use(s, "old", start.Add(time.Hour))
	use(s, "lasting", start.Add(30*24*time.Hour))
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	later.Store(int64(storage.UsageKept + time.Hour))
	s = open(t, dir, options)
	later.Add(int64(time.Hour))
	use(s, "new", options.Now().Add(time.Hour))
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	var got [3]string
	err := raw(t, dir).QueryRowContext(ctx, `SELECT (SELECT group_concat(key) FROM windows), (SELECT group_concat(name) FROM budgets),
		(SELECT group_concat(model) FROM usage)`).Scan(&got[0], &got[1], &got[2])
	if want := [3]string{"new", "lasting,new", "new"}; err != nil || got != want {
		t.Errorf("windows, budgets, usage: got %q, %v, want %q", got, err, want)
	}
}

func TestClosedIsUnavailable(t *testing.T) {
	ctx := t.Context()
	s := open(t, t.TempDir(), embedded.Options{})
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	wantHealth(t, s, embedded.ReasonClosed)
	wantUnavailable(t, "Append", appendOne(s, "s", 1), embedded.ReasonClosed)
	_, err := s.Sessions().History(ctx, acme(), owner, "s", storage.Page{Limit: 1})
	wantUnavailable(t, "History", err, embedded.ReasonClosed)
	_, err = s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{1})
	wantUnavailable(t, "Reserve", err, embedded.ReasonClosed)
	wantUnavailable(t, "Add", s.Usage().Add(ctx, acme(), storage.UsageRecord{}), embedded.ReasonClosed)
}

// TestContextEndsBeforeTheWriterComes: another connection holds the file, so the
// write can't begin; giving up means that it never happens.
func TestContextEndsBeforeTheWriterComes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, embedded.Options{})
	if err := appendOne(s, "s", 1); err != nil {
		t.Fatal(err)
	}
	holder, err := raw(t, dir).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	m := []storage.Message{{Role: storage.RoleUser, Content: "late", At: time.Now()}}
	if err := s.Sessions().Append(ctx, acme(), owner, "s", m, storage.Keep{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Append: got %v", err)
	}
	if _, err := s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{5}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Reserve: got %v", err)
	}
	if got := count(t, s, "s"); got != 1 {
		t.Errorf("a read waited for the writer, or saw %d messages", got)
	}
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: got %v", err)
	}
	if _, err := holder.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(holder.Close(), s.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, embedded.Options{})
	used, reserved, err := s.Budgets().Spent(t.Context(), acme(), []string{day.Name})
	if n := count(t, s, "s"); n != 1 || err != nil || used[0] != 0 || reserved[0] != 0 {
		t.Errorf("%d messages, used %v, reserved %v, %v: given up but done", n, used, reserved, err)
	}
}
