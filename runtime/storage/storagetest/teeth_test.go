package storagetest_test

import (
	"context"
	"flag"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The failures here are wanted: none needs a smallest example or a file.
	for name, value := range map[string]string{
		"rapid.shrinktime": "1ns", "rapid.nofailfile": "true", "rapid.checks": "2000", "rapid.seed": "1",
	} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestTeeth plants drivers that each break one promise; the check of that promise
// must refuse them. The whole driver passes the same checks.
func TestTeeth(t *testing.T) {
	for _, m := range []struct {
		breaks string
		check  string
		plant  func(storage.Store) storage.Store
	}{
		{"callers and sessions joined by a colon", "Tenants/any interleaving", joinedSessions},
		{"callers and sessions joined by a colon", "Owner/a caller sees", joinedSessions},
		{"tenant and key joined by a colon", "Tenants/no name", joinedWindows},
		{"tenant and key joined by a colon", "Tenants/any interleaving", joinedWindows},
		{"tenant and budget joined by a colon", "Tenants/no name", joinedBudgets},
		{"tenant and budget joined by a colon", "Tenants/any interleaving", joinedBudgets},
		{"every caller sees all", "Owner/a caller sees", allCallers},
		{"messages are appended one by one", "Append/at once", tornAppend},
		{"two messages have one time", "Append/no two messages share", sharesTimes},
		{"one message more is kept", "Keep/", keepsOneMore},
		{"sessions updated just then expire too", "Expire/", expiresTooMany},
		{"a cursor made up starts anew", "List/a foreign cursor", anyCursor},
		{"a budget is checked, then incremented", "Reserve/at once", checkThenReserve},
		{"a settlement is capped at what was reserved", "Settle/less, more", cappedSettle},
		{"a settlement of a gone client is dropped", "Context/what was used", settleNeedsClient},
		{"a refused take costs", "Take/waiting RetryAfter", refusedTakeCosts},
		{"windows are aligned, not sliding", "Take/exact", alignedWindows},
		{"RetryAfter is a nanosecond short", "Take/waiting RetryAfter", hastyRetryAfter},
		{"a usage record in a thousand is lost", "Usage/at once", losesUsage},
		{"the zero tenant is let in", "Context/no tenant", anyTenant},
		{"tenant and cache key joined by a colon", "Cache/no name", joinedCache},
		{"a cache that keeps the caller's slice", "Cache/a value is", sharedValues},
		{"a cache that forgets no time to live", "Cache/time to live", livesForever},
		{"a cache cleared for everybody", "Cache/clear", clearsAll},
		{"a cache that isn't cleared", "Cache/clear", clearsNothing},
		{"any size is cached", "Cache/values that", cachesAnything},
		{"an audit record in a hundred is lost", "Audit/at once", losesAudit},
		{"an audit span is closed", "Audit/a span", closedSpan},
		{"an audit cursor made up starts anew", "Audit/tenants apart", anyAuditCursor},
		{"a page of audit begins with the last of the one before", "Audit/pages", repeatsAudit},
		{"a resumed dump begins anew", "Dump/each record", dumpsAnew},
		{"a dump without audit", "Dump/holds all", dumpsNoAudit},
		{"a dump position made up starts anew", "Dump/a foreign", anyPosition},
		{"a load appends", "Load/twice", loadAppends},
		{"a load appends", "Load/replaces", loadAppends},
		{"a load of one by one", "Load/all or none", loadsOneByOne},
		{"an erasure leaves the cache", "Erase/all of one", keepsCache},
		{"an erasure of a prefix", "Erase/all of one", erasesPrefix},
	} {
		t.Run(m.breaks+" - "+m.check, func(t *testing.T) {
			i := slices.IndexFunc(storagetest.Checks(), func(c storagetest.Check) bool { return strings.HasPrefix(c.Name, m.check) })
			if i < 0 {
				t.Fatalf("no check is called %q", m.check)
			}
			check := storagetest.Checks()[i]
			if run(check, m.plant(memory.New(memory.Options{}))) {
				t.Errorf("%q did not notice", check.Name)
			}
			if !run(check, memory.New(memory.Options{})) {
				t.Errorf("%q refuses a right driver", check.Name)
			}
		})
	}
}

// run tells whether the check passes.
func run(check storagetest.Check, s storage.Store) bool {
	w := &witness{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check.Run(w, s)
	}()
	<-done
	return !w.Failed()
}

// witness is a test that may fail without failing its own.
type witness struct{ failed atomic.Bool }

func (*witness) Helper()                 {}
func (*witness) Name() string            { return "witness" }
func (*witness) Log(...any)              {}
func (*witness) Logf(string, ...any)     {}
func (*witness) Skip(...any)             { runtime.Goexit() }
func (*witness) Skipf(string, ...any)    { runtime.Goexit() }
func (*witness) SkipNow()                { runtime.Goexit() }
func (w *witness) Error(...any)          { w.Fail() }
func (w *witness) Errorf(string, ...any) { w.Fail() }
func (w *witness) Fatal(...any)          { w.FailNow() }
func (w *witness) Fatalf(string, ...any) { w.FailNow() }
func (w *witness) Fail()                 { w.failed.Store(true) }
func (w *witness) Failed() bool          { return w.failed.Load() }
func (w *witness) FailNow()              { w.Fail(); runtime.Goexit() }

var _ rapid.TB = (*witness)(nil)

// planted is a store with some rooms replaced.
type planted struct {
	storage.Store
	sessions storage.Sessions
	windows  storage.Windows
	budgets  storage.Budgets
	usage    storage.Usage
	cache    storage.Cache
	audit    storage.Audit
	docs     storage.Documents
	jobs     storage.Jobs
	portable storage.Portable
}

func plant(s storage.Store) planted {
	return planted{s, s.Sessions(), s.Windows(), s.Budgets(), s.Usage(), s.Cache(), s.Audit(), s.Documents(), s.Jobs(), s.Portable()}
}

func (p planted) Sessions() storage.Sessions { return p.sessions }
func (p planted) Windows() storage.Windows   { return p.windows }
func (p planted) Budgets() storage.Budgets   { return p.budgets }
func (p planted) Usage() storage.Usage       { return p.usage }
func (p planted) Cache() storage.Cache       { return p.cache }
func (p planted) Audit() storage.Audit       { return p.audit }
func (p planted) Portable() storage.Portable { return p.portable }

func (p planted) Documents() storage.Documents { return p.docs }
func (p planted) Jobs() storage.Jobs           { return p.jobs }

// sessionsBy, windowsBy, budgetsBy and usageBy replace single methods.
type sessionsBy struct {
	storage.Sessions
	append  func(context.Context, tenancy.ID, storage.Owner, string, []storage.Message, storage.Keep) error
	history func(context.Context, tenancy.ID, storage.Owner, string, storage.Page) ([]storage.Message, error)
	delete  func(context.Context, tenancy.ID, storage.Owner, string) error
	list    func(context.Context, tenancy.ID, storage.Owner, int, string) ([]storage.SessionInfo, string, error)
	expire  func(context.Context, tenancy.ID, time.Time) (int, error)
}

func (s sessionsBy) Append(ctx context.Context, t tenancy.ID, o storage.Owner, id string, msgs []storage.Message, k storage.Keep) error {
	if s.append == nil {
		return s.Sessions.Append(ctx, t, o, id, msgs, k)
	}
	return s.append(ctx, t, o, id, msgs, k)
}

func (s sessionsBy) History(ctx context.Context, t tenancy.ID, o storage.Owner, id string, p storage.Page) ([]storage.Message, error) {
	if s.history == nil {
		return s.Sessions.History(ctx, t, o, id, p)
	}
	return s.history(ctx, t, o, id, p)
}

func (s sessionsBy) Delete(ctx context.Context, t tenancy.ID, o storage.Owner, id string) error {
	if s.delete == nil {
		return s.Sessions.Delete(ctx, t, o, id)
	}
	return s.delete(ctx, t, o, id)
}

func (s sessionsBy) List(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, cursor string) ([]storage.SessionInfo, string, error) {
	if s.list == nil {
		return s.Sessions.List(ctx, t, o, limit, cursor)
	}
	return s.list(ctx, t, o, limit, cursor)
}

func (s sessionsBy) Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error) {
	if s.expire == nil {
		return s.Sessions.Expire(ctx, t, before)
	}
	return s.expire(ctx, t, before)
}

type windowsBy struct {
	storage.Windows
	take func(context.Context, tenancy.ID, string, []storage.Window, time.Time) (storage.Taken, error)
}

func (w windowsBy) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
	return w.take(ctx, t, key, windows, now)
}

type budgetsBy struct {
	storage.Budgets
	reserve func(context.Context, tenancy.ID, []storage.Limit, []int64) (storage.Reservation, error)
	settle  func(context.Context, tenancy.ID, storage.Reservation, []int64) error
	spent   func(context.Context, tenancy.ID, []string) ([]int64, []int64, error)
}

func (b budgetsBy) Reserve(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
	if b.reserve == nil {
		return b.Budgets.Reserve(ctx, t, limits, amounts)
	}
	return b.reserve(ctx, t, limits, amounts)
}

func (b budgetsBy) Settle(ctx context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
	if b.settle == nil {
		return b.Budgets.Settle(ctx, t, r, used)
	}
	return b.settle(ctx, t, r, used)
}

func (b budgetsBy) Spent(ctx context.Context, t tenancy.ID, names []string) ([]int64, []int64, error) {
	if b.spent == nil {
		return b.Budgets.Spent(ctx, t, names)
	}
	return b.spent(ctx, t, names)
}

type usageBy struct {
	storage.Usage
	add func(context.Context, tenancy.ID, storage.UsageRecord) error
}

func (u usageBy) Add(ctx context.Context, t tenancy.ID, r storage.UsageRecord) error {
	return u.add(ctx, t, r)
}

func everybody() tenancy.ID {
	id, err := tenancy.NewID("everybody", "everybody")
	if err != nil {
		panic(err)
	}
	return id
}

func joinedSessions(s storage.Store) storage.Store {
	p, in := plant(s), s.Sessions()
	nobody := storage.Owner{}
	p.sessions = sessionsBy{
		Sessions: in,
		append: func(ctx context.Context, t tenancy.ID, o storage.Owner, id string, msgs []storage.Message, k storage.Keep) error {
			return in.Append(ctx, t, nobody, o.Caller+":"+id, msgs, k)
		},
		history: func(ctx context.Context, t tenancy.ID, o storage.Owner, id string, p storage.Page) ([]storage.Message, error) {
			return in.History(ctx, t, nobody, o.Caller+":"+id, p)
		},
		delete: func(ctx context.Context, t tenancy.ID, o storage.Owner, id string) error {
			return in.Delete(ctx, t, nobody, o.Caller+":"+id)
		},
	}
	return p
}

func joinedWindows(s storage.Store) storage.Store {
	p := plant(s)
	p.windows = windowsBy{Windows: s.Windows(), take: func(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
		return s.Windows().Take(ctx, everybody(), t.Identity()+":"+key, windows, now)
	}}
	return p
}

func joinedBudgets(s storage.Store) storage.Store {
	p, in := plant(s), s.Budgets()
	joined := func(t tenancy.ID, limits []storage.Limit) []storage.Limit {
		limits = slices.Clone(limits)
		for i := range limits {
			limits[i].Name = t.Identity() + ":" + limits[i].Name
		}
		return limits
	}
	p.budgets = budgetsBy{
		Budgets: in,
		reserve: func(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
			r, err := in.Reserve(ctx, everybody(), joined(t, limits), amounts)
			if r.Refused == "" {
				r.Limits = limits
			}
			return r, err
		},
		settle: func(ctx context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
			r.Limits = joined(t, r.Limits)
			return in.Settle(ctx, everybody(), r, used)
		},
		spent: func(ctx context.Context, t tenancy.ID, names []string) ([]int64, []int64, error) {
			names = slices.Clone(names)
			for i := range names {
				names[i] = t.Identity() + ":" + names[i]
			}
			return in.Spent(ctx, everybody(), names)
		},
	}
	return p
}

func allCallers(s storage.Store) storage.Store {
	p, in := plant(s), s.Sessions()
	p.sessions = sessionsBy{Sessions: in, history: func(ctx context.Context, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
		o.All = true
		return in.History(ctx, t, o, id, page)
	}}
	return p
}

func tornAppend(s storage.Store) storage.Store {
	p, in := plant(s), s.Sessions()
	p.sessions = sessionsBy{Sessions: in, append: func(ctx context.Context, t tenancy.ID, o storage.Owner, id string, msgs []storage.Message, k storage.Keep) error {
		for i := range msgs {
			if err := in.Append(ctx, t, o, id, msgs[i:i+1], k); err != nil {
				return err
			}
			runtime.Gosched()
		}
		return nil
	}}
	return p
}

func sharesTimes(s storage.Store) storage.Store {
	p, in := plant(s), s.Sessions()
	p.sessions = sessionsBy{Sessions: in, history: func(ctx context.Context, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
		found, err := in.History(ctx, t, o, id, page)
		for i := range found {
			found[i].At = found[i].At.Truncate(2 * time.Millisecond)
		}
		return found, err
	}}
	return p
}

func keepsOneMore(s storage.Store) storage.Store {
	p, in := plant(s), s.Sessions()
	p.sessions = sessionsBy{Sessions: in, append: func(ctx context.Context, t tenancy.ID, o storage.Owner, id string, msgs []storage.Message, k storage.Keep) error {
		if k.MaxMessages > 0 {
			k.MaxMessages++
		}
		return in.Append(ctx, t, o, id, msgs, k)
	}}
	return p
}

func expiresTooMany(s storage.Store) storage.Store {
	p, in := plant(s), s.Sessions()
	p.sessions = sessionsBy{Sessions: in, expire: func(ctx context.Context, t tenancy.ID, before time.Time) (int, error) {
		return in.Expire(ctx, t, before.Add(time.Millisecond))
	}}
	return p
}

func anyCursor(s storage.Store) storage.Store {
	p, in := plant(s), s.Sessions()
	p.sessions = sessionsBy{Sessions: in, list: func(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, cursor string) ([]storage.SessionInfo, string, error) {
		if _, err := storage.ParseCursor(t, o, cursor); err != nil {
			cursor = ""
		}
		return in.List(ctx, t, o, limit, cursor)
	}}
	return p
}

func checkThenReserve(s storage.Store) storage.Store {
	p, in := plant(s), s.Budgets()
	p.budgets = budgetsBy{Budgets: in, reserve: func(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (storage.Reservation, error) {
		free := slices.Clone(limits)
		for i, l := range limits {
			used, reserved, err := in.Spent(ctx, t, []string{l.Name})
			if err != nil {
				return storage.Reservation{}, err
			}
			if used[0]+reserved[0]+amounts[i] > l.Max {
				return storage.Reservation{Refused: l.Name}, nil
			}
			free[i].Max = 0
		}
		runtime.Gosched()
		return in.Reserve(ctx, t, free, amounts)
	}}
	return p
}

func cappedSettle(s storage.Store) storage.Store {
	p, in := plant(s), s.Budgets()
	p.budgets = budgetsBy{Budgets: in, settle: func(ctx context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
		used = slices.Clone(used)
		for i := range used {
			used[i] = min(used[i], r.Amounts[i])
		}
		return in.Settle(ctx, t, r, used)
	}}
	return p
}

func settleNeedsClient(s storage.Store) storage.Store {
	p, in := plant(s), s.Budgets()
	p.budgets = budgetsBy{Budgets: in, settle: func(ctx context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
		if ctx.Err() != nil {
			return nil
		}
		return in.Settle(ctx, t, r, used)
	}}
	return p
}

func refusedTakeCosts(s storage.Store) storage.Store {
	p, in := plant(s), s.Windows()
	p.windows = windowsBy{Windows: in, take: func(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
		taken, err := in.Take(ctx, t, key, windows, now)
		if err != nil || taken.OK {
			return taken, err
		}
		wide := slices.Clone(windows)
		for i := range wide {
			wide[i].Limit = math.MaxInt
		}
		_, err = in.Take(ctx, t, key, wide, now)
		return taken, err
	}}
	return p
}

func alignedWindows(s storage.Store) storage.Store {
	p, in := plant(s), s.Windows()
	p.windows = windowsBy{Windows: in, take: func(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
		if len(windows) > 0 && windows[0].Length > 0 {
			now = now.Truncate(windows[0].Length)
		}
		return in.Take(ctx, t, key, windows, now)
	}}
	return p
}

func hastyRetryAfter(s storage.Store) storage.Store {
	p, in := plant(s), s.Windows()
	p.windows = windowsBy{Windows: in, take: func(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
		taken, err := in.Take(ctx, t, key, windows, now)
		if !taken.OK {
			taken.RetryAfter--
		}
		return taken, err
	}}
	return p
}

func losesUsage(s storage.Store) storage.Store {
	p, in := plant(s), s.Usage()
	var n atomic.Int64
	p.usage = usageBy{Usage: in, add: func(ctx context.Context, t tenancy.ID, r storage.UsageRecord) error {
		if n.Add(1)%1000 == 0 {
			return nil
		}
		return in.Add(ctx, t, r)
	}}
	return p
}

func anyTenant(s storage.Store) storage.Store {
	p, in := plant(s), s.Usage()
	p.usage = usageBy{Usage: in, add: func(ctx context.Context, t tenancy.ID, r storage.UsageRecord) error {
		if t.IsZero() {
			t = everybody()
		}
		return in.Add(ctx, t, r)
	}}
	return p
}
