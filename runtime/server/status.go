package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// errStopping is why a stopping server isn't ready.
var errStopping = errors.New("stopping")

// ready tells whether new requests should come here. A store that can't write is no
// reason to send them away: there is no other pod that could.
func (s *Server) ready(context.Context) error {
	if s.requests.stage.Load() != serving {
		return errStopping
	}
	return nil
}

func (s *Server) statusToken() (string, error) {
	current, _ := s.config.read()
	return current.Secret(tenantconfig.StatusTokenFile)
}

// status is what the operator reads. Nothing of it needs the upstream or a scan.
func (s *Server) status(ctx context.Context) tenantconfig.Status {
	current, trouble := s.config.read()
	health := s.store.Health()
	return tenantconfig.Status{
		ConfigDigest:  current.Digest,
		ConfigError:   trouble,
		Build:         s.opts.Build,
		Model:         s.modelStatus(),
		Store:         tenantconfig.StoreStatus{Driver: current.Config.State.Driver, OK: health.OK, Reason: health.Reason},
		Documents:     s.cloud.documents(),
		Index:         s.documents.Status(ctx, current),
		Tools:         s.tools.Status(current),
		Usage:         s.usageStatus(ctx),
		ActiveStreams: int(s.metrics.Streams()),
	}
}

func (s *Server) modelStatus() tenantconfig.ModelStatus {
	current, _ := s.config.read()
	st := tenantconfig.ModelStatus{ID: current.Config.Models.Chat, State: "unknown"}
	if kind, asked := s.upstreams.watched(current.ID).Last(); asked && kind == "" {
		st.State = "ok"
	} else if asked {
		st.State, st.Reason = "failing", kind
	}
	return st
}

// usageStatus is zero where the store doesn't answer; StoreStatus tells that.
func (s *Server) usageStatus(ctx context.Context) tenantconfig.UsageStatus {
	current, _ := s.config.read()
	spending := s.spending(ctx)
	st := tenantconfig.UsageStatus{
		TokensToday: spending.TokensToday, TokensThisMonth: spending.TokensThisMonth, MicroUSDMonth: spending.MicroUSDThisMonth,
	}
	now := time.Now().UTC()
	buckets, err := s.store.Usage().Sum(ctx, current.ID, now.Truncate(24*time.Hour), now.Add(time.Minute))
	if err != nil {
		s.logger.Warn("reading usage for /status", "error", err)
	}
	for _, b := range buckets {
		if !strings.HasPrefix(b.Feature, storage.UsageOfTool) {
			st.RequestsToday += b.Calls
		}
	}
	return st
}

func (s *Server) spending(ctx context.Context) limits.Spending {
	current, _ := s.config.read()
	spending, err := s.gate.Spending(ctx, current)
	if err != nil {
		s.logger.Warn("reading the budgets", "error", err)
	}
	return spending
}

// gauges are read when they are scraped.
func (s *Server) gauges() {
	s.metrics.Gauge("enigma_store_up", "1 if the state store's last write worked.", nil, func() float64 {
		if s.store.Health().OK {
			return 1
		}
		return 0
	})
	spent := func(kind, period string, pick func(limits.Spending) int64) {
		s.metrics.Gauge("enigma_budget_spent", "Spent and reserved in the current UTC day or month: tokens, or micro-dollars.",
			prometheus.Labels{"budget": kind, "period": period}, func() float64 { return float64(pick(s.spending(context.Background()))) })
	}
	spent("tokens", "day", func(u limits.Spending) int64 { return u.TokensToday })
	spent("tokens", "month", func(u limits.Spending) int64 { return u.TokensThisMonth })
	spent("micro_usd", "month", func(u limits.Spending) int64 { return u.MicroUSDThisMonth })
}
