package ledger_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// clock is set by the test.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func acme(t *testing.T) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID("acme", "o/ns/production/acme")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var minute = []storage.Window{{Name: "long", Limit: 2, Length: time.Minute}}

func TestWindowsThatRanOutAreDropped(t *testing.T) {
	w := ledger.NewWindows(true)
	for i := range 5000 {
		w.Take(acme(t), fmt.Sprint("address:", i), minute, start)
	}
	if rows := w.Changed(); len(rows) != 5000 {
		t.Fatalf("%d rows changed, want 5000", len(rows))
	}
	w.Take(acme(t), "late", minute, start.Add(time.Hour))
	if got := ledger.Keys(w, acme(t)); got != 1 {
		t.Errorf("%d keys are kept, want the one that is live", got)
	}
}

func TestRowsRestoreToTheSameAnswers(t *testing.T) {
	w := ledger.NewWindows(true)
	for i := range 5 {
		w.Take(acme(t), "key", minute, start.Add(time.Duration(i)*25*time.Second))
	}
	rows := w.Changed()
	again := ledger.NewWindows(true)
	for _, r := range rows {
		again.Restore(r)
	}
	for _, later := range []time.Duration{101, 111, 121, 131, 300} {
		now := start.Add(later * time.Second)
		if d := cmp.Diff(w.Take(acme(t), "key", minute, now), again.Take(acme(t), "key", minute, now)); d != "" {
			t.Errorf("after %v (-kept +restored):\n%s", later, d)
		}
	}
}

func TestWhatWasNotWrittenComesAgain(t *testing.T) {
	c := &clock{start}
	w, b, u := ledger.NewWindows(true), ledger.NewBudgets(c.now, true), ledger.NewUsage(c.now, noBase)
	day := []storage.Limit{{Name: "day", Max: 100, Until: start.Add(time.Hour)}}
	use := func() {
		w.Take(acme(t), "key", minute, c.Time)
		r, err := b.Reserve(acme(t), day, []int64{10})
		if err := errors.Join(err, b.Settle(acme(t), r, []int64{3}), u.Add(acme(t), storage.UsageRecord{At: c.Time})); err != nil {
			t.Fatal(err)
		}
	}
	use()
	use()
	windows, budgets, usage := w.Changed(), b.Changed(), u.Changed()
	if len(windows) != 1 || len(budgets) != 1 || len(usage) != 1 {
		t.Fatalf("two uses changed %d, %d, %d rows; want each once", len(windows), len(budgets), len(usage))
	}
	w.NotWritten(windows)
	b.NotWritten(budgets)
	u.NotWritten(usage)
	again := b.Changed()
	if d := cmp.Diff(budgets, again, cmpopts.IgnoreUnexported(ledger.BudgetRow{})); d != "" {
		t.Errorf("budgets (-first +again):\n%s", d)
	}
	if len(w.Changed()) != 1 || len(u.Changed()) != 1 {
		t.Error("a window or a bucket that was not written is lost")
	}
	if len(w.Changed())+len(b.Changed())+len(u.Changed()) != 0 {
		t.Error("rows come twice")
	}
}

func TestBudgetsAreDroppedAfterTheirPeriod(t *testing.T) {
	c := &clock{start}
	b := ledger.NewBudgets(c.now, false)
	spend := func(name string, until time.Time) storage.Reservation {
		r, err := b.Reserve(acme(t), []storage.Limit{{Name: name, Until: until}}, []int64{5})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	done, open := spend("done", start.Add(time.Hour)), spend("open", start.Add(time.Hour))
	if err := b.Settle(acme(t), done, []int64{5}); err != nil {
		t.Fatal(err)
	}
	c.Time = start.Add(3 * time.Hour)
	spend("new", c.Add(time.Hour))
	used, reserved := b.Spent(acme(t), []string{"done", "open", "new"})
	if d := cmp.Diff([][]int64{{0, 0, 0}, {0, 5, 5}}, [][]int64{used, reserved}); d != "" {
		t.Errorf("a budget that still is reserved stays (-want +got):\n%s", d)
	}
	if err := b.Settle(acme(t), open, []int64{4}); err != nil {
		t.Fatal(err)
	}
}

func TestUsageIsDroppedAfterItsTime(t *testing.T) {
	c := &clock{start}
	u := ledger.NewUsage(c.now, nil)
	for _, at := range []time.Time{start, start.Add(storage.UsageKept), start.Add(storage.UsageKept + 2*time.Minute)} {
		c.Time = at
		if err := u.Add(acme(t), storage.UsageRecord{At: at}); err != nil {
			t.Fatal(err)
		}
	}
	got := u.Sum(acme(t), start, c.Add(time.Hour))
	if len(got) != 2 || !got[0].Minute.Equal(start.Add(storage.UsageKept)) {
		t.Errorf("got %v", got)
	}
}

func noBase(string, storage.UsageBucket) (storage.UsageBucket, bool, error) {
	return storage.UsageBucket{}, false, nil
}

func TestForgottenUsageIsReadBackBeforeItGrows(t *testing.T) {
	c := &clock{start}
	stored := map[time.Time]storage.UsageBucket{}
	down := false
	u := ledger.NewUsage(c.now, func(_ string, key storage.UsageBucket) (storage.UsageBucket, bool, error) {
		b, ok := stored[key.Minute]
		if down {
			return b, false, storage.ErrUnavailable
		}
		return b, ok, nil
	})
	add := func() error { return u.Add(acme(t), storage.UsageRecord{At: start, TokensIn: 2}) }
	if err := add(); err != nil {
		t.Fatal(err)
	}
	u.Forget(start.Add(time.Hour))
	if got := u.Sum(acme(t), start, start.Add(time.Minute)); len(got) != 1 {
		t.Fatalf("a bucket was forgotten before it was written")
	}
	for _, r := range u.Changed() {
		stored[r.Bucket.Minute] = r.Bucket
	}
	u.Forget(start.Add(time.Hour))
	if got := u.Sum(acme(t), start, start.Add(time.Minute)); got != nil {
		t.Fatalf("not forgotten: %v", got)
	}
	down = true
	if err := add(); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("base can't be read: got %v", err)
	}
	down = false
	if err := add(); err != nil {
		t.Fatal(err)
	}
	if got := u.Sum(acme(t), start, start.Add(time.Minute)); len(got) != 1 || got[0].Calls != 2 || got[0].TokensIn != 4 {
		t.Errorf("got %v, want 2 calls", got)
	}
}

func TestClockSetBackDoesNotLockOut(t *testing.T) {
	w := ledger.NewWindows(false)
	w.Take(acme(t), "key", minute, start.Add(24*time.Hour))
	w.Take(acme(t), "key", minute, start.Add(24*time.Hour))
	got := w.Take(acme(t), "key", minute, start)
	if got.OK || got.RetryAfter != time.Minute {
		t.Errorf("got %+v, want to wait a minute and not a day", got)
	}
}
