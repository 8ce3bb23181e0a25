package tools

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// retryPause is the first wait before a second try, if the service named none.
const retryPause = 200 * time.Millisecond

// momentary is a failure that may be over soon.
type momentary struct {
	*failure
	// after is how long the service asks to wait, 0 if it doesn't say.
	after time.Duration
}

func (m *momentary) Unwrap() error { return m.failure }

// pause waits before try+1. It is false where the tool's time would be up by then: the
// failure is told now rather than a timeout later.
func pause(ctx context.Context, asked time.Duration, try int) bool {
	wait := retryPause<<try + rand.N(retryPause)
	wait = max(wait, asked)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryAfter reads seconds or a date.
func retryAfter(s string) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(min(n, 3600)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
