package cloudflare

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// defaultBlock is how long Cloudflare blocks a token that was too fast, if it doesn't say.
const defaultBlock = 5 * time.Minute

// rate is what a token may use of the API.
type rate struct {
	requests int // in any window
	window   time.Duration
	pollPart int // percent of requests that Polls may use
}

// pace lets calls pass one by one, a few at once if it was quiet. In no window of the
// rate pass more than its requests, wherever the window begins: so that a fixed window
// of Cloudflare's can't be hit twice by a burst at its edge.
type pace struct {
	gap   time.Duration
	burst int
	next  time.Time // when the next call would pass if there were no burst
}

// reshape gives the pace a new rate; what was used stays used.
func (p *pace) reshape(requests int, window time.Duration) {
	p.burst = max(1, requests/50)
	p.gap = window / time.Duration(max(1, requests-p.burst))
}

// delay is how long the next call must wait.
func (p *pace) delay(now time.Time) time.Duration {
	if p.next.Before(now) {
		return 0
	}
	return p.next.Sub(now) - time.Duration(p.burst-1)*p.gap
}

func (p *pace) take(now time.Time) {
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(p.gap)
}

// budget is one API token's, for all who call with it. Edits go before Polls, each lane
// in the order of arrival.
type budget struct {
	clock clock.Clock

	mu      sync.Mutex
	rate    rate
	all     pace
	polls   pace
	blocked time.Time
	waiting [2][]*waiter // by Lane

	used   int // in the window since
	since  time.Time
	latest time.Time // use of any kind
}

// waiter is a call that can't go yet. It is woken to look again.
type waiter struct{ wake chan struct{} }

func newBudget(c clock.Clock, r rate) *budget {
	b := &budget{clock: c, latest: c.Now()}
	b.set(r)
	return b
}

// set changes the rate.
func (b *budget) set(r rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest = b.clock.Now(); r == b.rate {
		return
	}
	b.rate = r
	b.all.reshape(r.requests, r.window)
	b.polls.reshape(r.requests*r.pollPart/100, r.window)
	b.wakeNext()
}

// wait returns once a call may be made. If that can't be before ctx ends, it says so at
// once: how long it would take, and an error.
func (b *budget) wait(ctx context.Context, lane Lane) (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &waiter{wake: make(chan struct{}, 1)}
	b.waiting[lane] = append(b.waiting[lane], w)
	defer func() {
		b.waiting[lane] = slices.DeleteFunc(b.waiting[lane], func(o *waiter) bool { return o == w })
		b.wakeNext()
	}()
	for {
		now := b.clock.Now()
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		delay, first := b.delay(now, lane, w)
		if first && delay <= 0 {
			b.take(now, lane)
			return 0, nil
		}
		if deadline, ok := ctx.Deadline(); ok && deadline.Sub(now) < delay {
			return delay, context.DeadlineExceeded
		}
		b.sleep(ctx, w, delay, first)
	}
}

// delay is how long the waiter must wait, by all that is known now, and whether it is
// the first of those who can go.
func (b *budget) delay(now time.Time, lane Lane, w *waiter) (time.Duration, bool) {
	ahead := slices.Index(b.waiting[lane], w)
	own := b.all.delay(now)
	first := ahead == 0
	if lane == Poll {
		// A Poll that its own share holds up lets no Edit wait, and waits for all of them.
		own = max(own, b.polls.delay(now)+time.Duration(ahead)*b.polls.gap)
		first = first && len(b.waiting[Edit]) == 0
		ahead += len(b.waiting[Edit])
	}
	own = max(own, b.all.delay(now)+time.Duration(ahead)*b.all.gap)
	return max(own, b.blocked.Sub(now)), first
}

// sleep gives the lock away until there is reason to look again.
func (b *budget) sleep(ctx context.Context, w *waiter, delay time.Duration, first bool) {
	var due <-chan time.Time
	if first {
		t := b.clock.NewTimer(delay)
		defer t.Stop()
		due = t.C()
	}
	b.mu.Unlock()
	defer b.mu.Lock()
	select {
	case <-due:
	case <-w.wake:
	case <-ctx.Done():
	}
}

func (b *budget) take(now time.Time, lane Lane) {
	b.all.take(now)
	if lane == Poll {
		b.polls.take(now)
	}
	b.count(now)
	b.used++
	b.latest = now
}

// count begins a new window if the last is over.
func (b *budget) count(now time.Time) {
	if now.Sub(b.since) >= b.rate.window {
		b.since, b.used = now, 0
	}
}

// wakeNext lets the first of each lane look again.
func (b *budget) wakeNext() {
	for _, lane := range b.waiting {
		if len(lane) > 0 {
			lane[0].look()
		}
	}
}

func (w *waiter) look() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// block holds everyone back for so long; 0 is what Cloudflare is known to do.
func (b *budget) block(after time.Duration) time.Duration {
	if after <= 0 {
		after = defaultBlock
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := b.clock.Now().Add(after); until.After(b.blocked) {
		b.blocked = until
	}
	// Those whose time won't suffice give up now rather than then.
	for _, lane := range b.waiting {
		for _, w := range lane {
			w.look()
		}
	}
	return after
}

// left is the room in the window that runs.
func (b *budget) left() Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.count(now)
	have := Budget{Left: max(0, b.rate.requests-b.used), Limit: b.rate.requests}
	if b.blocked.After(now) {
		have.Left, have.BlockedUntil = 0, b.blocked
	}
	return have
}

// idle tells whether forgetting the budget loses nothing.
func (b *budget) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	return len(b.waiting[Edit])+len(b.waiting[Poll]) == 0 && !b.blocked.After(now) && now.Sub(b.latest) > max(time.Hour, b.rate.window)
}
