package limits_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// clock stands still until it is set.
type clock struct{ t atomic.Int64 }

func newClock(at time.Time) *clock { c := &clock{}; c.t.Store(at.UnixNano()); return c }

func (c *clock) now() time.Time          { return time.Unix(0, c.t.Load()) }
func (c *clock) advance(d time.Duration) { c.t.Add(int64(d)) }

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

type bench struct {
	*clock
	gate   *limits.Gate
	store  *memory.Store
	tenant *tenancy.Tenant
}

func newBench(t interface {
	Helper()
	Fatal(args ...any)
}, bend func(*tenantconfig.Config)) *bench {
	t.Helper()
	cfg := &tenantconfig.Config{
		Version: 1,
		Tenant:  tenantconfig.Tenant{ID: "acme", Identity: "o/n/development/acme", Environment: "development"},
		Models:  tenantconfig.Models{Chat: "m", Prices: []tenantconfig.Price{{Model: "m", InputPerMillion: 1_000_000, OutputPerMillion: 2_000_000}}},
	}
	bend(cfg)
	id, err := tenancy.NewID(cfg.Tenant.ID, cfg.Tenant.Identity)
	if err != nil {
		t.Fatal(err)
	}
	c := newClock(noon)
	s := memory.New(memory.Options{Now: c.now})
	return &bench{
		clock: c, store: s, tenant: &tenancy.Tenant{ID: id, Config: cfg},
		gate: limits.New(s.Windows(), s.Budgets(), limits.Options{Now: c.now}),
	}
}

func (b *bench) call(key string) httpapi.Call {
	return httpapi.Call{Tenant: b.tenant, Caller: tenancy.Caller{Key: key}, Out: http.Header{}}
}

func ask(in, out int) limits.Ask {
	return limits.Ask{Models: []string{"m"}, MaxOut: out, Prompt: func(context.Context) (int, error) { return in, nil }}
}

func (b *bench) spending(t interface {
	Helper()
	Fatal(args ...any)
}) limits.Spending {
	t.Helper()
	s, err := b.gate.Spending(context.Background(), b.tenant)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func code(err error) string {
	if e, ok := errors.AsType[*httpapi.Error](err); ok {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestBothWindowsHoldAndRetryAfterIsHonest(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 5, WindowSec: 60, Burst: 2, BurstWindowSec: 10}
	})
	admit := func() (http.Header, error) {
		c := b.call("k")
		a, err := b.gate.Admit(t.Context(), c, ask(1, 1))
		if err == nil {
			a.Settle(context.Background(), "m", ai.Usage{In: 1, Out: 1})
		}
		return c.Out, err
	}
	admitted := 0
	for i := 0; i < 40 && admitted < 12; i++ {
		h, err := admit()
		if err == nil {
			admitted++
			continue
		}
		e, ok := errors.AsType[*httpapi.Error](err)
		if !ok || e.Status != http.StatusTooManyRequests || e.Code != "rate_limited" || e.RetryAfter <= 0 {
			t.Fatalf("refused with %v", err)
		}
		if h.Get("x-ratelimit-remaining") != "0" {
			t.Errorf("refused with %q remaining", h.Get("x-ratelimit-remaining"))
		}
		b.advance(e.RetryAfter - time.Millisecond)
		if _, err := admit(); code(err) != "rate_limited" {
			t.Fatalf("a millisecond before Retry-After: got %q, want rate_limited", code(err))
		}
		b.advance(time.Millisecond)
		if _, err := admit(); err != nil {
			t.Fatalf("after Retry-After: %v", err)
		}
		admitted++
	}
	// 5 a minute: the twelfth comes in the third minute.
	if took := b.now().Sub(noon); took < 2*time.Minute || took > 3*time.Minute {
		t.Errorf("12 requests took %v", took)
	}
}

func TestRateHeadersTellTheTightestWindow(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 60, WindowSec: 60, Burst: 10, BurstWindowSec: 10}
	})
	c := b.call("k")
	a, err := b.gate.Admit(t.Context(), c, ask(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	a.Settle(context.Background(), "m", ai.Usage{})
	want := http.Header{
		"X-Ratelimit-Limit": {"10"}, "X-Ratelimit-Remaining": {"9"}, "X-Ratelimit-Reset": {"1795521610000"},
		"Ratelimit-Policy": {`"long";q=60;w=60, "burst";q=10;w=10`}, "Ratelimit": {`"burst";r=9;t=10`},
	}
	if d := cmp.Diff(want, c.Out); d != "" {
		t.Error(d)
	}
}

func TestARefusedRequestCostsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 3}
		c.Limits.Tokens.Daily = 100
	})
	// Too dear for the budget: the window stays whole, though asked ten times.
	for range 10 {
		c := b.call("k")
		if _, err := b.gate.Admit(t.Context(), c, ask(60, 60)); code(err) != "budget_exceeded" {
			t.Fatalf("got %q, want budget_exceeded", code(err))
		}
		if got := c.Out.Get("x-ratelimit-remaining"); got != "3" {
			t.Errorf("remaining %s after a refusal, want 3", got)
		}
	}
	// An estimate that can't be made: neither costs.
	broken := errors.New("store down")
	if _, err := b.gate.Admit(t.Context(), b.call("k"), limits.Ask{Prompt: func(context.Context) (int, error) { return 0, broken }}); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	for i := range 3 {
		if _, err := b.gate.Admit(t.Context(), b.call("k"), ask(5, 5)); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	// Too many for the window: the budget stays as it is.
	before := b.spending(t)
	if _, err := b.gate.Admit(t.Context(), b.call("k"), ask(5, 5)); code(err) != "rate_limited" {
		t.Fatalf("got %q, want rate_limited", code(err))
	}
	if d := cmp.Diff(before, b.spending(t)); d != "" {
		t.Error(d)
	}
	// Another caller has windows of its own.
	if _, err := b.gate.Admit(t.Context(), b.call("other"), ask(5, 5)); err != nil {
		t.Error(err)
	}
}

func TestTenAtOnceBillTen(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = 1_000_000 })
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			a, err := b.gate.Admit(t.Context(), b.call("k"), ask(10, 100))
			if err != nil {
				t.Error(err)
				return
			}
			if money := a.Settle(context.Background(), "m", ai.Usage{In: 10, Out: 20}); money != 50 {
				t.Errorf("priced %d micro-dollars, want 50", money)
			}
			a.Settle(context.Background(), "m", ai.Usage{In: 1000, Out: 1000}) // once is enough
		})
	}
	wg.Wait()
	want := limits.Spending{TokensToday: 300, TokensDayLimit: 1_000_000, TokensThisMonth: 300, MicroUSDThisMonth: 500}
	if d := cmp.Diff(want, b.spending(t)); d != "" {
		t.Error(d)
	}
}

// Whatever is asked at once, what is reserved and used together never exceeds the
// budgets, and afterwards what was settled is what is spent.
func TestParallelRequestsNeverOverspend(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		day := rapid.Int64Range(1, 2000).Draw(t, "daily")
		money := rapid.Int64Range(1, 3000).Draw(t, "money")
		asks := rapid.SliceOfN(rapid.IntRange(0, 200), 1, 40).Draw(t, "asks")
		b := newBench(t, func(c *tenantconfig.Config) {
			c.Limits.Tokens.Daily = day
			c.Budget = tenantconfig.Budget{MonthlyMicroUSD: money, OnExceeded: tenantconfig.BudgetBlock}
		})
		var spent atomic.Int64
		var wg sync.WaitGroup
		for _, n := range asks {
			wg.Go(func() {
				a, err := b.gate.Admit(context.Background(), b.call("k"), ask(n, n))
				if err != nil {
					if code(err) != "budget_exceeded" {
						t.Errorf("refused with %v", err)
					}
					return
				}
				if s := b.spending(t); s.TokensToday > day || s.MicroUSDThisMonth > money {
					t.Errorf("overdrawn: %+v", s)
				}
				used := ai.Usage{In: n, Out: n / 2}
				a.Settle(context.Background(), "m", used)
				spent.Add(int64(used.In + used.Out))
			})
		}
		wg.Wait()
		if s := b.spending(t); s.TokensToday != spent.Load() {
			t.Errorf("spent %d, settled %d", s.TokensToday, spent.Load())
		}
	})
}

func TestBudgetsEndWithTheirPeriod(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *tenantconfig.Config) {
		c.Limits.Tokens = tenantconfig.TokenLimits{Daily: 100, Monthly: 250}
	})
	admit := func() error {
		a, err := b.gate.Admit(t.Context(), b.call("k"), ask(50, 50))
		if err == nil {
			a.Settle(context.Background(), "m", ai.Usage{In: 50, Out: 50})
		}
		return err
	}
	refused := func(period string, wait time.Duration) {
		t.Helper()
		e, ok := errors.AsType[*httpapi.Error](admit())
		if !ok || e.Code != "budget_exceeded" || e.RetryAfter != wait || !strings.Contains(e.Message, "token budget of this "+period) {
			t.Errorf("got %+v, want the %s's budget for %v", e, period, wait)
		}
	}
	if err := admit(); err != nil {
		t.Fatal(err)
	}
	refused("day", 12*time.Hour)
	b.advance(12 * time.Hour)
	if err := admit(); err != nil {
		t.Fatal(err)
	}
	// Both are spent now, and who waited for tomorrow would be refused again.
	refused("month", 6*24*time.Hour)
	b.advance(6 * 24 * time.Hour)
	if err := admit(); err != nil {
		t.Errorf("in the new month: %v", err)
	}
}

// Waiting helps nobody who asks for more than there ever is.
func TestARequestLargerThanABudget(t *testing.T) {
	t.Parallel()
	for name, bend := range map[string]func(*tenantconfig.Config){
		"token budget of a day":   func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = 99 },
		"token budget of a month": func(c *tenantconfig.Config) { c.Limits.Tokens.Monthly = 99 },
		"spending budget of a month": func(c *tenantconfig.Config) {
			c.Budget = tenantconfig.Budget{MonthlyMicroUSD: 149, OnExceeded: tenantconfig.BudgetBlock}
		},
	} {
		b := newBench(t, bend)
		_, err := b.gate.Admit(t.Context(), b.call("k"), ask(50, 50))
		e, ok := errors.AsType[*httpapi.Error](err)
		if !ok || e.Code != "budget_exceeded" || e.RetryAfter != 0 || !strings.Contains(e.Message, "the whole "+name) {
			t.Errorf("%s: got %+v", name, e)
		}
		if a, err := b.gate.Admit(t.Context(), b.call("k"), ask(50, 49)); err != nil {
			t.Errorf("%s: one token less: %v", name, err)
		} else {
			a.Settle(context.Background(), "m", ai.Usage{})
		}
	}
}

func TestWhenTheMoneyIsSpent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		onExceeded string
		// of 20 requests within a minute that may do 20 a minute
		admitted int
		refusal  string
	}{
		{tenantconfig.BudgetWarn, 20, ""},
		{tenantconfig.BudgetThrottle, 2, "rate_limited"},
		{tenantconfig.BudgetBlock, 1, "budget_exceeded"},
	} {
		t.Run(tc.onExceeded, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(c *tenantconfig.Config) {
				c.Limits.Requests.PerMinute = 20
				c.Budget = tenantconfig.Budget{MonthlyMicroUSD: 1000, OnExceeded: tc.onExceeded}
			})
			admitted := 0
			for range 20 {
				a, err := b.gate.Admit(t.Context(), b.call("k"), ask(10, 10))
				if err != nil {
					if code(err) != tc.refusal {
						t.Errorf("refused with %v, want %q", err, tc.refusal)
					}
					continue
				}
				admitted++
				a.Settle(context.Background(), "m", ai.Usage{In: 1000})
			}
			if admitted != tc.admitted {
				t.Errorf("admitted %d, want %d", admitted, tc.admitted)
			}
		})
	}
}

func TestAnUnknownPriceIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *tenantconfig.Config) {
		c.Budget = tenantconfig.Budget{MonthlyMicroUSD: 10, OnExceeded: tenantconfig.BudgetBlock}
	})
	var told []string
	g := limits.New(b.store.Windows(), b.store.Budgets(), limits.Options{Now: b.now, Unpriced: func(_ tenancy.ID, m string) { told = append(told, m) }})
	a, err := g.Admit(t.Context(), b.call("k"), limits.Ask{Models: []string{"free"}, MaxOut: 1000, Prompt: func(context.Context) (int, error) { return 1000, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if money := a.Settle(context.Background(), "free", ai.Usage{In: 1, Out: 1}); money != 0 {
		t.Errorf("priced %d", money)
	}
	if d := cmp.Diff([]string{"free"}, told); d != "" {
		t.Error(d)
	}
}

// downBudgets is a store that can't be reached.
type downBudgets struct{ storage.Budgets }

func (downBudgets) Reserve(context.Context, tenancy.ID, []storage.Limit, []int64) (storage.Reservation, error) {
	return storage.Reservation{}, storage.ErrUnavailable
}

func TestAStoreThatIsDownCostsNoQuota(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *tenantconfig.Config) { c.Limits.Requests.PerMinute = 1 })
	down := limits.New(b.store.Windows(), downBudgets{b.store.Budgets()}, limits.Options{Now: b.now})
	ctx, cancel := context.WithCancel(t.Context())
	for range 3 {
		if _, err := down.Admit(ctx, b.call("k"), ask(1, 1)); !errors.Is(err, storage.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
	}
	cancel()
	if _, err := b.gate.Admit(t.Context(), b.call("k"), ask(1, 1)); err != nil {
		t.Errorf("after the store is back: %v", err)
	}
}

func BenchmarkAdmit(b *testing.B) {
	x := newBench(b, func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 1 << 30, Burst: 1 << 30}
		c.Limits.Tokens = tenantconfig.TokenLimits{Daily: 1 << 60, Monthly: 1 << 60}
	})
	b.ReportAllocs()
	for b.Loop() {
		x.advance(time.Millisecond)
		a, err := x.gate.Admit(b.Context(), x.call("k"), ask(10, 10))
		if err != nil {
			b.Fatal(err)
		}
		a.Settle(context.Background(), "m", ai.Usage{In: 10, Out: 10})
	}
}
