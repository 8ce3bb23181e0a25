package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// faulty is a store whose methods fail on request, one at a time.
type faulty struct {
	*memory.Store
	at atomic.Pointer[fault]
}

// fault is what the named method does instead of its work.
type fault struct {
	method string
	panics bool
}

func newFaulty() *faulty { return &faulty{Store: memory.New(memory.Options{})} }

func (f *faulty) meet(method string) error {
	at := f.at.Load()
	if at == nil || at.method != method {
		return nil
	}
	if at.panics {
		panic("c4nary: " + method)
	}
	return storage.ErrUnavailable
}

func (f *faulty) Sessions() storage.Sessions { return faultySessions{f.Store.Sessions(), f} }
func (f *faulty) Windows() storage.Windows   { return faultyWindows{f.Store.Windows(), f} }
func (f *faulty) Budgets() storage.Budgets   { return faultyBudgets{f.Store.Budgets(), f} }
func (f *faulty) Usage() storage.Usage       { return faultyUsage{f.Store.Usage(), f} }

type faultySessions struct {
	storage.Sessions
	f *faulty
}

func (s faultySessions) Append(ctx context.Context, t tenancy.ID, o storage.Owner, id string, m []storage.Message, k storage.Keep) error {
	if err := s.f.meet("Append"); err != nil {
		return err
	}
	return s.Sessions.Append(ctx, t, o, id, m, k)
}

func (s faultySessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, id string, p storage.Page) ([]storage.Message, error) {
	if err := s.f.meet("History"); err != nil {
		return nil, err
	}
	return s.Sessions.History(ctx, t, o, id, p)
}

type faultyWindows struct {
	storage.Windows
	f *faulty
}

func (w faultyWindows) Take(ctx context.Context, t tenancy.ID, key string, ws []storage.Window, now time.Time) (storage.Taken, error) {
	if err := w.f.meet("Take"); err != nil {
		return storage.Taken{}, err
	}
	return w.Windows.Take(ctx, t, key, ws, now)
}

type faultyBudgets struct {
	storage.Budgets
	f *faulty
}

func (b faultyBudgets) Reserve(ctx context.Context, t tenancy.ID, l []storage.Limit, a []int64) (storage.Reservation, error) {
	if err := b.f.meet("Reserve"); err != nil {
		return storage.Reservation{}, err
	}
	return b.Budgets.Reserve(ctx, t, l, a)
}

func (b faultyBudgets) Settle(ctx context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
	if err := b.f.meet("Settle"); err != nil {
		return err
	}
	return b.Budgets.Settle(ctx, t, r, used)
}

type faultyUsage struct {
	storage.Usage
	f *faulty
}

func (u faultyUsage) Add(ctx context.Context, t tenancy.ID, r storage.UsageRecord) error {
	if err := u.f.meet("Add"); err != nil {
		return err
	}
	return u.Usage.Add(ctx, t, r)
}

// limited gives the tenant all limits, so that every method of the store is called.
func limited(c *tenantconfig.Config) {
	c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 1000, WindowSec: 60}
	c.Limits.Tokens = tenantconfig.TokenLimits{Daily: 1_000_000}
}

func TestAStoreThatFails(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	b := newBed(t, aifake.New(t, aifake.Says("c4nary ", "answer")), setup{store: store, cfg: func(c *tenantconfig.Config) {
		limited(c)
		c.Limits.Requests.OnStoreFailure = tenantconfig.FailDeny
	}})
	for _, method := range []string{"Take", "Reserve", "History"} {
		store.at.Store(&fault{method: method})
		for _, stream := range []bool{false, true} {
			a := b.do(chat("c4nary", "stream", stream))
			if after, err := strconv.Atoi(a.header.Get("Retry-After")); a.status != 503 || a.code() != "unavailable" || err != nil || after < 1 || after > 5 {
				t.Errorf("%s fails, stream %v: %d %s Retry-After %q", method, stream, a.status, a.body, a.header.Get("Retry-After"))
			}
		}
	}
	if n := len(b.up.Requests()); n != 0 {
		t.Errorf("%d calls upstream while the store was down", n)
	}
	// The answer is there, but can't be kept: the client hears of it, and it is billed.
	store.at.Store(&fault{method: "Append"})
	if a := b.do(chat("c4nary", "stream", false)); a.status != 503 || a.code() != "unavailable" {
		t.Errorf("Append fails: %d %s", a.status, a.body)
	}
	if s := b.stream(chat("c4nary")); s.failed != "unavailable" || s.text != "c4nary answer" || s.errorEvent.RetryAfterMs < 1000 {
		t.Errorf("Append fails in a stream: %+v", s)
	}
	// What can't be settled or counted stays reserved, is logged, and troubles no client.
	for _, method := range []string{"Settle", "Add"} {
		store.at.Store(&fault{method: method})
		if a := b.do(chat("c4nary", "stream", false)); a.status != 200 {
			t.Errorf("%s fails: %d %s", method, a.status, a.body)
		}
	}
	if !strings.Contains(b.scrape(), "enigma_usage_lost_total 1") || !strings.Contains(b.logs.String(), "usage record not stored") {
		t.Error("a lost usage record isn't told")
	}
	store.at.Store(nil)
	if s := b.stream(chat("c4nary")); s.failed != "" {
		t.Errorf("after the store is back: %+v", s)
	}
}

func TestAPanicFailsOneRequest(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	b := newBed(t, aifake.New(t, aifake.Says("c4nary ", "answer")), setup{store: store, cfg: func(c *tenantconfig.Config) {
		limited(c)
		c.Limits.Requests.OnStoreFailure = tenantconfig.FailDeny
	}})
	for _, method := range []string{"Take", "Reserve", "History", "Append", "Settle", "Add"} {
		for _, stream := range []bool{false, true} {
			store.at.Store(&fault{method: method, panics: true})
			resp := b.open(chat("c4nary", "stream", stream))
			if resp.StatusCode == 200 {
				events, err := readEvents(resp.Body)
				if s := sum(t, events); err != nil || s.failed != "internal" {
					t.Errorf("%s panics in a stream: %+v, %v", method, s, err)
				}
			} else if resp.StatusCode != 500 {
				t.Errorf("%s panics, stream %v: status %d", method, stream, resp.StatusCode)
			}
			_ = resp.Body.Close()
			store.at.Store(nil)
			if s := b.stream(chat("c4nary")); s.failed != "" {
				t.Errorf("after %s panicked: %+v", method, s)
			}
		}
	}
	if b.status().ActiveStreams != 0 {
		t.Error("a stream is still counted")
	}
}

func TestRateLimitsOverHTTP(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("c4nary")), setup{cfg: func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 3, WindowSec: 60}
	}})
	for i := range 3 {
		a := b.do(chat("c4nary", "stream", i%2 == 0))
		if a.status != 200 || a.header.Get("x-ratelimit-remaining") != strconv.Itoa(2-i) || a.header.Get("ratelimit-policy") != `"long";q=3;w=60` {
			t.Errorf("request %d: %d %v", i, a.status, a.header)
		}
	}
	a := b.do(chat("c4nary"))
	if after, err := strconv.Atoi(a.header.Get("Retry-After")); a.status != 429 || a.code() != "rate_limited" || err != nil || after < 50 || after > 60 {
		t.Errorf("%d %s Retry-After %q", a.status, a.body, a.header.Get("Retry-After"))
	}
	// What costs nothing upstream isn't limited, and another key has its own windows.
	if got := b.history(keyMain, sessionA); len(got) != 6 {
		t.Errorf("history: %v", got)
	}
	c := chat("c4nary", "stream", false)
	c.key = keyOther
	if a := b.do(c); a.status != 200 {
		t.Errorf("another key: %d %s", a.status, a.body)
	}
	if n := len(b.up.Requests()); n != 4 {
		t.Errorf("%d calls upstream, want 4", n)
	}
}

// Requests in parallel, each told a maximum of 500 tokens, against a budget of 3,000:
// what is used never exceeds it.
func TestABudgetUnderParallelLoad(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says(strings.Split(strings.Repeat("c4nary ", 300), " ")...))
	b := newBed(t, up, setup{cfg: func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = 3000 }})
	var admitted, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			// Each in a session of its own: a history makes a request dearer, and one that is
			// dearer than the whole budget has no Retry-After.
			a := b.do(chat("c4nary", "stream", i%2 == 0, "sessionId", fmt.Sprintf("%08x-1c6b-4f7e-9d0a-5b1f2c3d4e5f", i)))
			switch {
			case a.status == 200:
				admitted.Add(1)
			case a.status == 429 && a.code() == "budget_exceeded" && a.header.Get("Retry-After") != "":
				refused.Add(1)
			default:
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	var used int64
	for _, e := range up.Ledger() {
		used += int64(e.In + e.Out)
	}
	if used > 3000 || admitted.Load() < 3 || refused.Load() == 0 {
		t.Errorf("used %d of 3000 tokens; %d admitted, %d refused", used, admitted.Load(), refused.Load())
	}
	if st := b.status(); st.Usage.TokensToday != used {
		t.Errorf("status says %d, the upstream %d", st.Usage.TokensToday, used)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t), setup{cfg: func(c *tenantconfig.Config) { c.Limits.BodyBytes = 2048 }})
	if a := b.do(chat(strings.Repeat("c4nary ", 400))); a.status != 413 || a.code() != "payload_too_large" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := b.do(call{method: http.MethodGet, path: "/nowhere", key: keyMain}); a.status != 404 || a.code() != "not_found" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := b.do(call{method: http.MethodGet, path: "/chat", key: keyMain}); a.status != 405 || a.header.Get("Allow") != "OPTIONS, POST" {
		t.Errorf("%d %s Allow %q", a.status, a.body, a.header.Get("Allow"))
	}
}
