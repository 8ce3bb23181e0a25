package ledger

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// settleLate is how long after its period a budget still takes a late settlement
// into the same record.
const settleLate = time.Hour

// Budgets keeps what is used and what is reserved under each name.
type Budgets struct {
	now     func() time.Time
	tenants *tenants[budgetBook]
	changes *changes[budget]
}

// BudgetRow is one budget as a driver stores it.
type BudgetRow struct {
	// Tenant is the storage identity.
	Tenant, Name   string
	Used, Reserved int64
	// Until is when the period ends; zero if it doesn't.
	Until time.Time

	row *budget
}

type budgetBook struct {
	identity  string
	mu        sync.Mutex
	rows      map[string]*budget
	nextSweep time.Time
}

type budget struct {
	book           *budgetBook
	name           string
	used, reserved int64
	until          time.Time
	listed         bool
	// gone: erased, so a change of it is nobody's any more.
	gone bool
}

// NewBudgets returns budgets with nothing spent. With track, changes are kept for
// Changed.
func NewBudgets(now func() time.Time, track bool) *Budgets {
	b := &Budgets{now: now, tenants: newTenants(func(identity string) *budgetBook {
		return &budgetBook{identity: identity, rows: map[string]*budget{}}
	})}
	if track {
		b.changes = &changes[budget]{}
	}
	return b
}

// Reserve is storage.Budgets.Reserve.
func (b *Budgets) Reserve(t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
	if err := storage.CheckAmounts(limits, amounts); err != nil {
		return storage.Reservation{}, err
	}
	book := b.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	book.sweep(b.now())
	for i, l := range limits {
		row := book.at(l.Name, l.Until)
		most := l.Max
		if most <= 0 {
			most = math.MaxInt64
		}
		if add(row.used, row.reserved) > most-amounts[i] {
			for j := range i {
				book.rows[limits[j].Name].reserved -= amounts[j]
			}
			return storage.Reservation{Refused: l.Name}, nil
		}
		row.reserved += amounts[i]
	}
	for _, l := range limits {
		b.list(book.rows[l.Name])
	}
	return storage.Reservation{Limits: slices.Clone(limits), Amounts: slices.Clone(amounts)}, nil
}

// Settle is storage.Budgets.Settle.
func (b *Budgets) Settle(t tenancy.ID, r storage.Reservation, used []int64) error {
	if err := errors.Join(storage.CheckAmounts(r.Limits, r.Amounts), storage.CheckAmounts(r.Limits, used)); err != nil {
		return err
	}
	book := b.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	for i, l := range r.Limits {
		row := book.at(l.Name, l.Until)
		row.reserved = max(0, row.reserved-r.Amounts[i])
		row.used = add(row.used, used[i])
		b.list(row)
	}
	return nil
}

// Release gives a reservation back, as if it had not been made.
func (b *Budgets) Release(t tenancy.ID, r storage.Reservation) error {
	return b.Settle(t, r, make([]int64, len(r.Limits)))
}

// Spent is storage.Budgets.Spent.
func (b *Budgets) Spent(t tenancy.ID, names []string) (used, reserved []int64) {
	used, reserved = make([]int64, len(names)), make([]int64, len(names))
	book := b.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	for i, name := range names {
		if row := book.rows[name]; row != nil {
			used[i], reserved[i] = row.used, row.reserved
		}
	}
	return used, reserved
}

// add never wraps: what can't be counted stays at the most that can.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func (b *budgetBook) at(name string, until time.Time) *budget {
	row := b.rows[name]
	if row == nil {
		row = &budget{book: b, name: name, until: until}
		b.rows[name] = row
	}
	return row
}

func (b *Budgets) list(row *budget) {
	if b.changes != nil && !row.listed {
		row.listed = true
		b.changes.add(row)
	}
}

func (b *budgetBook) sweep(now time.Time) {
	if now.Before(b.nextSweep) {
		return
	}
	b.nextSweep = now.Add(sweepEvery)
	for name, row := range b.rows {
		over := !row.until.IsZero() && now.Sub(row.until) > settleLate
		if over && row.reserved == 0 && !row.listed {
			delete(b.rows, name)
		}
	}
}

// Changed returns the budgets that changed since the last call.
func (b *Budgets) Changed() []BudgetRow {
	var rows []BudgetRow
	for _, row := range b.changes.drain() {
		row.book.mu.Lock()
		row.listed = false
		if !row.gone {
			rows = append(rows, row.asRow())
		}
		row.book.mu.Unlock()
	}
	return rows
}

func (r *budget) asRow() BudgetRow {
	return BudgetRow{Tenant: r.book.identity, Name: r.name, Used: r.used, Reserved: r.reserved, Until: r.until, row: r}
}

// Record is the counter as it moves between stores.
func (r BudgetRow) Record() storage.BudgetRecord {
	return storage.BudgetRecord{Name: r.Name, Used: add(r.Used, r.Reserved), Until: r.Until}
}

// All returns what t has, in the order of names.
func (b *Budgets) All(t tenancy.ID) []BudgetRow {
	book := b.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	rows := make([]BudgetRow, 0, len(book.rows))
	for _, row := range book.rows {
		rows = append(rows, row.asRow())
	}
	slices.SortFunc(rows, func(a, b BudgetRow) int { return cmp.Compare(a.Name, b.Name) })
	return rows
}

// Put replaces a counter by what was loaded; nothing of it is reserved.
func (b *Budgets) Put(t tenancy.ID, r storage.BudgetRecord) {
	book := b.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	row := book.at(r.Name, r.Until)
	row.used, row.reserved, row.until = r.Used, 0, r.Until
}

// Erase forgets all that t has.
func (b *Budgets) Erase(t tenancy.ID) {
	book := b.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	for _, row := range book.rows {
		row.gone = true
	}
	clear(book.rows)
}

// NotWritten hands back rows of Changed, to be among the next.
func (b *Budgets) NotWritten(rows []BudgetRow) {
	for _, r := range rows {
		r.row.book.mu.Lock()
		if !r.row.gone {
			b.list(r.row)
		}
		r.row.book.mu.Unlock()
	}
}

// Restore puts back a row that a driver had stored. What was reserved when the
// process ended is counted as used: the call may have been made.
func (b *Budgets) Restore(r BudgetRow) {
	book := b.tenants.of(r.Tenant)
	book.mu.Lock()
	defer book.mu.Unlock()
	row := book.at(r.Name, r.Until)
	row.used = add(row.used, add(r.Used, r.Reserved))
	if r.Reserved > 0 {
		b.list(row)
	}
}
