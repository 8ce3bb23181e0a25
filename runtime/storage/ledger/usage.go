package ledger

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Base reads a bucket that was forgotten; ok is false if there is none.
type Base func(identity string, key storage.UsageBucket) (b storage.UsageBucket, ok bool, err error)

// Usage keeps buckets of one minute, model, feature and outcome.
type Usage struct {
	now     func() time.Time
	base    Base
	floor   atomic.Int64
	tenants *tenants[usageBook]
	changes *changes[usageRow]
}

// UsageRow is one bucket as a driver stores it.
type UsageRow struct {
	// Tenant is the storage identity.
	Tenant string
	Bucket storage.UsageBucket

	row *usageRow
}

type usageBook struct {
	identity  string
	mu        sync.Mutex
	minutes   map[int64][]*usageRow
	nextSweep time.Time
}

type usageRow struct {
	book   *usageBook
	bucket storage.UsageBucket
	listed bool
}

// NewUsage returns usage without a record. A driver that stores buckets gives base:
// then changes are kept for Changed, and Forget may drop what is stored.
func NewUsage(now func() time.Time, base Base) *Usage {
	u := &Usage{now: now, base: base, tenants: newTenants(func(identity string) *usageBook {
		return &usageBook{identity: identity, minutes: map[int64][]*usageRow{}}
	})}
	if base != nil {
		u.changes = &changes[usageRow]{}
	}
	return u
}

// Add is storage.Usage.Add. It fails on a number below 0, and if it must read a
// forgotten bucket and can't.
func (u *Usage) Add(t tenancy.ID, r storage.UsageRecord) error {
	if r.TokensIn < 0 || r.TokensOut < 0 || r.MicroUSD < 0 || r.Latency < 0 {
		return storage.ErrBadAmount
	}
	book := u.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	book.sweep(u.now())
	row, err := u.row(book, r)
	if err != nil {
		return err
	}
	b := &row.bucket
	b.Calls = add(b.Calls, 1)
	b.TokensIn = add(b.TokensIn, r.TokensIn)
	b.TokensOut = add(b.TokensOut, r.TokensOut)
	b.MicroUSD = add(b.MicroUSD, r.MicroUSD)
	b.Latency = time.Duration(add(int64(b.Latency), int64(r.Latency)))
	u.list(row)
	return nil
}

func (u *Usage) row(book *usageBook, r storage.UsageRecord) (*usageRow, error) {
	minute := minuteOf(r.At)
	for _, row := range book.minutes[minute] {
		if row.bucket.Model == r.Model && row.bucket.Feature == r.Feature && row.bucket.Outcome == r.Outcome {
			return row, nil
		}
	}
	bucket := storage.UsageBucket{
		Minute: time.Unix(minute*60, 0).UTC(), Model: r.Model, Feature: r.Feature, Outcome: r.Outcome,
	}
	if u.base != nil && minute < u.floor.Load() {
		stored, ok, err := u.base(book.identity, bucket)
		if err != nil {
			return nil, err
		}
		if ok {
			bucket = stored
		}
	}
	row := &usageRow{book: book, bucket: bucket}
	book.minutes[minute] = append(book.minutes[minute], row)
	return row, nil
}

// minuteOf counts minutes since 1970, rounding down before it too.
func minuteOf(at time.Time) int64 {
	s := at.Unix()
	if s < 0 {
		s -= 59
	}
	return s / 60
}

func (u *Usage) list(row *usageRow) {
	if u.changes != nil && !row.listed {
		row.listed = true
		u.changes.add(row)
	}
}

// Sum returns the buckets in memory whose minute is in [from, to), in SortBuckets'
// order.
func (u *Usage) Sum(t tenancy.ID, from, to time.Time) []storage.UsageBucket {
	var buckets []storage.UsageBucket
	book := u.tenants.of(t.Identity())
	book.mu.Lock()
	for _, rows := range book.minutes {
		if at := rows[0].bucket.Minute; at.Before(from) || !at.Before(to) {
			continue
		}
		for _, row := range rows {
			buckets = append(buckets, row.bucket)
		}
	}
	book.mu.Unlock()
	SortBuckets(buckets)
	return buckets
}

// SortBuckets orders by minute, then by what tells buckets of a minute apart.
func SortBuckets(buckets []storage.UsageBucket) {
	slices.SortFunc(buckets, CompareBuckets)
}

// CompareBuckets compares what names a bucket, not what it counts.
func CompareBuckets(a, b storage.UsageBucket) int {
	return cmp.Or(a.Minute.Compare(b.Minute), cmp.Compare(a.Model, b.Model),
		cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Outcome, b.Outcome))
}

func (b *usageBook) sweep(now time.Time) {
	if now.Before(b.nextSweep) {
		return
	}
	b.nextSweep = now.Add(sweepEvery)
	b.drop(minuteOf(now.Add(-storage.UsageKept)))
}

func (b *usageBook) drop(before int64) {
	for minute, rows := range b.minutes {
		if minute < before && !slices.ContainsFunc(rows, func(r *usageRow) bool { return r.listed }) {
			delete(b.minutes, minute)
		}
	}
}

// Forget drops buckets of minutes before the given time that have no change to be
// written; an Add to such a minute reads its bucket by base. The driver calls it only while no
// rows of Changed are under way.
func (u *Usage) Forget(before time.Time) {
	minute := minuteOf(before)
	u.floor.Store(max(u.floor.Load(), minute))
	for _, book := range u.tenants.all() {
		book.mu.Lock()
		book.drop(minute)
		book.mu.Unlock()
	}
}

// Changed returns the buckets that changed since the last call.
func (u *Usage) Changed() []UsageRow {
	var rows []UsageRow
	for _, row := range u.changes.drain() {
		row.book.mu.Lock()
		row.listed = false
		rows = append(rows, UsageRow{Tenant: row.book.identity, Bucket: row.bucket, row: row})
		row.book.mu.Unlock()
	}
	return rows
}

// NotWritten hands back rows of Changed, to be among the next.
func (u *Usage) NotWritten(rows []UsageRow) {
	for _, r := range rows {
		r.row.book.mu.Lock()
		u.list(r.row)
		r.row.book.mu.Unlock()
	}
}
