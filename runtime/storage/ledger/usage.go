package ledger

import (
	"cmp"
	"encoding/binary"
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
	// gone: erased, so a change of it is nobody's any more.
	gone bool
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
	row, err := u.row(book, storage.UsageBucket{
		Minute: time.Unix(minuteOf(r.At)*60, 0).UTC(), Model: r.Model, Feature: r.Feature, Outcome: r.Outcome,
	})
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

// row finds or makes the row of an empty bucket.
func (u *Usage) row(book *usageBook, bucket storage.UsageBucket) (*usageRow, error) {
	minute := minuteOf(bucket.Minute)
	if row := book.find(bucket); row != nil {
		return row, nil
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

func (b *usageBook) find(bucket storage.UsageBucket) *usageRow {
	for _, row := range b.minutes[minuteOf(bucket.Minute)] {
		if CompareBuckets(row.bucket, bucket) == 0 {
			return row
		}
	}
	return nil
}

// Put replaces a bucket by what was loaded. One that was forgotten stays so: the driver
// that stores buckets has it.
func (u *Usage) Put(t tenancy.ID, bucket storage.UsageBucket) {
	book := u.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	minute := minuteOf(bucket.Minute)
	bucket.Minute = time.Unix(minute*60, 0).UTC()
	if row := book.find(bucket); row != nil {
		row.bucket = bucket
	} else if u.base == nil || minute >= u.floor.Load() {
		book.minutes[minute] = append(book.minutes[minute], &usageRow{book: book, bucket: bucket})
	}
}

// Next is the first minute, not before from, of which memory has a bucket of t; ok is
// false if there is none.
func (u *Usage) Next(t tenancy.ID, from time.Time) (minute time.Time, ok bool) {
	book := u.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	for _, rows := range book.minutes {
		if at := rows[0].bucket.Minute; !at.Before(from) && (!ok || at.Before(minute)) {
			minute, ok = at, true
		}
	}
	return minute, ok
}

// Erase forgets all that t has.
func (u *Usage) Erase(t tenancy.ID) {
	book := u.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	for _, rows := range book.minutes {
		for _, row := range rows {
			row.gone = true
		}
	}
	clear(book.minutes)
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

// BucketPlace spells what names a bucket; ParseBucketPlace reads it back.
func BucketPlace(b storage.UsageBucket) []byte {
	p := binary.AppendVarint(nil, minuteOf(b.Minute))
	for _, name := range []string{b.Model, b.Feature, b.Outcome} {
		p = append(binary.AppendUvarint(p, uint64(len(name))), name...)
	}
	return p
}

// ParseBucketPlace is false for what BucketPlace didn't write.
func ParseBucketPlace(p []byte) (b storage.UsageBucket, ok bool) {
	minute, n := binary.Varint(p)
	if n <= 0 {
		return b, false
	}
	p = p[n:]
	b.Minute = time.Unix(minute*60, 0).UTC()
	for _, to := range []*string{&b.Model, &b.Feature, &b.Outcome} {
		size, n := binary.Uvarint(p)
		if n <= 0 || size > uint64(len(p)-n) {
			return b, false
		}
		*to, p = string(p[n:n+int(size)]), p[n+int(size):]
	}
	return b, len(p) == 0
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
		if !row.gone {
			rows = append(rows, UsageRow{Tenant: row.book.identity, Bucket: row.bucket, row: row})
		}
		row.book.mu.Unlock()
	}
	return rows
}

// NotWritten hands back rows of Changed, to be among the next.
func (u *Usage) NotWritten(rows []UsageRow) {
	for _, r := range rows {
		r.row.book.mu.Lock()
		if !r.row.gone {
			u.list(r.row)
		}
		r.row.book.mu.Unlock()
	}
}
