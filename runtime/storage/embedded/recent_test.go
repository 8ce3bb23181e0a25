package embedded_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// fromFile is a store whose histories come from the file alone.
type fromFile struct{ *embedded.Store }

type fileSessions struct {
	storage.Sessions
	s *embedded.Store
}

func (f fromFile) Sessions() storage.Sessions { return fileSessions{f.Store.Sessions(), f.Store} }

func (f fileSessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
	// What History refuses before it looks is refused here too.
	if _, err := f.Sessions.History(ctx, t, o, id, page); err != nil {
		return nil, err
	}
	return embedded.HistoryFromFile(ctx, f.s, t, o, id, page)
}

func TestTheFileKeepsThePromises(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		return fromFile{open(t, t.TempDir(), embedded.Options{})}
	})
}

// TestMemoryTellsWhatTheFileTells: whatever is appended, deleted and expired, a page
// that is answered from memory is that of the file.
func TestMemoryTellsWhatTheFileTells(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), embedded.Options{})
	run, answered := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		run++
		id, err := tenancy.NewID("acme", fmt.Sprint("o/ns/production/acme", run))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.UnixMilli(1_700_000_000_000)
		now := begin
		sessions, callers := rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"key:x", "key:y"})
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			name := sessions.Draw(t, "session")
			o := storage.Owner{Caller: callers.Draw(t, "caller"), All: rapid.IntRange(0, 3).Draw(t, "all") == 0}
			switch rapid.SampledFrom([]string{"append", "append", "append", "many", "large", "delete", "expire"}).Draw(t, "what") {
			case "append":
				err = appendAt(ctx, s, id, o, name, &now, rapid.IntRange(1, 3).Draw(t, "messages"), 10, rapid.IntRange(0, 5).Draw(t, "kept"))
			case "many":
				err = appendAt(ctx, s, id, o, name, &now, 40, 10, 0)
			case "large":
				err = appendAt(ctx, s, id, o, name, &now, 2, 30_000, 0)
			case "delete":
				err = s.Sessions().Delete(ctx, id, o, name)
			case "expire":
				_, err = s.Sessions().Expire(ctx, id, now.Add(-2*time.Second))
			}
			if err != nil {
				t.Fatal(err)
			}
			page := storage.Page{Limit: rapid.SampledFrom([]int{1, 2, 7, 40, 1000}).Draw(t, "limit")}
			if rapid.Bool().Draw(t, "paged") {
				page.Before = begin.Add(time.Duration(rapid.Int64Range(0, int64(now.Sub(begin))).Draw(t, "before")))
			}
			for _, name := range []string{"a", "b"} {
				for _, caller := range []string{"key:x", "key:y"} {
					o := storage.Owner{Caller: caller}
					got, ok := embedded.HistoryFromMemory(s, id, o, name, page)
					if !ok {
						continue
					}
					answered++
					want, err := embedded.HistoryFromFile(ctx, s, id, o, name, page)
					if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || err != nil {
						t.Fatalf("memory tells of %s's %s (-file +memory), %v:\n%s", caller, name, err, d)
					}
				}
			}
		}
	})
	if answered < 100 {
		t.Errorf("only %d pages were answered from memory", answered)
	}
}

// appendAt appends messages of so many bytes, a second later than the last.
func appendAt(ctx context.Context, s *embedded.Store, id tenancy.ID, o storage.Owner, name string, now *time.Time, n, bytes, keep int) error {
	msgs := make([]storage.Message, n)
	*now = now.Add(time.Second)
	for i := range msgs {
		at := now.Add(time.Duration(i) * time.Millisecond)
		msgs[i] = storage.Message{Role: storage.RoleUser, Content: fmt.Sprint(at.UnixMilli(), strings.Repeat("x", bytes)), At: at, Tokens: i, Partial: i%2 == 1}
	}
	return s.Sessions().Append(ctx, id, o, name, msgs, storage.Keep{MaxMessages: keep})
}

// TestAConversationThatGoesOnIsAnsweredFromMemory is what recent sessions are for.
func TestAConversationThatGoesOnIsAnsweredFromMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, embedded.Options{})
	for i := range 100 {
		if err := appendOne(s, "s", 10); err != nil {
			t.Fatal(err)
		}
		if got, ok := embedded.HistoryFromMemory(s, acme(), owner, "s", storage.Page{Limit: 40}); !ok || len(got) != min(40, i+1) {
			t.Fatalf("after %d messages: %d from memory, %t", i+1, len(got), ok)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What another process wrote isn't known to be whole.
	s = open(t, dir, embedded.Options{})
	if err := appendOne(s, "s", 10); err != nil {
		t.Fatal(err)
	}
	if got, ok := embedded.HistoryFromMemory(s, acme(), owner, "s", storage.Page{Limit: 1}); ok {
		t.Errorf("memory tells %d messages of a session that it didn't see begin", len(got))
	}
	if got := count(t, s, "s"); got != 101 {
		t.Errorf("%d messages, want 101", got)
	}
}

func TestRecentSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), embedded.Options{})
	most := 0
	for i := range 600 {
		if err := appendOne(s, fmt.Sprint("s", i%300), 20_000); err != nil {
			t.Fatal(err)
		}
		most = max(most, embedded.RecentBytes(s))
	}
	if most > embedded.RecentMost || most < embedded.RecentMost/2 {
		t.Errorf("recent sessions took %d bytes, may take %d", most, embedded.RecentMost)
	}
	for i := range 300 {
		if got := count(t, s, fmt.Sprint("s", i)); got != 2 {
			t.Fatalf("session %d has %d messages, want 2", i, got)
		}
	}
}
