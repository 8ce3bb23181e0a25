package session

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// sweepEvery is the mean pause between two sweeps. Retention is in days, so it may
// be long; jitter keeps the tenants of one node from sweeping together.
const sweepEvery = time.Hour

// Expirer removes what is too old; storage.Sessions does.
type Expirer interface {
	Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error)
}

// Retain removes sessions older than each tenant's retention, until ctx ends.
// tenants gives those in force.
func Retain(ctx context.Context, store Expirer, tenants func() []*tenancy.Tenant, logger *slog.Logger) {
	for {
		pause := time.NewTimer(sweepEvery/2 + rand.N(sweepEvery))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		for _, t := range tenants() {
			sweep(ctx, store, t, logger)
		}
	}
}

func sweep(ctx context.Context, store Expirer, t *tenancy.Tenant, logger *slog.Logger) {
	days := t.Config.Sessions.RetentionDays
	if days <= 0 {
		return
	}
	n, err := store.Expire(ctx, t.ID, time.Now().AddDate(0, 0, -days))
	switch {
	case err != nil && ctx.Err() == nil:
		logger.Warn("removing old sessions", "tenant", t.ID.String(), "error", err)
	case n > 0:
		logger.Info("removed old sessions", "tenant", t.ID.String(), "sessions", n, "older_than_days", days)
	}
}
