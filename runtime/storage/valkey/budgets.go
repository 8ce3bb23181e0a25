package valkey

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// settleLate is how long after its period a budget's record stays, for settlements that
// come late.
const settleLate = time.Hour

type budgets struct{ s *Store }

func (b budgets) Reserve(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
	if err := b.s.admit(ctx, t); err != nil {
		return storage.Reservation{}, err
	}
	if err := storage.CheckAmounts(limits, amounts); err != nil {
		return storage.Reservation{}, err
	}
	if len(limits) == 0 {
		return storage.Reservation{}, nil
	}
	// What is sent and returned isn't the caller's: it may change its own.
	return b.s.namesOf(t).reserves.ask(ctx, reserving{slices.Clone(limits), slices.Clone(amounts)})
}

// reservesAtOnce holds the server up for a fifth of a millisecond.
const reservesAtOnce = 64

type reserving struct {
	limits  []storage.Limit
	amounts []int64
}

// reserve makes one call for all that are of the same budgets, each decided by itself.
func (s *Store) reserve(n *names, some []reserving) []answer[storage.Reservation] {
	done := make([]answer[storage.Reservation], len(some))
	for i, r := range some {
		if r.limits == nil {
			continue // went with one before it
		}
		var same []int
		args := n.budgetArgs(r.limits, bounds(r.limits))
		for j := i; j < len(some); j++ {
			if !slices.EqualFunc(r.limits, some[j].limits, sameLimit) {
				continue
			}
			same = append(same, j)
			for _, a := range some[j].amounts {
				args = append(args, strconv.FormatInt(a, 10))
			}
		}
		refused, err := s.numbers(n, reserveScript, n.budgetKeys(r.limits), args)
		if err == nil && len(refused) != len(same) {
			err = unreadable(errShort)
		}
		for k, j := range same {
			switch {
			case err != nil:
				done[j].err = err
			case refused[k] > 0:
				done[j].a.Refused = r.limits[refused[k]-1].Name
			default:
				done[j].a.Limits, done[j].a.Amounts = some[j].limits, some[j].amounts
			}
			some[j].limits = nil
		}
	}
	return done
}

func sameLimit(a, b storage.Limit) bool {
	return a.Name == b.Name && a.Max == b.Max && a.Until.Equal(b.Until)
}

// bounds are the most of each budget, and no amount yet.
func bounds(limits []storage.Limit) []int64 {
	numbers := make([]int64, 0, 2*len(limits))
	for _, l := range limits {
		most := l.Max
		if most <= 0 {
			most = math.MaxInt64
		}
		numbers = append(numbers, most, 0)
	}
	return numbers
}

func (b budgets) Settle(ctx context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	if err := errors.Join(storage.CheckAmounts(r.Limits, r.Amounts), storage.CheckAmounts(r.Limits, used)); err != nil {
		return err
	}
	if len(used) == 0 {
		return nil
	}
	n := b.s.namesOf(t)
	place := "budgets"
	amounts := make([]int64, 0, 2*len(used))
	for i, l := range r.Limits {
		place += part(l.Name) + gone(l.Until)
		amounts = append(amounts, r.Amounts[i], used[i])
	}
	limits := slices.Clone(r.Limits)
	_, err := n.sums.ask(context.WithoutCancel(ctx), sum{place: place, script: settleScript, keys: n.budgetKeys(limits), amounts: amounts, args: func(amounts []int64) []string {
		return n.budgetArgs(limits, amounts)
	}})
	return err
}

func (b budgets) Spent(ctx context.Context, t tenancy.ID, wanted []string) (used, reserved []int64, err error) {
	if err := b.s.admit(ctx, t); err != nil {
		return nil, nil, err
	}
	used, reserved = make([]int64, len(wanted)), make([]int64, len(wanted))
	if len(wanted) == 0 {
		return used, reserved, nil
	}
	rows, err := b.s.budgetRows(ctx, b.s.namesOf(t), wanted)
	for i, r := range rows {
		used[i], reserved[i] = r.used, r.reserved
	}
	return used, reserved, err
}

type budgetRow struct {
	used, reserved int64
	// until is when the period ends, zero if it doesn't.
	until time.Time
	there bool
}

// budgetRows reads budgets in one round trip.
func (s *Store) budgetRows(ctx context.Context, n *names, wanted []string) ([]budgetRow, error) {
	keys, commands := make([]string, len(wanted)), make([][]string, len(wanted))
	for i, name := range wanted {
		keys[i] = n.key("budget", name)
		commands[i] = []string{"GET", keys[i]}
	}
	reply, err := s.do(ctx, n, keys, commands...)
	if err != nil {
		return nil, err
	}
	rows := make([]budgetRow, len(wanted))
	for i := range rows {
		if reply[i].IsNil() {
			continue
		}
		text, err := s.value(n, &reply[i])
		if err != nil {
			return nil, err
		}
		var numbers [3]int64
		for j, f := range strings.SplitN(text, " ", 3) {
			if numbers[j], err = strconv.ParseInt(f, 10, 64); err != nil {
				return nil, unreadable(err)
			}
		}
		rows[i] = budgetRow{used: numbers[0], reserved: numbers[1], there: true}
		if numbers[2] != 0 {
			rows[i].until = time.UnixMilli(numbers[2]).Add(-settleLate).UTC()
		}
	}
	return rows, nil
}

// budgetKeys are the keys of the scripts.
func (n *names) budgetKeys(limits []storage.Limit) []string {
	keys := []string{n.key("budgets")}
	for _, l := range limits {
		keys = append(keys, n.key("budget", l.Name))
	}
	return keys
}

// budgetArgs are the arguments of the scripts, with two numbers for each limit.
func (n *names) budgetArgs(limits []storage.Limit, numbers []int64) []string {
	args := []string{n.mark, strconv.FormatInt(time.Now().UnixMilli(), 10)}
	for i, l := range limits {
		args = append(args, l.Name, gone(l.Until), strconv.FormatInt(numbers[2*i], 10), strconv.FormatInt(numbers[2*i+1], 10))
	}
	return args
}

// gone is when the record of a period may be dropped.
func gone(until time.Time) string {
	if until.IsZero() {
		return "0"
	}
	return strconv.FormatInt(max(1, until.Add(settleLate).UnixMilli()), 10)
}

// budgetNames are those that the index knows, in their order.
func (s *Store) budgetNames(ctx context.Context, n *names) ([]string, error) {
	index := n.key("budgets")
	reply, err := s.do(ctx, n, []string{index}, []string{"ZRANGE", index, "0", "-1"})
	if err != nil {
		return nil, err
	}
	found, err := reply[0].AsStrSlice()
	if err != nil {
		return nil, unreadable(err)
	}
	slices.Sort(found)
	return found, nil
}
