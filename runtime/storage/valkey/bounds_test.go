package valkey_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func prefix(id tenancy.ID) string { return statestore.KeyPrefix(statestore.Tag(id.Identity())) }

// roundTrips counts the scripts that the server was asked to run by a call.
func roundTrips(t *testing.T, r *servers.RedisServer, call func() error) int {
	t.Helper()
	r.Do(t, "CONFIG", "RESETSTAT")
	if err := call(); err != nil {
		t.Fatal(err)
	}
	info := r.Do(t, "INFO", "commandstats")
	text, err := info.ToString()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for line := range strings.Lines(text) {
		for _, command := range []string{"cmdstat_evalsha:calls=", "cmdstat_eval:calls="} {
			if rest, ok := strings.CutPrefix(line, command); ok {
				n, err := strconv.Atoi(rest[:strings.IndexByte(rest, ',')])
				if err != nil {
					t.Fatal(err)
				}
				total += n
			}
		}
	}
	return total
}

func TestOneRoundTripADecision(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)})
	if err := everything(t.Context(), s, id); err != nil { // the scripts are known from here on
		t.Fatal(err)
	}
	ctx, o, now := t.Context(), storage.Owner{Caller: "key:x"}, time.Now()
	windows := []storage.Window{{Name: "long", Limit: 100, Length: time.Minute}, {Name: "burst", Limit: 50, Length: time.Second}}
	limits := []storage.Limit{{Name: "day", Until: now.Add(time.Hour)}, {Name: "month", Until: now.Add(time.Hour)}}
	var held storage.Reservation
	for _, c := range []struct {
		what string
		want int
		call func() error
	}{
		{"Take", 1, func() error { _, err := s.Windows().Take(ctx, id, "k", windows, now); return err }},
		{"Return", 1, func() error { return s.Windows().Return(ctx, id, "k", windows, now) }},
		{"Reserve", 1, func() (err error) { held, err = s.Budgets().Reserve(ctx, id, limits, []int64{1, 1}); return err }},
		{"Settle", 1, func() error { return s.Budgets().Settle(ctx, id, held, []int64{1, 1}) }},
		{"Add", 1, func() error { return s.Usage().Add(ctx, id, storage.UsageRecord{At: now}) }},
		{"Record", 1, func() error { return s.Audit().Record(ctx, id, storage.AuditRecord{At: now}) }},
		{"Put", 1, func() error { return s.Cache().Put(ctx, id, "k", nil, time.Minute) }},
		{"Get", 1, func() error { _, _, err := s.Cache().Get(ctx, id, "k"); return err }},
		{"Append and History", 2, func() error {
			if err := s.Sessions().Append(ctx, id, o, "s", []storage.Message{{Role: "user", At: now}}, storage.Keep{MaxMessages: 50, Retention: time.Hour}); err != nil {
				return err
			}
			_, err := s.Sessions().History(ctx, id, o, "s", storage.Page{Limit: 20})
			return err
		}},
	} {
		if got := roundTrips(t, r, c.call); got != c.want {
			t.Errorf("%s: %d round trips, want %d", c.what, got, c.want)
		}
	}
}

// TestLongWindowsAreExactToo compares windows of hundreds of takes, whose logs are kept
// in another form, with the driver that keeps all in memory.
func TestLongWindowsAreExactToo(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s, model := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)}), memory.New(memory.Options{})
	ctx, random := context.Background(), rand.New(rand.NewPCG(1, 2))
	windows := []storage.Window{{Name: "long", Limit: 700, Length: time.Second}, {Name: "burst", Limit: 150, Length: 100 * time.Millisecond}}
	now, refused := time.Now().Add(-time.Hour), 0
	var taken []time.Time
	for i := range 6000 {
		switch n := random.IntN(1000); {
		case n == 0:
			now = now.Add(-3 * time.Second)
		case n < 10:
			now = now.Add(-time.Duration(random.IntN(50)) * time.Millisecond)
		case n < 20:
			now = now.Add(time.Duration(random.IntN(1500)) * time.Millisecond)
		default:
			now = now.Add(time.Duration(random.IntN(2_000_000)))
		}
		if len(taken) > 0 && random.IntN(20) == 0 {
			at := taken[random.IntN(len(taken))]
			if err := errors.Join(s.Windows().Return(ctx, id, "k", windows, at), model.Windows().Return(ctx, id, "k", windows, at)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Windows().Take(ctx, id, "k", windows, now)
		if err != nil {
			t.Fatal(err)
		}
		want, err := model.Windows().Take(ctx, id, "k", windows, now)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("take %d (-want +got):\n%s", i, d)
		}
		if got.OK {
			taken = append(taken[max(0, len(taken)-300):], now)
		} else {
			refused++
		}
	}
	if refused < 300 {
		t.Errorf("only %d were refused: the test shows little", refused)
	}
}

// TestAllThatIsWrittenRunsOut but for one counter a tenant.
func TestAllThatIsWrittenRunsOut(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)})
	ctx, o, now := t.Context(), storage.Owner{Caller: "x"}, time.Now()
	msgs := []storage.Message{{Role: storage.RoleUser, At: now}}
	windows := []storage.Window{{Name: "long", Limit: 2, Length: time.Minute}}
	limits := []storage.Limit{{Name: "day", Until: now.Add(time.Hour)}}
	_, taking := s.Windows().Take(ctx, id, "k", windows, now)
	held, reserving := s.Budgets().Reserve(ctx, id, limits, []int64{1})
	err := errors.Join(taking, reserving,
		s.Budgets().Settle(ctx, id, held, []int64{1}),
		s.Sessions().Append(ctx, id, o, "s", msgs, storage.Keep{Retention: time.Hour}),
		s.Usage().Add(ctx, id, storage.UsageRecord{At: now}),
		s.Audit().Record(ctx, id, storage.AuditRecord{At: now}),
		s.Cache().Put(ctx, id, "k", []byte("v"), time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	listed := r.Do(t, "KEYS", "*")
	keys, err := listed.AsStrSlice()
	if err != nil || len(keys) != 13 {
		t.Errorf("%d keys, %v: %q", len(keys), err, keys)
	}
	for _, key := range keys {
		m := r.Do(t, "PTTL", key)
		ttl, err := m.AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		if most := (storage.UsageKept + 2*time.Hour).Milliseconds(); strings.HasSuffix(key, ":number") != (ttl == -1) || ttl > most {
			t.Errorf("%s lives for %d ms", strings.TrimPrefix(key, prefix(id)), ttl)
		}
	}
}

// TestASessionRunsOutByItself and is in no list then; a cache entry and a window too.
func TestASessionRunsOutByItself(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)})
	ctx, o := t.Context(), storage.Owner{Caller: "x", All: true}
	for i := range 5 {
		keep := storage.Keep{Retention: time.Hour}
		if i%2 == 0 {
			keep.Retention = 30 * time.Millisecond
		}
		m := storage.Message{Role: storage.RoleUser, At: time.Now().Add(time.Duration(i) * time.Millisecond)}
		if err := s.Sessions().Append(ctx, id, o, fmt.Sprint("s", i), []storage.Message{m}, keep); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Cache().Put(ctx, id, "k", []byte("v"), 30*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	ids := func() (all []string) {
		for cursor := ""; ; {
			page, next, err := s.Sessions().List(ctx, id, o, 1, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range page {
				all = append(all, i.ID)
			}
			if cursor = next; cursor == "" {
				return all
			}
		}
	}
	soon(t, "sessions to run out", 2*time.Second, func() bool { return len(ids()) == 2 })
	if d := cmp.Diff([]string{"s3", "s1"}, ids()); d != "" {
		t.Errorf("what is listed (-want +got):\n%s", d)
	}
	soon(t, "a cache entry to run out", time.Second, func() bool {
		_, found, err := s.Cache().Get(ctx, id, "k")
		return !found && err == nil
	})
	if got, err := s.Sessions().History(ctx, id, o, "s0", storage.Page{Limit: 5}); err != nil || got != nil {
		t.Errorf("history of one that has run out: %v, %v", got, err)
	}
	if n, err := s.Sessions().Expire(ctx, id, time.Now().Add(time.Hour)); err != nil || n != 2 {
		t.Errorf("Expire: %d, %v; want the 2 that were left", n, err)
	}
	m := r.Do(t, "EXISTS", prefix(id)+"sessions", prefix(id)+"sessionnames")
	if n, err := m.AsInt64(); err != nil || n != 0 {
		t.Errorf("%d indexes are left, %v", n, err)
	}
}
