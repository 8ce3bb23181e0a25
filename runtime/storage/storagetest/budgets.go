package storagetest

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

var budgetChecks = []Check{
	{"Reserve/at once: never overdrawn, nothing lost", reservesAtOnce},
	{"Reserve/all budgets or none", reserveAllOrNone},
	{"Reserve/no bound is counted", reserveUnbounded},
	{"Reserve/a new period starts at zero", reservePeriods},
	{"Settle/less, more and nothing", settleExact},
	{"Settle/numbers that can't be", amountsRefused},
	{"Settle/edges of int64", amountsAtTheEdge},
}

func limitOf(name string, most int64) storage.Limit {
	return storage.Limit{Name: name, Max: most, Until: epoch.Add(48 * time.Hour)}
}

func reserve(t rapid.TB, s storage.Store, limits []storage.Limit, amounts ...int64) storage.Reservation {
	t.Helper()
	r, err := s.Budgets().Reserve(context.Background(), tenant(t, "a"), limits, amounts)
	must(t, "Reserve", err)
	return r
}

func settle(t rapid.TB, s storage.Store, r storage.Reservation, used ...int64) {
	t.Helper()
	must(t, "Settle", s.Budgets().Settle(context.Background(), tenant(t, "a"), r, used))
}

func wantSpent(t rapid.TB, s storage.Store, name string, used, reserved int64) {
	t.Helper()
	if u, r := spent(t, s, tenant(t, "a"), name); u != used || r != reserved {
		t.Fatalf("%s: used %d, reserved %d; want %d, %d", name, u, r, used, reserved)
	}
}

func reservesAtOnce(t rapid.TB, s storage.Store) {
	const callers, most, amount = 64, 1000, 30
	limits := []storage.Limit{limitOf("day", most), limitOf("month", 10*most)}
	ctx, id := context.Background(), tenant(t, "a")
	for round := range 3 {
		var granted, used atomic.Int64
		held := make([]storage.Reservation, callers)
		together(callers, func(i int) {
			r, err := s.Budgets().Reserve(ctx, id, limits, []int64{amount, amount})
			if err != nil {
				t.Errorf("Reserve: %v", err)
			}
			if r.Refused == "" {
				granted.Add(1)
			}
			held[i] = r
		})
		before, _ := spent(t, s, id, "day")
		room := (most - before) / amount
		if granted.Load() != min(room, callers) {
			t.Fatalf("round %d: %d reservations of %d granted, room was for %d", round, granted.Load(), amount, room)
		}
		together(callers, func(i int) {
			if held[i].Refused != "" {
				return
			}
			cost := int64(i % 20)
			used.Add(cost)
			if err := s.Budgets().Settle(ctx, id, held[i], []int64{cost, cost}); err != nil {
				t.Errorf("Settle: %v", err)
			}
		})
		wantSpent(t, s, "day", before+used.Load(), 0)
		wantSpent(t, s, "month", before+used.Load(), 0)
	}
}

func reserveAllOrNone(t rapid.TB, s storage.Store) {
	limits := []storage.Limit{limitOf("day", 100), limitOf("month", 50)}
	if r := reserve(t, s, limits, 60, 60); r.Refused != "month" || len(r.Limits) != 0 {
		t.Fatalf("got %+v, want refused by month", r)
	}
	wantSpent(t, s, "day", 0, 0)
	wantSpent(t, s, "month", 0, 0)
	r := reserve(t, s, limits, 50, 50)
	if r.Refused != "" {
		t.Fatalf("exactly the limit is refused: %+v", r)
	}
	same(t, "what was reserved", r, storage.Reservation{Limits: limits, Amounts: []int64{50, 50}})
	if r := reserve(t, s, limits, 1, 1); r.Refused != "month" {
		t.Fatalf("got %+v, want refused by month", r)
	}
	if r := reserve(t, s, limits, 51, 0); r.Refused != "day" {
		t.Fatalf("got %+v, want refused by day", r)
	}
	wantSpent(t, s, "day", 0, 50)
	if r := reserve(t, s, []storage.Limit{limitOf("twice", 10), limitOf("twice", 10)}, 6, 6); r.Refused != "twice" {
		t.Fatalf("one budget given twice: got %+v", r)
	}
	wantSpent(t, s, "twice", 0, 0)
}

func reserveUnbounded(t rapid.TB, s storage.Store) {
	for _, most := range []int64{0, -1} {
		r := reserve(t, s, []storage.Limit{limitOf("free", most)}, 1_000_000)
		if r.Refused != "" {
			t.Fatalf("max %d refused", most)
		}
		settle(t, s, r, 10)
	}
	wantSpent(t, s, "free", 20, 0)
	if r := reserve(t, s, []storage.Limit{limitOf("free", 15)}, 0); r.Refused != "free" {
		t.Fatal("a bound set later doesn't hold for what was counted")
	}
}

func reservePeriods(t rapid.TB, s storage.Store) {
	settle(t, s, reserve(t, s, []storage.Limit{limitOf("day:1", 10)}, 10), 10)
	if r := reserve(t, s, []storage.Limit{limitOf("day:1", 10)}, 1); r.Refused != "day:1" {
		t.Fatalf("got %+v", r)
	}
	if r := reserve(t, s, []storage.Limit{limitOf("day:2", 10)}, 10); r.Refused != "" {
		t.Fatalf("a new period is refused: %+v", r)
	}
}

func settleExact(t rapid.TB, s storage.Store) {
	limits := []storage.Limit{limitOf("day", 100)}
	settle(t, s, reserve(t, s, limits, 40), 10)
	wantSpent(t, s, "day", 10, 0)
	settle(t, s, reserve(t, s, limits, 40), 0)
	wantSpent(t, s, "day", 10, 0)
	settle(t, s, reserve(t, s, limits, 90), 300)
	wantSpent(t, s, "day", 310, 0)
	if r := reserve(t, s, limits, 0); r.Refused != "day" {
		t.Fatalf("an overdrawn budget lets nothing in: got %+v", r)
	}
	settle(t, s, storage.Reservation{Refused: "day"})
	wantSpent(t, s, "day", 310, 0)
}

func amountsRefused(t rapid.TB, s storage.Store) {
	ctx, id, limits := context.Background(), tenant(t, "a"), []storage.Limit{limitOf("day", 100)}
	for _, amounts := range [][]int64{nil, {-1}, {1, 2}, {math.MinInt64}} {
		_, err := s.Budgets().Reserve(ctx, id, limits, amounts)
		wantErr(t, "Reserve", err, storage.ErrBadAmount)
	}
	r := reserve(t, s, limits, 10)
	for _, used := range [][]int64{nil, {-1}, {1, 2}, {math.MinInt64}} {
		wantErr(t, "Settle", s.Budgets().Settle(ctx, id, r, used), storage.ErrBadAmount)
	}
	wantSpent(t, s, "day", 0, 10)
}

func amountsAtTheEdge(t rapid.TB, s storage.Store) {
	const most = math.MaxInt64
	for _, bound := range []int64{most, 0} {
		name := "bound"
		if bound == 0 {
			name = "free"
		}
		limits := []storage.Limit{limitOf(name, bound)}
		r := reserve(t, s, limits, most)
		if r.Refused != "" {
			t.Fatalf("%s: the whole range is refused", name)
		}
		if again := reserve(t, s, limits, 1); again.Refused != name {
			t.Fatalf("%s: more than can be counted was reserved: %+v", name, again)
		}
		wantSpent(t, s, name, 0, most)
		settle(t, s, r, most)
		wantSpent(t, s, name, most, 0)
		settle(t, s, r, most)
		wantSpent(t, s, name, most, 0)
	}
}
