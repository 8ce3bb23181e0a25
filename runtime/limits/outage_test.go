package limits_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// outage is a store of windows and one of budgets that can be away.
type outage struct {
	storage.Windows
	storage.Budgets
	noWindows, noBudgets atomic.Bool
}

var errGone = fmt.Errorf("%w: connection refused", storage.ErrUnavailable)

func (o *outage) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
	if o.noWindows.Load() {
		return storage.Taken{}, errGone
	}
	return o.Windows.Take(ctx, t, key, windows, now)
}

func (o *outage) Return(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, at time.Time) error {
	if o.noWindows.Load() {
		return errGone
	}
	return o.Windows.Return(ctx, t, key, windows, at)
}

func (o *outage) Reserve(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
	if o.noBudgets.Load() {
		return storage.Reservation{}, errGone
	}
	return o.Budgets.Reserve(ctx, t, limits, amounts)
}

func (o *outage) Spent(ctx context.Context, t tenancy.ID, names []string) (used, reserved []int64, err error) {
	if o.noBudgets.Load() {
		return nil, nil, errGone
	}
	return o.Budgets.Spent(ctx, t, names)
}

type outageBench struct {
	*bench
	*outage
	local atomic.Int64
}

func newOutage(t *testing.T, bend func(*tenantconfig.Config)) *outageBench {
	t.Helper()
	b := newBench(t, bend)
	o := &outageBench{bench: b, outage: &outage{Windows: b.store.Windows(), Budgets: b.store.Budgets()}}
	b.gate = limits.New(o.outage, o.outage, limits.Options{Now: b.now, Local: func(tenancy.ID) { o.local.Add(1) }})
	return o
}

// admit asks once and tells the code of a refusal.
func (o *outageBench) admit(t *testing.T, key string) (string, http.Header) {
	t.Helper()
	c := o.call(key)
	a, err := o.gate.Admit(t.Context(), c, ask(1, 1))
	if errors.Is(err, storage.ErrUnavailable) {
		return "unavailable", c.Out
	}
	if err == nil {
		a.Settle(context.Background(), "m", ai.Usage{In: 1, Out: 1})
	}
	return code(err), c.Out
}

// TestAnOutageIsCountedLocally: each process allows its share, in the same sliding
// windows, tells so in the headers, and goes back to the store when that is back.
func TestAnOutageIsCountedLocally(t *testing.T) {
	t.Parallel()
	for _, m := range []struct{ limit, replicas, share int }{{10, 0, 10}, {10, 1, 10}, {10, 2, 5}, {10, 3, 3}, {10, 4, 2}, {2, 5, 1}} {
		t.Run(fmt.Sprintf("%d over %d", m.limit, m.replicas), func(t *testing.T) {
			t.Parallel()
			o := newOutage(t, func(c *tenantconfig.Config) {
				c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: m.limit, Replicas: m.replicas}
			})
			if got, h := o.admit(t, "k"); got != "" || h.Get("x-ratelimit-limit") != fmt.Sprint(m.limit) {
				t.Fatalf("before: %q, limit %s", got, h.Get("x-ratelimit-limit"))
			}
			o.noWindows.Store(true)
			for i := range m.share {
				got, h := o.admit(t, "k")
				if got != "" || h.Get("x-ratelimit-limit") != fmt.Sprint(m.share) || h.Get("x-ratelimit-remaining") != fmt.Sprint(m.share-i-1) {
					t.Fatalf("take %d: %q, limit %s, remaining %s", i, got, h.Get("x-ratelimit-limit"), h.Get("x-ratelimit-remaining"))
				}
			}
			if got, _ := o.admit(t, "k"); got != "rate_limited" {
				t.Errorf("beyond the share: got %q, want rate_limited", got)
			}
			if got, _ := o.admit(t, "other"); got != "" {
				t.Errorf("another caller: got %q", got)
			}
			if got := o.local.Load(); got != int64(m.share+2) {
				t.Errorf("%d were decided locally, want %d", got, m.share+2)
			}
			o.advance(time.Minute)
			if got, _ := o.admit(t, "k"); got != "" {
				t.Errorf("a minute later: got %q", got)
			}
			o.noWindows.Store(false)
			if got, h := o.admit(t, "k"); got != "" || h.Get("x-ratelimit-limit") != fmt.Sprint(m.limit) {
				t.Errorf("when it is back: %q, limit %s", got, h.Get("x-ratelimit-limit"))
			}
		})
	}
}

func TestAnOutageIsDenied(t *testing.T) {
	t.Parallel()
	o := newOutage(t, func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 10, OnStoreFailure: tenantconfig.FailDeny}
	})
	o.noWindows.Store(true)
	if got, _ := o.admit(t, "k"); got != "unavailable" || o.local.Load() != 0 {
		t.Errorf("got %q, %d local decisions; want unavailable and none", got, o.local.Load())
	}
	o.noWindows.Store(false)
	if got, h := o.admit(t, "k"); got != "" || h.Get("x-ratelimit-remaining") != "9" {
		t.Errorf("when it is back: %q, remaining %s", got, h.Get("x-ratelimit-remaining"))
	}
}

// TestNoBudgetIsOverdrawnInAnOutage: what can't be reserved isn't served, and costs no
// rate, whether that is counted here or in the store.
func TestNoBudgetIsOverdrawnInAnOutage(t *testing.T) {
	t.Parallel()
	for name, bend := range map[string]func(*tenantconfig.Config){
		"no budget": func(*tenantconfig.Config) {},
		"tokens":    func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = 1000 },
		"blocks": func(c *tenantconfig.Config) {
			c.Budget = tenantconfig.Budget{MonthlyMicroUSD: 100, OnExceeded: tenantconfig.BudgetBlock}
		},
		"throttles": func(c *tenantconfig.Config) {
			c.Budget = tenantconfig.Budget{MonthlyMicroUSD: 100, OnExceeded: tenantconfig.BudgetThrottle}
		},
	} {
		for _, windowsToo := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", windows too ", windowsToo), func(t *testing.T) {
				t.Parallel()
				o := newOutage(t, func(c *tenantconfig.Config) {
					c.Limits.Requests.PerMinute = 3
					bend(c)
				})
				o.noBudgets.Store(true)
				o.noWindows.Store(windowsToo)
				for range 10 {
					if got, _ := o.admit(t, "k"); got != "unavailable" {
						t.Fatalf("got %q, want unavailable", got)
					}
				}
				o.noBudgets.Store(false)
				for range 3 {
					if got, _ := o.admit(t, "k"); got != "" {
						t.Errorf("when the budgets are back: got %q", got)
					}
				}
			})
		}
	}
}

// TestLimitsThatAreAwayAlone: a tenant that no budget bounds goes on at its local rate,
// and all of it is counted.
func TestLimitsThatAreAwayAlone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		bend func(*tenantconfig.Config)
		want []string
	}{
		"nothing bounded": {func(*tenantconfig.Config) {}, []string{"", "", "rate_limited"}},
		"told, not bounded": {func(c *tenantconfig.Config) {
			c.Budget = tenantconfig.Budget{MonthlyMicroUSD: 1, OnExceeded: tenantconfig.BudgetWarn}
		}, []string{"", "", "rate_limited"}},
		"denied":  {func(c *tenantconfig.Config) { c.Limits.Requests.OnStoreFailure = tenantconfig.FailDeny }, []string{"unavailable", "unavailable", "unavailable"}},
		"bounded": {func(c *tenantconfig.Config) { c.Limits.Tokens.Monthly = 1 << 40 }, []string{"unavailable", "unavailable", "unavailable"}},
		"throttled": {func(c *tenantconfig.Config) {
			c.Budget = tenantconfig.Budget{MonthlyMicroUSD: 1 << 40, OnExceeded: tenantconfig.BudgetThrottle}
		}, []string{"unavailable", "unavailable", "unavailable"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t, func(c *tenantconfig.Config) {
				c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 4, Replicas: 2}
				tc.bend(c)
			})
			o.gate = limits.New(o.outage, o.outage, limits.Options{Now: o.now, Apart: true})
			o.noWindows.Store(true)
			o.noBudgets.Store(true)
			var served int64
			for i, want := range tc.want {
				got, _ := o.admit(t, "k")
				if got != want {
					t.Errorf("request %d: got %q, want %q", i, got, want)
				}
				if got == "" {
					served++
				}
			}
			o.noBudgets.Store(false)
			spent, err := o.gate.Spending(t.Context(), o.tenant)
			if err != nil || spent.TokensToday != 2*served || spent.TokensThisMonth != 2*served || spent.MicroUSDThisMonth != 3*served {
				t.Errorf("counted %+v, %v; want what %d requests used", spent, err, served)
			}
		})
	}
}
