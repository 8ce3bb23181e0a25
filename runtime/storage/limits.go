package storage

import (
	"context"
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Window allows Limit takes in any span of Length. A Limit or Length of 0 or less is
// no bound and isn't counted.
type Window struct {
	// Name tells windows of one key apart, for example "long" and "burst".
	Name   string
	Limit  int
	Length time.Duration
}

// Taken is the outcome of Windows.Take.
type Taken struct {
	// OK tells whether the take was allowed; a refused one costs nothing.
	OK bool
	// Tightest names the window with the fewest takes left, or the one that refused.
	Tightest string
	// Remaining is how many more takes every window allows now; math.MaxInt if no
	// window bounds.
	Remaining int
	// RetryAfter is, when refused, how long until a take would be allowed if no
	// other came between.
	RetryAfter time.Duration
	// Reset is how long until the tightest window is empty again.
	Reset time.Duration
}

// Windows keeps exact sliding windows.
type Windows interface {
	// Take takes one from all windows of key, or from none. In no span of a
	// window's length are more than its limit taken. A now before that of the
	// latest take counts as that of the latest take; if it lies back by more than
	// the window's length, the clock was set back and former takes count as made
	// now.
	Take(ctx context.Context, t tenancy.ID, key string, windows []Window, now time.Time) (Taken, error)
	// Return undoes one take of the same key, windows and time, as if it had never
	// been: the request was refused for another reason. A take that isn't there any
	// more is no error.
	Return(ctx context.Context, t tenancy.ID, key string, windows []Window, at time.Time) error
}

// Limit is one budget: at most Max units in the period that contains now.
type Limit struct {
	// Name tells budgets of one tenant apart, for example "tokens:day:2026-11-24".
	// It names the period, so a new period starts at zero.
	Name string
	Max  int64
	// Until is when the period ends; the record may be dropped after it.
	Until time.Time
}

// Reservation is units set aside in one or several budgets, until settled.
type Reservation struct {
	// Refused names the first budget without room; nothing was reserved then.
	Refused string
	// Limits and Amounts are what was reserved, Amounts[i] in Limits[i].
	Limits  []Limit
	Amounts []int64
}

// CheckAmounts is ErrBadAmount unless there is one amount a limit, and none below 0.
func CheckAmounts(limits []Limit, amounts []int64) error {
	if len(limits) != len(amounts) || slices.ContainsFunc(amounts, func(a int64) bool { return a < 0 }) {
		return ErrBadAmount
	}
	return nil
}

// Budgets keeps counters that are never overdrawn by concurrent callers.
type Budgets interface {
	// Reserve sets amounts[i] aside in limits[i], in all or in none. A Max of 0 or
	// less is no bound, but is counted. A reservation that is never settled, since
	// the process died, counts as spent. A negative amount, or not one amount a
	// limit, is ErrBadAmount.
	Reserve(ctx context.Context, t tenancy.ID, limits []Limit, amounts []int64) (Reservation, error)
	// Settle replaces the reservation by what was really used; used[i] may exceed
	// the amount reserved. It is called once. It needs no context of the request:
	// what was used is billed though the client has gone. It is durable no later
	// than any write begun after it, and within a second.
	Settle(ctx context.Context, t tenancy.ID, r Reservation, used []int64) error
	// Spent returns what is used and what is reserved under each name.
	Spent(ctx context.Context, t tenancy.ID, names []string) (used, reserved []int64, err error)
}
