package embedded_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
)

// dumped is what a dump gives of acme.
func dumped(t *testing.T, s *embedded.Store) (all []storage.Record) {
	t.Helper()
	err := s.Portable().Dump(context.Background(), acme(), "", func(r storage.Record, _ string) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		t.Fatalf("Dump: %v", err)
	}
	return all
}

func audited(at time.Time, tool string) storage.AuditRecord {
	return storage.AuditRecord{At: at.Truncate(time.Millisecond).UTC(), Caller: "key:x", Tool: tool, Outcome: "ok", Duration: time.Millisecond}
}

func auditOf(t *testing.T, s *embedded.Store) []storage.AuditRecord {
	t.Helper()
	got, _, err := s.Audit().Records(context.Background(), acme(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), 100, "")
	if err != nil {
		t.Fatalf("Records: %v", err)
	}
	return got
}

// TestAFileOfVersion1KeepsItsData: the file was made by that version's own statements.
func TestAFileOfVersion1KeepsItsData(t *testing.T) {
	dir, now := t.TempDir(), time.Now().Truncate(time.Minute).UTC()
	db, err := sql.Open("sqlite", filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{
		`PRAGMA journal_mode=WAL`,
		embedded.SchemaOf(1),
		fmt.Sprintf(`INSERT INTO sessions VALUES (7, %q, 's', 'key:x', %d, %d, 0, 2)`, acme().Identity(), now.UnixMilli(), now.UnixMilli()+1),
		fmt.Sprintf(`INSERT INTO messages VALUES (7<<32, %q, 'user', 'hello', %d, 1, 0), ((7<<32)+1, %q, 'assistant', 'hi', %d, 2, 1)`,
			acme().Identity(), now.UnixMilli(), acme().Identity(), now.UnixMilli()+1),
		fmt.Sprintf(`INSERT INTO budgets VALUES (%q, %q, 30, 12, %d)`, acme().Identity(), day.Name, day.Until.UnixMilli()),
		fmt.Sprintf(`INSERT INTO usage VALUES (%q, %d, 'm', 'chat', 'ok', 3, 4, 5, 6, 7)`, acme().Identity(), now.Unix()/60),
	} {
		if _, err := db.ExecContext(t.Context(), stmt); err != nil {
			t.Fatalf("%s: %v", stmt, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	want := []storage.Record{
		{Session: &storage.SessionRecord{Caller: "key:x", ID: "s", Created: now, Messages: []storage.Message{
			{Role: "user", Content: "hello", At: now, Tokens: 1},
			{Role: "assistant", Content: "hi", At: now.Add(time.Millisecond), Tokens: 2, Partial: true},
		}}},
		{Budget: &storage.BudgetRecord{Name: day.Name, Used: 42, Until: time.UnixMilli(day.Until.UnixMilli())}},
		{Usage: &storage.UsageBucket{Minute: now, Model: "m", Feature: "chat", Outcome: "ok", Calls: 3, TokensIn: 4, TokensOut: 5, MicroUSD: 6, Latency: 7}},
	}
	for range 2 {
		s := open(t, dir, embedded.Options{})
		if d := cmp.Diff(want, dumped(t, s)); d != "" {
			t.Fatalf("of the old file (-want +got):\n%s", d)
		}
		r := audited(time.Now(), fmt.Sprint("tool", len(want)))
		if err := errors.Join(s.Audit().Record(t.Context(), acme(), r), s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		want = append(want, storage.Record{Audit: &r})
	}
}

func TestAuditIsWrittenThoughNobodyWaits(t *testing.T) {
	dir := t.TempDir()
	s, began := open(t, dir, embedded.Options{}), time.Now()
	if err := s.Audit().Record(t.Context(), acme(), audited(began, "a")); err != nil {
		t.Fatal(err)
	}
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for db, n := raw(t, dir), 0; n == 0; <-look.C {
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM audit`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 && time.Since(began) > 5*time.Second {
			t.Fatal("after 5 s the file has no audit record")
		}
	}
	if err := s.Audit().Record(t.Context(), acme(), audited(began, "b")); err != nil {
		t.Fatal(err)
	}
	if got := auditOf(t, s); len(got) != 2 {
		t.Errorf("got %v, want both, and each once", got)
	}
}

// TestAFullFileCanBeMoved: what can't be written any more can be read, audit that
// waits included, and is written once there is room.
func TestAFullFileCanBeMoved(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, embedded.Options{MaxBytes: 2 << 20})
	acked := fill(t, s, "s", 20_000)
	for i := range 10_000 {
		if err := s.Audit().Record(ctx, acme(), audited(time.Now(), fmt.Sprint(i))); err != nil {
			t.Fatalf("record %d while the file is full: %v", i, err)
		}
	}
	wantUnavailable(t, "a record too many", s.Audit().Record(ctx, acme(), audited(time.Now(), "more")), embedded.ReasonDiskFull)
	messages, records := 0, 0
	for _, r := range dumped(t, s) {
		if r.Session != nil {
			messages += len(r.Session.Messages)
		} else if r.Audit != nil {
			records++
		}
	}
	if messages != acked || records != 10_000 {
		t.Errorf("the dump has %d messages and %d audit records, want %d and 10000", messages, records, acked)
	}
	if n, err := s.Portable().Erase(ctx, acme()); err != nil || n != 1 {
		t.Fatalf("Erase: %d, %v", n, err)
	}
	wantHealth(t, s, "")
	if got := dumped(t, s); len(got) != 0 {
		t.Errorf("%d records are left", len(got))
	}
	if err := s.Audit().Record(ctx, acme(), audited(time.Now(), "after")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if got := auditOf(t, open(t, dir, embedded.Options{MaxBytes: 2 << 20})); len(got) != 1 || got[0].Tool != "after" {
		t.Errorf("the next process reads %v", got)
	}
}

// TestErasedIsErasedFromTheFile: counters on their way to the file don't come back.
func TestErasedIsErasedFromTheFile(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, embedded.Options{})
	for range 50 {
		_, err := s.Windows().Take(ctx, acme(), "k", []storage.Window{{Name: "long", Limit: 9, Length: time.Hour}}, time.Now())
		err = errors.Join(err, s.Usage().Add(ctx, acme(), storage.UsageRecord{At: time.Now(), Model: "m"}), s.Audit().Record(ctx, acme(), audited(time.Now(), "a")))
		_, reserving := s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{1})
		if err := errors.Join(err, reserving, appendOne(s, "s", 10)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Portable().Erase(ctx, acme()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	db := raw(t, dir)
	for _, table := range []string{"sessions", "messages", "windows", "budgets", "usage", "audit"} {
		var n int
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s has %d rows, %v", table, n, err)
		}
	}
}
