package chat_test

import (
	"log/slog"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

type models struct{ driver ai.Chatter }

func (m models) Chatter(*tenancy.Tenant) ai.Chatter { return m.driver }

// newTenant is one without keys, whose document may be bent.
func newTenant(t testing.TB, bend func(*tenantconfig.Config)) *tenancy.Tenant {
	t.Helper()
	cfg := &tenantconfig.Config{
		Version:  1,
		Tenant:   tenantconfig.Tenant{ID: "acme", Identity: "o/n/development/acme", Environment: "development"},
		Server:   tenantconfig.Server{APIPort: 8080, MetricsPort: 9090, DrainSeconds: 1},
		State:    tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:     tenantconfig.Auth{Mode: tenantconfig.AuthNone},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: "http://unused.example/v1"},
		Models:   tenantconfig.Models{Chat: "big"},
		Limits:   tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 1000},
		Sessions: tenantconfig.Sessions{RetentionDays: 1, MaxMessages: 1000},
	}
	if bend != nil {
		bend(cfg)
	}
	tenant, err := tenancy.NewTenant(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// needs are those of a chat over a driver and a store.
func needs(driver ai.Chatter, store storage.Store, logger *slog.Logger, toolbox turn.Toolbox) chat.Needs {
	gate := limits.New(store.Windows(), store.Budgets(), limits.Options{Logger: logger})
	recorder := telemetry.NewRecorder(store.Usage(), telemetry.NewMetrics("test"), logger, nil)
	estimator := &ai.Estimator{}
	turns := turn.New(turn.Needs{Gate: gate, Models: models{driver}, Recorder: recorder, Estimator: estimator, Logger: logger, Toolbox: toolbox})
	return chat.Needs{
		History: store.Sessions(), Gate: gate, Turns: turns, Recorder: recorder, Estimator: estimator, Logger: logger,
		Toolbox: toolbox, Cache: store.Cache(),
	}
}
