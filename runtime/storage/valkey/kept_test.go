package valkey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
)

// TestIndexesOutliveWhatTheyName: sessions that are kept for ever, or were loaded, are
// found by an erasure though others of the tenant run out.
func TestIndexesOutliveWhatTheyName(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)})
	ctx, o, now := t.Context(), storage.Owner{Caller: "x", All: true}, time.Now()
	message := func() []storage.Message { return []storage.Message{{Role: storage.RoleUser, At: now}} }
	loaded := storage.SessionRecord{Caller: "x", ID: "loaded", Created: now, Messages: message()}
	if err := s.Portable().Load(ctx, id, []storage.Record{{Session: &loaded}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sessions().Append(ctx, id, o, "ever", message(), storage.Keep{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sessions().Append(ctx, id, o, "an hour", message(), storage.Keep{Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	listed := r.Do(t, "KEYS", prefix(id)+"session*")
	keys, err := listed.AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		m := r.Do(t, "PTTL", key)
		ttl, err := m.AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		if runsOut := strings.HasSuffix(key, ":an hour"); runsOut != (ttl >= 0) {
			t.Errorf("%s lives for %d ms", strings.TrimPrefix(key, prefix(id)), ttl)
		}
	}
	// With the last of those that stay for ever the indexes run out again.
	for _, session := range []string{"loaded", "ever"} {
		if err := s.Sessions().Delete(ctx, id, o, session); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Second)
	if err := s.Sessions().Append(ctx, id, o, "an hour", message(), storage.Keep{Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for _, index := range []string{"sessions", "sessionsof:1:x", "sessionnames"} {
		m := r.Do(t, "PTTL", prefix(id)+index)
		if ttl, err := m.AsInt64(); err != nil || ttl < 0 {
			t.Errorf("%s lives for %d ms, %v", index, ttl, err)
		}
	}
}

// TestALongSession: the longest that a tenant's document allows is paged, dumped and
// loaded, and no page of it holds the server up.
func TestALongSession(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)})
	ctx, o := t.Context(), storage.Owner{Caller: "x"}
	const messages = 100_000
	first := time.UnixMilli(1_700_000_000_000).UTC()
	content := func(n int) string { return fmt.Sprint(n, strings.Repeat("x", 100)) }
	for from := 0; from < messages; from += 5000 {
		msgs := make([]storage.Message, 5000)
		for i := range msgs {
			msgs[i] = storage.Message{Role: storage.RoleUser, Content: content(from + i), At: first.Add(time.Duration(from+i) * time.Second)}
		}
		if err := s.Sessions().Append(ctx, id, o, "s", msgs, storage.Keep{MaxMessages: messages}); err != nil {
			t.Fatal(err)
		}
	}
	r.Do(t, "CONFIG", "SET", "slowlog-log-slower-than", "20000")
	for _, before := range []int{0, 1, 10, 5_000, 50_000, 99_999, 100_000, 200_000} {
		r.Do(t, "SLOWLOG", "RESET")
		// What the machine does beside it may take long once, not three times.
		for range 3 {
			got, err := s.Sessions().History(ctx, id, o, "s", storage.Page{Limit: 10, Before: first.Add(time.Duration(before) * time.Second)})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := min(before, messages) - 1; i >= 0 && len(want) < 10; i-- {
				want = append(want, content(i))
			}
			if !slices.EqualFunc(got, want, func(m storage.Message, content string) bool { return m.Content == content }) {
				t.Fatalf("before message %d: got %d messages, want %d", before, len(got), len(want))
			}
		}
		length := r.Do(t, "SLOWLOG", "LEN")
		if slow, err := length.AsInt64(); slow >= 3 || err != nil {
			t.Errorf("each page before message %d held the server up for more than 20 ms, %v", before, err)
		}
	}
	records := dump(t, s, id)
	if len(records) != 1 || len(records[0].Session.Messages) != messages {
		t.Fatalf("%d records", len(records))
	}
	for i, m := range records[0].Session.Messages {
		if m.Content != content(i) {
			t.Fatalf("message %d of the dump is %.10q…", i, m.Content)
		}
	}
	if err := s.Portable().Load(ctx, id, records); err != nil {
		t.Errorf("Load: %v", err)
	}
}

// TestAuditOfOneMoment: more records of one millisecond than a dump reads at once, each
// given once, wherever the dump goes on.
func TestAuditOfOneMoment(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)})
	ctx, at, want := t.Context(), time.Now().Truncate(time.Millisecond).UTC(), []storage.Record{}
	for i := range 700 {
		a := storage.AuditRecord{At: at.Add(time.Duration(i/350) * time.Millisecond), Tool: fmt.Sprint(i)}
		if err := s.Audit().Record(ctx, id, a); err != nil {
			t.Fatal(err)
		}
		want = append(want, storage.Record{Audit: &a})
	}
	var got []storage.Record
	enough := errors.New("enough")
	for from := ""; ; {
		n := 0
		err := s.Portable().Dump(ctx, id, from, func(r storage.Record, next string) error {
			if n++; n > 130 {
				return enough
			}
			got, from = append(got, r), next
			return nil
		})
		if err == nil {
			break
		}
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestAnOpenThatIsGivenUpKeepsNoConnection.
func TestAnOpenThatIsGivenUpKeepsNoConnection(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	user := login(t, r, id)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if _, err := valkey.Open(ctx, valkey.Options{URL: r.URL(user, password)}); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	soon(t, "its connections to end", 2*time.Second, func() bool {
		m := r.Do(t, "CLIENT", "LIST")
		clients, err := m.ToString()
		if err != nil {
			t.Fatal(err)
		}
		return !strings.Contains(clients, "user="+user)
	})
}
