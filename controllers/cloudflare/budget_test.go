package cloudflare_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

const someAccount = "00000000000000000000000000000001"

// wire answers every request at once with an empty list, or as a test says, and notes
// when it came and whose it was.
type wire struct {
	mu     sync.Mutex
	times  []time.Time
	polls  []time.Time
	answer func(n int) *http.Response
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.times = append(w.times, time.Now())
	if strings.Contains(r.URL.Path, "vectorize") {
		w.polls = append(w.polls, time.Now())
	}
	if w.answer != nil {
		if resp := w.answer(len(w.times)); resp != nil {
			return resp, nil
		}
	}
	return says(http.StatusOK, `{"success":true,"errors":[],"messages":[],"result":[]}`), nil
}

func says(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

// most is the largest number of calls in any window, wherever it begins.
func most(times []time.Time, window time.Duration) int {
	worst, from := 0, 0
	for n := range times {
		for times[n].Sub(times[from]) >= window {
			from++
		}
		worst = max(worst, n-from+1)
	}
	return worst
}

// edit and poll make one call in their lane; the wire tells them apart by their kind.
func edit(ctx context.Context, p *cloudflare.Pool, o cloudflare.Options) error {
	_, err := p.Open(o, cloudflare.Edit).List(ctx, cloudflare.KV)
	return err
}

func poll(ctx context.Context, p *cloudflare.Pool, o cloudflare.Options) error {
	_, err := p.Open(o, cloudflare.Poll).List(ctx, cloudflare.Vectorize)
	return err
}

// hurry calls again and again, from several goroutines, until there is no room before
// ctx ends.
func hurry(ctx context.Context, goroutines int, call func(context.Context) error) *sync.WaitGroup {
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for ctx.Err() == nil {
				var e *cloudflare.Error
				if err := call(ctx); errors.As(err, &e) && e.Status == 0 {
					return
				}
			}
		})
	}
	return &all
}

var fast = cloudflare.Options{AccountID: someAccount, Endpoint: "http://cloudflare.invalid", Token: "ce_c4nary-a", Requests: 1200, Window: 5 * time.Minute, ReservePercent: 20}

func TestNoWindowHasMoreCallsThanTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		pool := cloudflare.NewPool(cloudflare.PoolOptions{Transport: w})
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Minute)
		defer stop()
		hurry(ctx, 8, func(ctx context.Context) error { return edit(ctx, pool, fast) }).Wait()
		if got := most(w.times, 5*time.Minute); got > 960 {
			t.Errorf("%d calls in 5 minutes, 960 are ours", got)
		}
		if got, floor := len(w.times), 4*960; float64(got) < 0.96*float64(floor) {
			t.Errorf("%d calls in 20 minutes, %d would be allowed", got, floor)
		}
	})
}

func TestPollsKeepToTheirShareAndLetEditsPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		pool := cloudflare.NewPool(cloudflare.PoolOptions{Transport: w})
		o := fast
		o.PollPercent = 25
		ctx, stop := context.WithTimeout(t.Context(), 15*time.Minute)
		defer stop()
		all := hurry(ctx, 8, func(ctx context.Context) error { return poll(ctx, pool, o) })
		var slowest time.Duration
		for range 100 {
			time.Sleep(7 * time.Second)
			begun := time.Now()
			if err := edit(ctx, pool, o); err != nil {
				t.Error(err)
			}
			slowest = max(slowest, time.Since(begun))
		}
		all.Wait()
		if slowest > 2*time.Second {
			t.Errorf("an edit waited %s behind polls", slowest)
		}
		if got := most(w.polls, 5*time.Minute); got > 240 || got < 200 {
			t.Errorf("%d polls in 5 minutes, 240 are allowed", got)
		}
	})
}

func TestAnEditOvertakesPollsThatWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		pool := cloudflare.NewPool(cloudflare.PoolOptions{Transport: w})
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
		defer stop()
		all := hurry(ctx, 50, func(ctx context.Context) error { return poll(ctx, pool, fast) })
		time.Sleep(time.Minute)
		begun := time.Now()
		if err := edit(ctx, pool, fast); err != nil || time.Since(begun) > time.Second {
			t.Errorf("it took %s, %v", time.Since(begun), err)
		}
		stop()
		all.Wait()
	})
}

// A storm: all callers of a token stop once one of them was told to, for as long as it
// was told.
func TestA429HoldsEveryoneBack(t *testing.T) {
	t.Parallel()
	for retryAfter, pause := range map[string]time.Duration{"90": 90 * time.Second, "": 5 * time.Minute, "soon": 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{answer: func(n int) *http.Response {
				if n != 30 {
					return nil
				}
				resp := says(http.StatusTooManyRequests, `{"success":false,"errors":[{"code":971,"message":"slow down"}]}`)
				if retryAfter != "" {
					resp.Header.Set("Retry-After", retryAfter)
				}
				return resp
			}}
			pool := cloudflare.NewPool(cloudflare.PoolOptions{Transport: w})
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
			defer stop()
			var mu sync.Mutex
			var told []time.Duration
			all := hurry(ctx, 20, func(ctx context.Context) error {
				err := errors.Join(edit(ctx, pool, fast), poll(ctx, pool, fast))
				var e *cloudflare.Error
				if errors.As(err, &e) && errors.Is(e, cloudflare.ErrRateLimited) && e.Status == http.StatusTooManyRequests {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, e.After)
				}
				return err
			})
			time.Sleep(50 * time.Second)
			if have := pool.Open(fast, cloudflare.Poll).Budget(); have.Left != 0 || have.BlockedUntil.IsZero() {
				t.Errorf("the budget says %+v", have)
			}
			// Another token isn't concerned.
			other := fast
			other.Token = "ce_c4nary-b"
			if err := edit(ctx, pool, other); err != nil {
				t.Error(err)
			}
			all.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			blocked := w.times[29]
			during := slices.DeleteFunc(slices.Clone(w.times[30:]), func(at time.Time) bool { return at.Sub(blocked) >= pause })
			if len(during) != 1 { // the other token's
				t.Errorf("%d calls within %s of a 429", len(during), pause)
			}
			if len(w.times) < 100 {
				t.Errorf("only %d calls: nobody went on", len(w.times))
			}
			if len(told) != 1 || told[0] != pause {
				t.Errorf("told %v, want %s", told, pause)
			}
		})
	}
}

func TestWhoCantWaitIsToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{answer: func(n int) *http.Response {
			if n > 1 {
				return nil
			}
			resp := says(http.StatusTooManyRequests, `{}`)
			resp.Header.Set("Retry-After", "60")
			return resp
		}}
		pool := cloudflare.NewPool(cloudflare.PoolOptions{Transport: w})
		if err := edit(t.Context(), pool, fast); !errors.Is(err, cloudflare.ErrRateLimited) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		begun := time.Now()
		err := edit(ctx, pool, fast)
		var e *cloudflare.Error
		if !errors.As(err, &e) || !errors.Is(e, cloudflare.ErrRateLimited) || e.After != 50*time.Second || time.Since(begun) > 0 {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		// One that gives up leaves no gap and no one waiting.
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- edit(ctx, pool, fast) }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, cloudflare.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if err := edit(t.Context(), pool, fast); err != nil {
			t.Error(err)
		}
		if len(w.times) != 2 {
			t.Errorf("%d calls, want 2", len(w.times))
		}
	})
}

func TestOthersUseOfATokenIsHeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{answer: func(n int) *http.Response {
			resp := says(http.StatusOK, `{"success":true,"result":[]}`)
			if n == 1 {
				resp.Header.Set("Ratelimit", `"default";r=0;t=40`)
			}
			return resp
		}}
		pool := cloudflare.NewPool(cloudflare.PoolOptions{Transport: w})
		for range 2 {
			if err := edit(t.Context(), pool, fast); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.times[1].Sub(w.times[0]); got != 40*time.Second {
			t.Errorf("the next call came after %s", got)
		}
	})
}

func TestBudgetCountsEveryCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pool := cloudflare.NewPool(cloudflare.PoolOptions{Transport: &wire{}})
		for range 10 {
			if err := errors.Join(edit(t.Context(), pool, fast), poll(t.Context(), pool, fast)); err != nil {
				t.Fatal(err)
			}
		}
		account := pool.Open(fast, cloudflare.Edit)
		if have := account.Budget(); have != (cloudflare.Budget{Left: 940, Limit: 960}) {
			t.Errorf("got %+v", have)
		}
		time.Sleep(5 * time.Minute)
		if have := account.Budget(); have.Left != 960 {
			t.Errorf("a window later: %+v", have)
		}
	})
}
