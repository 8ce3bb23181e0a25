package cloudflare

import (
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Cloudflare's budget of one API token is 1,200 calls in 5 minutes, and whoever exceeds
// it is refused for 5 minutes more. So it must never be exceeded.
const (
	rate  = 4.0 // calls a second
	burst = 40.0
	// spare is what background calls leave to those that somebody waits for.
	spare = 8.0
	// longestWait caps what Cloudflare may ask for.
	longestWait = 5 * time.Minute
)

// budget is a token bucket, and what Cloudflare said of waiting.
type budget struct {
	now  func() time.Time
	rate float64
	most float64

	mu       sync.Mutex
	tokens   float64
	filled   time.Time
	blocked  time.Time
	refused  int64 // by this bucket
	rejected int64 // by Cloudflare
}

// newBudget divides the budget among the pods that share the token.
func newBudget(pods int, now func() time.Time) *budget {
	share := float64(max(pods, 1))
	return &budget{now: now, rate: rate / share, most: max(1, burst/share), tokens: max(1, burst/share), filled: now()}
}

// take is nil if a call may be made now, else how long to wait.
func (b *budget) take(background bool) *storage.BusyError {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.tokens = min(b.most, b.tokens+max(0, now.Sub(b.filled).Seconds())*b.rate)
	b.filled = now
	if wait := b.blocked.Sub(now); wait > 0 {
		b.refused++
		return &storage.BusyError{After: wait}
	}
	need := 1.0
	if background {
		need += min(spare, b.most/2)
	}
	if b.tokens < need {
		b.refused++
		return &storage.BusyError{After: time.Duration((need-b.tokens)/b.rate*float64(time.Second)).Truncate(time.Millisecond) + time.Millisecond}
	}
	b.tokens--
	return nil
}

// block obeys Cloudflare's refusal.
func (b *budget) block(after time.Duration) *storage.BusyError {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rejected++
	if after <= 0 {
		after = time.Second
	}
	after = min(after, longestWait)
	if until := b.now().Add(after); until.After(b.blocked) {
		b.blocked = until
	}
	return &storage.BusyError{After: after}
}

// busyFor is a refusal that concerns one call alone.
func busyFor(seconds int) *storage.BusyError {
	after := min(max(time.Duration(seconds)*time.Second, time.Second), longestWait)
	return &storage.BusyError{After: after}
}
