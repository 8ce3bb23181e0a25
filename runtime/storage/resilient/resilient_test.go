package resilient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/resilient"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func acme() tenancy.ID {
	id, err := tenancy.NewID("acme", "o/n/production/acme")
	if err != nil {
		panic(err)
	}
	return id
}

var (
	owner = storage.Owner{Caller: "key:x"}
	day   = storage.Limit{Name: "tokens:day:1", Max: 1000}
)

// What a server that is away does to a call.
const (
	answers  = iota
	refuses  // the connection isn't made
	hangs    // nothing comes, until the call's time is up
	hangsUp  // the call is made, its answer doesn't come
	complain // the call is refused for what it is
	denies   // the server is there and does nothing
)

// far is a memory store behind a way that can be cut.
type far struct {
	storage.Store
	way   atomic.Int32
	calls atomic.Int64
}

func newFar() *far { return &far{Store: memory.New(memory.Options{})} }

func (f *far) travel(ctx context.Context, ask func() error) error {
	f.calls.Add(1)
	switch f.way.Load() {
	case refuses:
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED})
	case hangs:
		<-ctx.Done()
		return ctx.Err()
	case hangsUp:
		if err := ask(); err != nil {
			return err
		}
		return fmt.Errorf("%w: connection reset", storage.ErrUnavailable)
	case complain:
		return storage.ErrBadAmount
	case denies:
		return fmt.Errorf("%w (read_only), %w", storage.ErrUnavailable, storage.ErrNotDone)
	}
	return ask()
}

func (f *far) Sessions() storage.Sessions { return farSessions{f.Store.Sessions(), f} }
func (f *far) Budgets() storage.Budgets   { return farBudgets{f.Store.Budgets(), f} }
func (f *far) Usage() storage.Usage       { return farUsage{f.Store.Usage(), f} }

type farSessions struct {
	storage.Sessions
	f *far
}

func (s farSessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, id string, p storage.Page) (found []storage.Message, err error) {
	err = s.f.travel(ctx, func() (err error) {
		found, err = s.Sessions.History(ctx, t, o, id, p)
		return err
	})
	return found, err
}

type farBudgets struct {
	storage.Budgets
	f *far
}

func (b farBudgets) Settle(ctx context.Context, t tenancy.ID, r storage.Reservation, used []int64) error {
	return b.f.travel(ctx, func() error { return b.Budgets.Settle(ctx, t, r, used) })
}

type farUsage struct {
	storage.Usage
	f *far
}

func (u farUsage) Add(ctx context.Context, t tenancy.ID, r storage.UsageRecord) error {
	return u.f.travel(ctx, func() error { return u.Usage.Add(ctx, t, r) })
}

func newStore(f *far, o resilient.Options) *resilient.Store { return newStoreOf(f, o) }

// newStoreOf returns a store in front of a driver, which probes by a history.
func newStoreOf(driver storage.Store, o resilient.Options) *resilient.Store {
	o.Probe = func(ctx context.Context) error { return ask(ctx, driver) }
	return resilient.New(driver, o)
}

func ask(ctx context.Context, s storage.Store) error {
	_, err := s.Sessions().History(ctx, acme(), owner, "s", storage.Page{Limit: 1})
	return err
}

func closed(t *testing.T, s *resilient.Store) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestKeepsThePromises(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		s := newStore(newFar(), resilient.Options{})
		t.Cleanup(func() { closed(t, s) })
		return s
	})
}

// TestAServerThatHangsIsNotWaitedForTwice: the first few wait their time, the others are
// refused at once, and it is served again within a second of its return though nobody
// asks.
func TestAServerThatHangsIsNotWaitedForTwice(t *testing.T) {
	for name, way := range map[string]int32{"hangs": hangs, "refuses": refuses} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFar()
				var told []bool
				s := newStore(f, resilient.Options{Timeout: time.Second, Failures: 3, Changed: func(away bool) { told = append(told, away) }})
				defer closed(t, s)
				f.way.Store(way)
				for range 3 {
					if err := ask(t.Context(), s); !errors.Is(err, storage.ErrUnavailable) {
						t.Fatalf("got %v, want unavailable", err)
					}
				}
				before, asked := f.calls.Load(), time.Now()
				for range 100 {
					if err := ask(t.Context(), s); !errors.Is(err, storage.ErrUnavailable) {
						t.Fatalf("got %v, want unavailable", err)
					}
				}
				if f.calls.Load() != before || time.Since(asked) != 0 {
					t.Errorf("100 calls after 3 failures took %v and reached the driver %d times", time.Since(asked), f.calls.Load()-before)
				}
				if h := s.Health(); h.OK || h.Reason != resilient.ReasonAway || !s.Away() {
					t.Errorf("health %+v, away %v", h, s.Away())
				}
				time.Sleep(10 * time.Second) // of the bubble's clock
				f.way.Store(answers)
				back := time.Now()
				for s.Away() && time.Since(back) < time.Minute {
					time.Sleep(10 * time.Millisecond)
				}
				if took := time.Since(back); took > time.Second {
					t.Errorf("it was found back after %v", took)
				}
				if err := ask(t.Context(), s); err != nil || !s.Health().OK {
					t.Errorf("after its return: %v, %+v", err, s.Health())
				}
				synctest.Wait()
				if len(told) != 2 || !told[0] || told[1] {
					t.Errorf("told %v, want away and back", told)
				}
			})
		})
	}
}

// TestClientsThatGoSayNothing: neither a canceled call nor one that is refused for what
// it is counts against the server.
func TestClientsThatGoSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar()
		s := newStore(f, resilient.Options{Failures: 2})
		defer closed(t, s)
		f.way.Store(hangs)
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if err := ask(ctx, s); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("got %v, want the caller's own deadline", err)
			}
			cancel()
		}
		f.way.Store(complain)
		for range 10 {
			if err := ask(t.Context(), s); !errors.Is(err, storage.ErrBadAmount) {
				t.Fatalf("got %v", err)
			}
		}
		if s.Away() {
			t.Error("the server is said to be away")
		}
		// A success between keeps failures from adding up.
		for range 10 {
			f.way.Store(refuses)
			if err := ask(t.Context(), s); !errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			f.way.Store(answers)
			if err := ask(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestWhatIsOwedIsSentLater: in an outage, or while the server takes no writes, nothing
// that wasn't done is lost, and nothing is sent twice.
func TestWhatIsOwedIsSentLater(t *testing.T) {
	for name, way := range map[string]int32{"refuses": refuses, "denies": denies} {
		t.Run(name, func(t *testing.T) { owedIsSentLater(t, way) })
	}
}

func owedIsSentLater(t *testing.T, way int32) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar()
		s := newStore(f, resilient.Options{})
		defer closed(t, s)
		ctx, gone := context.WithCancel(t.Context())
		held, err := s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{100})
		if err != nil {
			t.Fatal(err)
		}
		gone()
		at := time.Now()
		f.way.Store(way)
		for range 500 {
			if err := s.Usage().Add(ctx, acme(), storage.UsageRecord{At: at, Model: "m", TokensIn: 1}); err != nil {
				t.Fatalf("Add while the server is away: %v", err)
			}
		}
		if err := s.Budgets().Settle(ctx, acme(), held, []int64{7}); err != nil {
			t.Fatalf("Settle while the server is away: %v", err)
		}
		if got := s.Waiting(); got != 501 {
			t.Errorf("%d wait, want 501", got)
		}
		time.Sleep(time.Minute)
		f.way.Store(answers)
		time.Sleep(time.Second)
		synctest.Wait()
		used, reserved, err := s.Budgets().Spent(t.Context(), acme(), []string{day.Name})
		if err != nil || used[0] != 7 || reserved[0] != 0 {
			t.Errorf("used %v, reserved %v, %v; want 7 and 0", used, reserved, err)
		}
		sum, err := s.Usage().Sum(t.Context(), acme(), at.Add(-time.Hour), at.Add(time.Hour))
		if err != nil || len(sum) != 1 || sum[0].Calls != 500 || s.Waiting() != 0 || s.Lost() != 0 {
			t.Errorf("got %+v, %v; %d wait, %d are lost", sum, err, s.Waiting(), s.Lost())
		}
	})
}

// TestWhatMayHaveBeenDoneIsNotSentAgain: the answer is an error, and the caller's to log.
func TestWhatMayHaveBeenDoneIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar()
		s := newStore(f, resilient.Options{Failures: 2})
		defer closed(t, s)
		held, err := s.Budgets().Reserve(t.Context(), acme(), []storage.Limit{day}, []int64{100})
		if err != nil {
			t.Fatal(err)
		}
		f.way.Store(hangsUp)
		if err := s.Budgets().Settle(t.Context(), acme(), held, []int64{7}); !errors.Is(err, storage.ErrUnavailable) {
			t.Fatalf("got %v, want unavailable", err)
		}
		f.way.Store(answers)
		time.Sleep(time.Minute)
		used, _, err := s.Budgets().Spent(t.Context(), acme(), []string{day.Name})
		if err != nil || used[0] != 7 || s.Waiting() != 0 {
			t.Errorf("used %v, %v: 7 were settled, once; %d wait", used, err, s.Waiting())
		}
	})
}

func TestWhatWaitsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar()
		told := 0
		s := newStore(f, resilient.Options{MaxWaiting: 10, Lost: func(id tenancy.ID, what any) {
			if r, ok := what.(storage.UsageRecord); ok && id == acme() && r.TokensIn == 7 {
				told++
			}
		}})
		f.way.Store(refuses)
		refused := 0
		for range 25 {
			if err := s.Usage().Add(t.Context(), acme(), storage.UsageRecord{At: time.Now(), TokensIn: 7}); errors.Is(err, storage.ErrUnavailable) {
				refused++
			}
		}
		if refused != 15 || s.Waiting() != 10 {
			t.Errorf("%d were refused, %d wait; want 15 and 10", refused, s.Waiting())
		}
		if err := s.Close(t.Context()); !errors.Is(err, storage.ErrUnavailable) || s.Lost() != 10 || told != 10 {
			t.Errorf("Close: %v, %d lost, told of %d; want an error and 10", err, s.Lost(), told)
		}
	})
}

func TestCloseSendsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, at := newFar(), time.Now()
		s := newStore(f, resilient.Options{Failures: 100})
		f.way.Store(refuses)
		if err := s.Usage().Add(t.Context(), acme(), storage.UsageRecord{At: at}); err != nil {
			t.Fatal(err)
		}
		f.way.Store(answers)
		closed(t, s)
		if sum, err := f.Usage().Sum(t.Context(), acme(), at.Add(-time.Hour), at.Add(time.Hour)); err != nil || len(sum) != 1 {
			t.Errorf("got %v, %v", sum, err)
		}
	})
}

// TestAfterCloseNothingIsKept: nobody would send it.
func TestAfterCloseNothingIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar()
		s := newStore(f, resilient.Options{})
		closed(t, s)
		f.way.Store(refuses)
		if err := s.Usage().Add(t.Context(), acme(), storage.UsageRecord{At: time.Now()}); !errors.Is(err, storage.ErrUnavailable) || s.Waiting() != 0 {
			t.Errorf("Add after Close: %v, %d wait; want unavailable and none", err, s.Waiting())
		}
	})
}

// TestFlickering: under calls from many, a server that comes and goes loses and doubles
// nothing that was never sent.
func TestFlickering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, at := newFar(), time.Now()
		s := newStore(f, resilient.Options{})
		defer closed(t, s)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for n := range 50 {
					if err := s.Usage().Add(t.Context(), acme(), storage.UsageRecord{At: at, Model: "m"}); err != nil {
						t.Errorf("Add: %v", err)
					}
					_ = ask(t.Context(), s)
					time.Sleep(time.Duration(1+(i*7+n*13)%90) * time.Millisecond)
				}
			})
		}
		for i := range 40 {
			f.way.Store([]int32{refuses, answers}[i%2])
			time.Sleep(time.Duration(30+i*11%170) * time.Millisecond)
		}
		f.way.Store(answers)
		all.Wait()
		time.Sleep(2 * time.Second)
		sum, err := s.Usage().Sum(t.Context(), acme(), at.Add(-time.Hour), at.Add(time.Hour))
		if err != nil || len(sum) != 1 || sum[0].Calls != 1000 {
			t.Errorf("got %+v, %v; want 1000 calls", sum, err)
		}
	})
}

func TestKeepsThePromisesOfDocuments(t *testing.T) {
	opened := func(t *testing.T) storage.Store {
		s := newStore(newFar(), resilient.Options{})
		t.Cleanup(func() { closed(t, s) })
		return s
	}
	storagetest.RunDocuments(t, func(t *testing.T) storagetest.DocumentBed { return storagetest.DocumentBed{Store: opened(t)} })
	storagetest.RunJobs(t, opened)
}

// TestDocumentsOfAServerThatIsAway are refused at once, and nobody waits for a change then.
func TestDocumentsOfAServerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar()
		s := newStore(f, resilient.Options{Failures: 2})
		defer closed(t, s)
		f.way.Store(refuses)
		for range 2 {
			if err := ask(t.Context(), s); !errors.Is(err, storage.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		_, next := s.Documents().NextVersion(t.Context(), acme())
		_, awaited := s.Documents().Await(t.Context(), acme(), 0)
		_, _, taken := s.Jobs().Take(t.Context(), acme(), "w", []string{"k"}, time.Now(), time.Now())
		for what, err := range map[string]error{"NextVersion": next, "Await": awaited, "Take": taken} {
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		f.way.Store(answers)
		time.Sleep(time.Second)
		if _, err := s.Documents().NextVersion(t.Context(), acme()); err != nil {
			t.Errorf("once it is back: %v", err)
		}
	})
}
