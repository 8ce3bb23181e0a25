package storagetest

import (
	"context"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

var usageChecks = []Check{
	{"Usage/summed by minute, model, feature and outcome", usageBuckets},
	{"Usage/at once: nothing lost", usageAtOnce},
	{"Usage/numbers that can't be", usageRefused},
}

func sum(t rapid.TB, s storage.Store, identity string, from, to time.Time) []storage.UsageBucket {
	t.Helper()
	got, err := s.Usage().Sum(context.Background(), tenant(t, identity), from, to)
	must(t, "Sum", err)
	if len(got) == 0 {
		return nil
	}
	return got
}

func usageBuckets(t rapid.TB, s storage.Store) {
	ctx := context.Background()
	record := func(identity string, second int, model, feature, outcome string) {
		must(t, "Add", s.Usage().Add(ctx, tenant(t, identity), storage.UsageRecord{
			At: epoch.Add(time.Duration(second) * time.Second), Model: model, Feature: feature, Outcome: outcome,
			TokensIn: 1, TokensOut: 10, MicroUSD: 100, Latency: time.Millisecond,
		}))
	}
	bucket := func(minute, calls int, model, feature, outcome string) storage.UsageBucket {
		n := int64(calls)
		return storage.UsageBucket{
			Minute: epoch.Add(time.Duration(minute) * time.Minute), Model: model, Feature: feature, Outcome: outcome,
			Calls: n, TokensIn: n, TokensOut: 10 * n, MicroUSD: 100 * n, Latency: time.Duration(n) * time.Millisecond,
		}
	}
	record("a", 60, "m", "chat", "ok")
	record("a", 0, "m", "chat", "ok")
	record("a", 59, "m", "chat", "ok")
	record("a", 1, "m", "chat", "error")
	record("a", 1, "n", "chat", "ok")
	record("a", 1, "m", "rag", "ok")
	record("a", 119, "m", "chat", "ok")
	record("a", 120, "m", "chat", "ok")
	record("b", 0, "m", "chat", "ok")
	want := []storage.UsageBucket{
		bucket(0, 1, "m", "chat", "error"), bucket(0, 2, "m", "chat", "ok"), bucket(0, 1, "m", "rag", "ok"),
		bucket(0, 1, "n", "chat", "ok"), bucket(1, 2, "m", "chat", "ok"), bucket(2, 1, "m", "chat", "ok"),
	}
	same(t, "all", sum(t, s, "a", epoch, epoch.Add(time.Hour)), want)
	same(t, "second minute", sum(t, s, "a", epoch.Add(time.Minute), epoch.Add(2*time.Minute)), want[4:5])
	same(t, "of another tenant", sum(t, s, "b", epoch, epoch.Add(time.Hour)), []storage.UsageBucket{bucket(0, 1, "m", "chat", "ok")})
	if got := sum(t, s, "a", epoch.Add(3*time.Minute), epoch.Add(time.Hour)); got != nil {
		t.Errorf("an empty span: got %v", got)
	}
	if got := sum(t, s, "a", epoch.Add(time.Minute), epoch); got != nil {
		t.Errorf("a span turned round: got %v", got)
	}
}

func usageAtOnce(t rapid.TB, s storage.Store) {
	const writers, each = 32, 50
	ctx, id := context.Background(), tenant(t, "a")
	together(writers, func(w int) {
		for i := range each {
			err := s.Usage().Add(ctx, id, storage.UsageRecord{
				At: epoch.Add(time.Duration(i%3) * time.Minute), Model: "m", Feature: "chat", Outcome: "ok", TokensIn: int64(w), TokensOut: 1,
			})
			if err != nil {
				t.Errorf("Add: %v", err)
			}
			if i%10 == 0 {
				if _, err := s.Usage().Sum(ctx, id, epoch, epoch.Add(time.Hour)); err != nil {
					t.Errorf("Sum: %v", err)
				}
			}
		}
	})
	var calls, in int64
	for _, b := range sum(t, s, "a", epoch, epoch.Add(time.Hour)) {
		calls, in = calls+b.Calls, in+b.TokensIn
	}
	if calls != writers*each || in != each*writers*(writers-1)/2 {
		t.Errorf("got %d calls, %d tokens; want %d, %d", calls, in, writers*each, each*writers*(writers-1)/2)
	}
}

func usageRefused(t rapid.TB, s storage.Store) {
	for _, r := range []storage.UsageRecord{{TokensIn: -1}, {TokensOut: -1}, {MicroUSD: -1}, {Latency: -1}} {
		r.At = epoch
		wantErr(t, "Add", s.Usage().Add(context.Background(), tenant(t, "a"), r), storage.ErrBadAmount)
	}
	if got := sum(t, s, "a", epoch, epoch.Add(time.Hour)); got != nil {
		t.Errorf("got %v", got)
	}
}
