package limits

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Names of the two windows, as RateLimit-Policy tells them.
const (
	windowLong  = "long"
	windowBurst = "burst"
)

// Budgets in the order of plan.limits. The first without room is told, so those that
// last longest come first: who waits for that one finds room in the others.
const (
	tokensMonth = iota
	moneyMonth
	tokensDay
	budgetCount
)

// throttleShare is the part of the rate limit that a tenant keeps whose money is
// spent: one request in this many.
const throttleShare = 10

// throttleAlone is the window of a throttled tenant that has no rate limit of its
// own.
var throttleAlone = storage.Window{Name: windowLong, Limit: 6, Length: time.Minute}

// plan is what one snapshot of a tenant's document means on one UTC day. It is made
// once a day and reload, so that a request formats no names.
type plan struct {
	tenant    *tenancy.Tenant
	day       int64
	windows   rates
	throttled rates
	// throttles tells that throttled holds once the month's money is spent.
	throttles bool
	limits    []storage.Limit
	// spendsUnbounded tells that no budget bounds the tenant and that it would rather be
	// served than refused while the store is away.
	spendsUnbounded bool
	prices          ai.Prices
}

// rates are windows and how RateLimit-Policy tells them.
type rates struct {
	windows []storage.Window
	policy  string
	// local are this process's own, in force while the store is away; nil is none.
	local   *rates
	isLocal bool
}

func newPlan(t *tenancy.Tenant, now time.Time) *plan {
	cfg := t.Config
	p := &plan{tenant: t, day: unixDay(now), limits: budgetLimits(cfg, now), prices: ai.NewPrices(cfg.Models.Prices)}
	windows := rateWindows(cfg.Limits.Requests)
	p.windows = withLocal(windows, cfg.Limits.Requests)
	if cfg.Budget.OnExceeded == tenantconfig.BudgetThrottle && cfg.Budget.MonthlyMicroUSD > 0 {
		p.throttles = true
		p.throttled = withLocal(throttle(windows), cfg.Limits.Requests)
	}
	bounds := func(l storage.Limit) bool { return l.Max > 0 }
	p.spendsUnbounded = !p.throttles && !slices.ContainsFunc(p.limits, bounds) && cfg.Limits.Requests.OnStoreFailure != tenantconfig.FailDeny
	return p
}

func rateWindows(r tenantconfig.RequestLimits) []storage.Window {
	var ws []storage.Window
	windowSec := r.WindowSec
	if windowSec <= 0 {
		windowSec = 60
	}
	if r.PerMinute > 0 {
		ws = append(ws, storage.Window{Name: windowLong, Limit: r.PerMinute, Length: time.Duration(windowSec) * time.Second})
	}
	burstSec := r.BurstWindowSec
	if burstSec <= 0 {
		burstSec = max(windowSec/6, 1)
	}
	if r.Burst > 0 {
		ws = append(ws, storage.Window{Name: windowBurst, Limit: r.Burst, Length: time.Duration(burstSec) * time.Second})
	}
	return ws
}

func throttle(windows []storage.Window) []storage.Window {
	if len(windows) == 0 {
		return []storage.Window{throttleAlone}
	}
	out := make([]storage.Window, len(windows))
	for i, w := range windows {
		w.Limit = (w.Limit + throttleShare - 1) / throttleShare
		out[i] = w
	}
	return out
}

// newRates writes the policy as draft-ietf-httpapi-ratelimit-headers has it:
// "name";q=quota;w=window in seconds.
func newRates(windows []storage.Window) rates {
	var b strings.Builder
	for i, w := range windows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(w.Name) + ";q=" + strconv.Itoa(w.Limit) + ";w=" + strconv.FormatInt(seconds(w.Length), 10))
	}
	return rates{windows: windows, policy: b.String()}
}

// withLocal are the rates and, unless the tenant would rather be refused, those of one
// process while the store is away: its share of each limit, rounded down, so that all
// processes together allow no more than the limit. A share is never less than 1: where
// there are more processes than takes, each allows one.
func withLocal(windows []storage.Window, q tenantconfig.RequestLimits) rates {
	r := newRates(windows)
	if q.OnStoreFailure == tenantconfig.FailDeny {
		return r
	}
	shares := slices.Clone(windows)
	for i := range shares {
		shares[i].Limit = max(1, shares[i].Limit/max(1, q.Replicas))
	}
	local := newRates(shares)
	local.isLocal = true
	r.local = &local
	return r
}

func (r rates) find(name string) storage.Window {
	for _, w := range r.windows {
		if w.Name == name {
			return w
		}
	}
	return r.windows[0]
}

// budgetLimits names all budgets, bounded or not: what is unbounded is still
// counted, for /status and for the day when a bound is set.
func budgetLimits(cfg *tenantconfig.Config, now time.Time) []storage.Limit {
	now = now.UTC()
	y, m, d := now.Date()
	day, month := now.Format("2006-01-02"), now.Format("2006-01")
	dayEnd := time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
	monthEnd := time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
	limits := make([]storage.Limit, budgetCount)
	limits[tokensDay] = storage.Limit{Name: "tokens:day:" + day, Max: cfg.Limits.Tokens.Daily, Until: dayEnd}
	limits[tokensMonth] = storage.Limit{Name: "tokens:month:" + month, Max: cfg.Limits.Tokens.Monthly, Until: monthEnd}
	limits[moneyMonth] = storage.Limit{Name: "money:month:" + month, Until: monthEnd}
	if cfg.Budget.OnExceeded == tenantconfig.BudgetBlock {
		limits[moneyMonth].Max = cfg.Budget.MonthlyMicroUSD
	}
	return limits
}

func unixDay(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }

// seconds rounds up, so that who waits them has waited enough.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
