package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/resilient"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// opening is what a store is opened with.
type opening struct {
	// tenant gives the document and the secrets in force.
	tenant func() *tenancy.Tenant
	logger *slog.Logger
	// metrics may be nil.
	metrics *telemetry.Metrics
}

// shared opens the servers that the document names, each behind a breaker of its own.
// None need be there yet.
func (o opening) shared(ctx context.Context, state tenantconfig.State) (storage.Store, error) {
	store, err := o.behindBreaker(ctx, "state", state.Driver, "state.server", state.Server)
	if err != nil || state.LimitsOn == "" {
		return store, err
	}
	limits, err := o.behindBreaker(ctx, "limits", state.LimitsOn, "state.limitsServer", state.LimitsServer)
	if err != nil {
		return nil, errors.Join(err, store.Close(ctx))
	}
	return split{store, limits}, nil
}

// behindBreaker opens one server. role is "state" or "limits" and tells two of them apart
// in logs and metrics.
func (o opening) behindBreaker(ctx context.Context, role, driver, field string, at tenantconfig.StateServer) (storage.Store, error) {
	opened, err := o.driver(ctx, driver, at, o.logger.With("store", role))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	id := o.tenant().ID
	logger := o.logger.With("tenant", id.String(), "store", role)
	store := resilient.New(opened, resilient.Options{
		Probe: func(ctx context.Context) error {
			_, _, err := opened.Sessions().List(ctx, id, storage.Owner{All: true}, 1, "")
			return err
		},
		Changed: func(away bool) {
			if away {
				logger.Error("the store is away: calls are refused until it answers")
			} else {
				logger.Info("the store answers again")
			}
		},
		Lost: func(_ tenancy.ID, what any) { logger.Error("kept for the store and never sent", lost(what)...) },
	})
	if o.metrics != nil {
		o.watch(store, prometheus.Labels{"store": role})
	}
	return store, nil
}

func (o opening) driver(ctx context.Context, driver string, at tenantconfig.StateServer, logger *slog.Logger) (storage.Store, error) {
	address, err := o.tenant().Secret(at.URLFile)
	if err != nil {
		return nil, fmt.Errorf("urlFile: %w", err)
	}
	var ca string
	if at.CAFile != "" {
		if ca, err = o.tenant().Secret(at.CAFile); err != nil {
			return nil, fmt.Errorf("caFile: %w", err)
		}
	}
	// A nil pointer of a driver must not become a Store.
	if driver == tenantconfig.StateValkey {
		store, err := valkey.Open(ctx, valkey.Options{URL: address, CA: []byte(ca), Logger: logger})
		if err != nil {
			return nil, err
		}
		return store, nil
	}
	store, err := postgres.Open(ctx, postgres.Options{
		URL: address, CA: []byte(ca), Logger: logger,
		// It includes the wait for a connection. What finds the server back is the breaker's
		// probe, so this may be as long as a request can wait.
		Timeout: resilient.DefaultTimeout,
		Current: func() (string, error) { return o.tenant().Secret(at.URLFile) },
	})
	if err != nil {
		return nil, err
	}
	return store, nil
}

func (o opening) watch(store *resilient.Store, labels prometheus.Labels) {
	o.metrics.Gauge("enigma_store_away", "1 while calls of the state store are refused, since its server doesn't answer.", labels, func() float64 {
		if store.Away() {
			return 1
		}
		return 0
	})
	o.metrics.Gauge("enigma_store_waiting", "Settlements and records that are kept until the state store answers.", labels, func() float64 { return float64(store.Waiting()) })
	o.metrics.Counter("enigma_store_lost_total", "Settlements and records that were kept and never sent; they are in the log.", labels, func() float64 { return float64(store.Lost()) })
}

// lost says what was lost, without whose it was: a caller's name may be a person's.
func lost(what any) []any {
	switch v := what.(type) {
	case storage.UsageRecord:
		return []any{"kind", "usage", "at", v.At, "model", v.Model, "feature", v.Feature, "outcome", v.Outcome,
			"tokens_in", v.TokensIn, "tokens_out", v.TokensOut, "micro_usd", v.MicroUSD, "latency_ms", v.Latency.Milliseconds()}
	case storage.AuditRecord:
		return []any{"kind", "audit", "at", v.At, "tool", v.Tool, "params_hash", v.ParamsHash, "outcome", v.Outcome}
	case resilient.Settlement:
		names := make([]string, len(v.Reservation.Limits))
		for i, l := range v.Reservation.Limits {
			names[i] = l.Name
		}
		return []any{"kind", "settlement", "budgets", names, "reserved", v.Reservation.Amounts, "used", v.Used}
	default:
		return []any{"kind", fmt.Sprintf("%T", what)}
	}
}

// opening gives the store the login in force: it may change without a restart.
func (s *Server) opening() opening {
	return opening{
		tenant:  func() *tenancy.Tenant { current, _ := s.config.read(); return current },
		logger:  s.logger,
		metrics: s.metrics,
	}
}

// countLocal counts requests whose rate was decided in this process alone.
func (s *Server) countLocal() func(tenancy.ID) {
	var n atomic.Int64
	s.metrics.Counter("enigma_rate_local_total", "Requests whose rate was decided in this process alone, since the state store was away.", nil,
		func() float64 { return float64(n.Load()) })
	return func(tenancy.ID) { n.Add(1) }
}
