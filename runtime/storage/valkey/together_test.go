package valkey_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
)

// TestWindowsOutliveTheirHash compares windows, whose hash is often half way through its
// life, with the driver that keeps all in memory. Some are short, some are of many takes.
func TestWindowsOutliveTheirHash(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s, model := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)}), memory.New(memory.Options{})
	ctx, random := context.Background(), rand.New(rand.NewPCG(3, 4))
	windows := [][]storage.Window{
		{{Name: "long", Limit: 60, Length: time.Second}, {Name: "burst", Limit: 10, Length: 200 * time.Millisecond}},
		{{Name: "long", Limit: 300, Length: time.Second}},
	}
	now := time.Now().Add(-time.Hour)
	begun, hashes, granted, refused := now, 0, 0, 0
	for i := range 6000 {
		now = now.Add(time.Duration(random.IntN(4_000_000)))
		// No sooner than after the longest window, as in life.
		if now.Sub(begun) > time.Second {
			r.Do(t, "PEXPIRE", prefix(id)+"windows", "61001")
			begun, hashes = now, hashes+1
		}
		caller := random.IntN(4)
		key, asked := "key:"+strconv.Itoa(caller), windows[caller%2]
		at := now.Add(-time.Duration(random.IntN(2)*random.IntN(20)) * time.Millisecond)
		got, err := s.Windows().Take(ctx, id, key, asked, at)
		want, _ := model.Windows().Take(ctx, id, key, asked, at)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Fatalf("take %d: %v (-want +got):\n%s", i, err, d)
		}
		switch {
		case !got.OK:
			refused++
		case random.IntN(20) == 0:
			if err := errors.Join(s.Windows().Return(ctx, id, key, asked, at), model.Windows().Return(ctx, id, key, asked, at)); err != nil {
				t.Fatal(err)
			}
		default:
			granted++
		}
	}
	if hashes < 5 || granted < 500 || refused < 500 {
		t.Errorf("%d hashes, %d granted, %d refused: the test shows little", hashes, granted, refused)
	}
	if n, err := s.Portable().Erase(ctx, id); err != nil || n != 0 {
		t.Errorf("Erase: %d sessions, %v", n, err)
	}
	left := r.Do(t, "KEYS", "*")
	if keys, err := left.AsStrSlice(); err != nil || len(keys) != 0 {
		t.Errorf("an erased tenant has %q, %v", keys, err)
	}
}

// TestWhatComesTogetherGoesTogether: reservations, settlements and usage of many callers
// at once are exact and take a third of the calls, or less.
func TestWhatComesTogetherGoesTogether(t *testing.T) {
	t.Parallel()
	const callers, each = 64, 25
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)})
	ctx, now := t.Context(), time.Now()
	day, month := storage.Limit{Name: "day", Until: now.Add(time.Hour)}, storage.Limit{Name: "month", Until: now.Add(2 * time.Hour)}
	calls := roundTrips(t, r, func() error {
		errs := make([]error, callers)
		var running sync.WaitGroup
		for w := range callers {
			running.Go(func() {
				limits := []storage.Limit{day, month}[w%2:]
				amounts, used := []int64{5, 7}[w%2:], []int64{2, 3}[w%2:]
				for range each {
					held, err := s.Budgets().Reserve(ctx, id, limits, amounts)
					errs[w] = errors.Join(errs[w], err, s.Budgets().Settle(ctx, id, held, used),
						s.Usage().Add(ctx, id, storage.UsageRecord{At: now, Model: strings.Repeat("m", w%2), TokensIn: 3, MicroUSD: 2}))
				}
			})
		}
		running.Wait()
		return errors.Join(errs...)
	})
	used, reserved, err := s.Budgets().Spent(ctx, id, []string{"day", "month"})
	if err != nil {
		t.Fatal(err)
	}
	const settled = callers * each
	if d := cmp.Diff([][]int64{{settled / 2 * 2, settled * 3}, {0, 0}}, [][]int64{used, reserved}); d != "" {
		t.Errorf("used and reserved (-want +got):\n%s", d)
	}
	buckets, err := s.Usage().Sum(ctx, id, now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range buckets {
		if len(buckets) != 2 || b.Calls != settled/2 || b.TokensIn != 3*settled/2 || b.MicroUSD != settled {
			t.Errorf("of %d buckets: %+v", len(buckets), b)
		}
	}
	if calls > settled {
		t.Errorf("%d calls for %d reservations, as many settlements and records", calls, settled)
	}
	t.Logf("%d calls for %d reservations, as many settlements and records", calls, settled)
}
