package limits

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Options of a Gate. The zero value is ready.
type Options struct {
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Logger tells of settlements that the store refused; slog.Default if nil.
	Logger *slog.Logger
	// Unpriced is called for each call of a model whose price is unknown: it counts
	// as free of charge, which somebody should hear of.
	Unpriced func(tenancy.ID, string)
	// Local is called for each request whose rate was decided in this process alone,
	// since the store is away.
	Local func(tenancy.ID)
	// Apart tells that sessions are kept on another server. Where they aren't, a call
	// that can't reserve couldn't be kept either, and isn't worth its price.
	Apart bool
}

// Gate is the one choke point of limits and budgets.
type Gate struct {
	windows storage.Windows
	budgets storage.Budgets
	// local counts while the store is away. What was taken there isn't counted in the
	// store when it is back: for the length of a window a caller may have both.
	local *ledger.Windows
	opts  Options
	plans sync.Map // tenancy.ID → *plan
}

// New makes a Gate that counts in the given store.
func New(w storage.Windows, b storage.Budgets, opts Options) *Gate {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Unpriced == nil {
		opts.Unpriced = func(tenancy.ID, string) {}
	}
	if opts.Local == nil {
		opts.Local = func(tenancy.ID) {}
	}
	return &Gate{windows: w, budgets: b, local: ledger.NewWindows(false), opts: opts}
}

// Ask is what a call may cost at most.
type Ask struct {
	// Models that may answer, in the order they are tried; the dearest counts.
	Models []string
	// Prompt estimates the prompt's tokens. It is called once the caller's rate
	// allows the request, and may read the store.
	Prompt func(ctx context.Context) (int, error)
	// MaxOut is the most tokens that may be generated.
	MaxOut int
}

// Admit takes one request from the caller's rate windows and reserves the estimate
// in the tenant's budgets, or changes nothing and returns 429 rate_limited or
// budget_exceeded. Rate headers go into c.Out either way. The admission must be
// settled.
func (g *Gate) Admit(ctx context.Context, c httpapi.Call, ask Ask) (*Admission, error) {
	now := g.opts.Now()
	p := g.plan(c.Tenant, now)
	r, err := g.ratesOf(ctx, p)
	if err != nil {
		return nil, err
	}
	taken, r, err := g.take(ctx, c, r, now)
	if err != nil {
		return nil, err
	}
	a, err := g.reserve(ctx, p, ask, now)
	if err != nil {
		g.giveBack(ctx, c, r, taken, now)
		return nil, err
	}
	setRateHeaders(c.Out, r, taken, now)
	return a, nil
}

// Reserve sets aside what a further model call of an admitted request may cost, in the
// budgets alone: a request is taken from the rate windows once, however many steps its
// answer has. The admission must be settled.
func (g *Gate) Reserve(ctx context.Context, t *tenancy.Tenant, ask Ask) (*Admission, error) {
	now := g.opts.Now()
	return g.reserve(ctx, g.plan(t, now), ask, now)
}

func (g *Gate) plan(t *tenancy.Tenant, now time.Time) *plan {
	if v, ok := g.plans.Load(t.ID); ok {
		if p := v.(*plan); p.tenant == t && p.day == unixDay(now) {
			return p
		}
	}
	p := newPlan(t, now)
	g.plans.Store(t.ID, p)
	return p
}

// ratesOf are the windows in force: a throttled tenant whose money is spent has a
// tenth of them.
func (g *Gate) ratesOf(ctx context.Context, p *plan) (rates, error) {
	if !p.throttles {
		return p.windows, nil
	}
	used, reserved, err := g.budgets.Spent(ctx, p.tenant.ID, []string{p.limits[moneyMonth].Name})
	if err != nil {
		return rates{}, fmt.Errorf("reading the budget: %w", err)
	}
	if used[0]+reserved[0] >= p.tenant.Config.Budget.MonthlyMicroUSD {
		return p.throttled, nil
	}
	return p.windows, nil
}

// take takes from the store's windows or, while it is away, from this process's, and
// returns the rates that it took from.
func (g *Gate) take(ctx context.Context, c httpapi.Call, r rates, now time.Time) (storage.Taken, rates, error) {
	if len(r.windows) == 0 {
		return storage.Taken{OK: true}, r, nil
	}
	taken, err := g.windows.Take(ctx, c.Tenant.ID, c.Caller.ID(), r.windows, now)
	if r.local != nil && errors.Is(err, storage.ErrUnavailable) {
		r, err = *r.local, nil
		taken = g.local.Take(c.Tenant.ID, c.Caller.ID(), r.windows, now)
		g.opts.Local(c.Tenant.ID)
	}
	if err != nil {
		return taken, r, fmt.Errorf("taking from the rate windows: %w", err)
	}
	if taken.OK {
		return taken, r, nil
	}
	setRateHeaders(c.Out, r, taken, now)
	wait := seconds(taken.RetryAfter)
	return taken, r, &httpapi.Error{
		Status: http.StatusTooManyRequests, Code: "rate_limited",
		Message:    "too many requests; wait " + strconv.FormatInt(wait, 10) + " s and try again",
		RetryAfter: taken.RetryAfter,
	}
}

// giveBack undoes a take. The client's going away must not keep its quota.
func (g *Gate) giveBack(ctx context.Context, c httpapi.Call, r rates, taken storage.Taken, now time.Time) {
	if len(r.windows) == 0 {
		return
	}
	var err error
	if r.isLocal {
		g.local.Return(c.Tenant.ID, c.Caller.ID(), r.windows, now)
	} else {
		err = g.windows.Return(context.WithoutCancel(ctx), c.Tenant.ID, c.Caller.ID(), r.windows, now)
	}
	if err != nil {
		g.opts.Logger.Warn("returning a rate take", "tenant", c.Tenant.ID.String(), "trace_id", c.TraceID, "error", err)
	} else {
		taken.Remaining++
	}
	setRateHeaders(c.Out, r, taken, now)
}

func setRateHeaders(h http.Header, r rates, t storage.Taken, now time.Time) {
	if len(r.windows) == 0 {
		return
	}
	w := r.find(t.Tightest)
	remaining := strconv.Itoa(t.Remaining)
	values := [...]string{
		strconv.Itoa(w.Limit),
		remaining,
		strconv.FormatInt(now.Add(t.Reset).UnixMilli(), 10),
		r.policy,
		`"` + w.Name + `";r=` + remaining + ";t=" + strconv.FormatInt(seconds(t.Reset), 10),
	}
	// Keys are in canonical form: this is the hot path.
	h["X-Ratelimit-Limit"] = values[0:1:1]
	h["X-Ratelimit-Remaining"] = values[1:2:2]
	h["X-Ratelimit-Reset"] = values[2:3:3]
	h["Ratelimit-Policy"] = values[3:4:4]
	h["Ratelimit"] = values[4:5:5]
}
