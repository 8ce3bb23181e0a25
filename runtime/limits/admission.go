package limits

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Admission is a request that may go on, and the budget set aside for it.
type Admission struct {
	gate        *Gate
	plan        *plan
	reservation storage.Reservation
	settled     atomic.Bool
}

// reserve sets the estimate aside in every budget.
func (g *Gate) reserve(ctx context.Context, p *plan, ask Ask, now time.Time) (*Admission, error) {
	in, err := ask.Prompt(ctx)
	if err != nil {
		return nil, err
	}
	tokens := int64(in) + int64(ask.MaxOut)
	var money int64
	for _, m := range ask.Models {
		c, _ := p.prices.Cost(m, ai.Usage{In: in, Out: ask.MaxOut})
		money = max(money, c)
	}
	amounts := []int64{tokensDay: tokens, tokensMonth: tokens, moneyMonth: money}
	if tokens == 0 && money == 0 {
		// Nothing is set aside, so there is nothing that must be durable first.
		return &Admission{gate: g, plan: p, reservation: unreserved(p)}, nil
	}
	res, err := g.budgets.Reserve(ctx, p.tenant.ID, p.limits, amounts)
	if g.opts.Apart && p.spendsUnbounded && errors.Is(err, storage.ErrUnavailable) {
		// There is nothing to overdraw: what is used is counted when it is settled.
		res, err = unreserved(p), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reserving in the budgets: %w", err)
	}
	if res.Refused != "" {
		return nil, budgetExceeded(p, amounts, res.Refused, now)
	}
	return &Admission{gate: g, plan: p, reservation: res}, nil
}

// unreserved is a reservation of nothing: what is used is counted when it is settled.
func unreserved(p *plan) storage.Reservation {
	return storage.Reservation{Limits: p.limits, Amounts: make([]int64, len(p.limits))}
}

// budgetExceeded tells which budget has no room, and when it will have: never, if the
// request is larger than a whole budget.
func budgetExceeded(p *plan, amounts []int64, refused string, now time.Time) *httpapi.Error {
	e := &httpapi.Error{Status: http.StatusTooManyRequests, Code: "budget_exceeded"}
	for i, l := range p.limits {
		if l.Max > 0 && amounts[i] > l.Max {
			what, period := budgetName(i)
			e.Message = "this request may cost more than the whole " + what + " budget of a " + period +
				"; lower maxTokens, shorten the message, or have the budget raised"
			return e
		}
	}
	for i, l := range p.limits {
		if l.Name != refused {
			continue
		}
		what, period := budgetName(i)
		e.RetryAfter = max(l.Until.Sub(now), time.Second)
		e.Message = "this request may cost more than what is left of the " + what + " budget of this " + period +
			" (UTC); lower maxTokens, wait for the next " + period + ", or have the budget raised"
	}
	return e
}

func budgetName(i int) (what, period string) {
	switch i {
	case tokensDay:
		return "token", "day"
	case tokensMonth:
		return "token", "month"
	default:
		return "spending", "month"
	}
}

// Settle replaces the reservation by what was really used and returns its price in
// micro-dollars, 0 if the model's price is unknown. Only the first call counts. A
// store that can't settle leaves what was reserved spent. ctx must outlive the
// request: what was used is billed though the client has gone.
func (a *Admission) Settle(ctx context.Context, model string, u ai.Usage) int64 {
	id := a.plan.tenant.ID
	money, priced := a.plan.prices.Cost(model, u)
	if !a.settled.CompareAndSwap(false, true) {
		return money
	}
	if !priced && u.In+u.Out > 0 {
		a.gate.opts.Unpriced(id, model)
	}
	tokens := int64(u.In) + int64(u.Out)
	used := []int64{tokensDay: tokens, tokensMonth: tokens, moneyMonth: money}
	if err := a.gate.budgets.Settle(ctx, id, a.reservation, used); err != nil {
		a.gate.opts.Logger.Error("settling a budget: what was reserved stays spent", "tenant", id.String(), "error", err)
	}
	return money
}

// Spending is where a tenant stands in the current UTC day and month, reservations
// included. A limit of 0 is none.
type Spending struct {
	TokensToday, TokensDayLimit       int64
	TokensThisMonth, TokensMonthLimit int64
	MicroUSDThisMonth, MicroUSDLimit  int64
}

// Spending reads the tenant's budgets.
func (g *Gate) Spending(ctx context.Context, t *tenancy.Tenant) (Spending, error) {
	p := g.plan(t, g.opts.Now())
	names := make([]string, budgetCount)
	for i, l := range p.limits {
		names[i] = l.Name
	}
	used, reserved, err := g.budgets.Spent(ctx, t.ID, names)
	if err != nil {
		return Spending{}, fmt.Errorf("reading the budgets: %w", err)
	}
	return Spending{
		TokensToday:       used[tokensDay] + reserved[tokensDay],
		TokensDayLimit:    p.limits[tokensDay].Max,
		TokensThisMonth:   used[tokensMonth] + reserved[tokensMonth],
		TokensMonthLimit:  p.limits[tokensMonth].Max,
		MicroUSDThisMonth: used[moneyMonth] + reserved[moneyMonth],
		MicroUSDLimit:     t.Config.Budget.MonthlyMicroUSD,
	}, nil
}
