package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/localspeech"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/workersai"
	"github.com/crispy-enigma/crispy-enigma/runtime/move"
	"github.com/crispy-enigma/crispy-enigma/runtime/speech"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	statefile "github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// lockPatience is how long a new process waits for one that still drains on the same
// volume. It stays within the startup probe's minute; after it, the kubelet's back-off
// goes on waiting.
const lockPatience = 50 * time.Second

// OpenStore opens the state store that the tenant's document names, as New does. A shared
// one need not be there yet.
func OpenStore(ctx context.Context, t *tenancy.Tenant, logger *slog.Logger) (storage.Store, error) {
	return opening{tenant: func() *tenancy.Tenant { return t }, logger: logger}.open(ctx)
}

func (o opening) open(ctx context.Context) (storage.Store, error) {
	switch state := o.tenant().Config.State; state.Driver {
	case tenantconfig.StateMemory:
		return memory.New(memoryOptions(debug.SetMemoryLimit(-1))), nil
	case tenantconfig.StateEmbedded:
		store, err := openFile(ctx, state.Path, o.logger)
		if err != nil {
			return nil, fmt.Errorf("opening the state store: %w", err)
		}
		return store, nil
	case tenantconfig.StateValkey, tenantconfig.StatePostgres:
		store, err := o.shared(ctx, state)
		if err != nil {
			return nil, fmt.Errorf("opening the state store: %w", err)
		}
		return store, nil
	default:
		return nil, fmt.Errorf("state.driver: this build has no driver %q", state.Driver)
	}
}

// memoryOptions keep what is held for tenants within shares of what the process may have;
// the driver's own bounds are for one that may have much.
func memoryOptions(limit int64) memory.Options {
	return memory.Options{
		MaxDocumentBytes: min(limit/3, memory.DefaultMaxDocumentBytes),
		MaxJobBytes:      min(limit/6, storage.MaxOpenBytes),
	}
}

// openFile opens the embedded store, waiting for the process that has it open.
func openFile(ctx context.Context, dir string, logger *slog.Logger) (storage.Store, error) {
	deadline := time.Now().Add(lockPatience)
	for waited := false; ; waited = true {
		store, err := statefile.Open(ctx, dir, statefile.Options{})
		if err == nil {
			if err := move.Reopened(dir); err != nil {
				return nil, errors.Join(err, store.Close(ctx))
			}
			return store, nil // a nil *Store must not become a Store
		}
		if !errors.Is(err, statefile.ErrInUse) || time.Now().After(deadline) {
			return nil, err
		}
		if !waited {
			logger.Warn("the state is still in use: waiting for its process to end", "patience", lockPatience.String())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// upstreams keeps each tenant's driver. All share one transport, so a new driver
// finds the old one's connections.
type upstreams struct {
	transport *http.Transport
	metrics   *telemetry.Metrics
	logger    *slog.Logger
	voice     *localspeech.Driver
	byTenant  sync.Map // tenancy.ID → *telemetry.Upstream
	drivers   sync.Map // tenancy.ID → ai.Chatter, what the other watches
}

func newUpstreams(transport *http.Transport, metrics *telemetry.Metrics, logger *slog.Logger) *upstreams {
	voice := localspeech.New(os.Getenv("PATH"), localspeech.Limits{})
	return &upstreams{transport: transport, metrics: metrics, logger: logger, voice: voice}
}

// apply makes the driver that t's document names. Calls under way go on with the one
// that they began with.
func (u *upstreams) apply(t *tenancy.Tenant) error {
	driver, err := u.open(t)
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	u.drivers.Store(t.ID, driver)
	u.byTenant.Store(t.ID, u.metrics.Watch(driver, t.Config.Models.Chat))
	return nil
}

// Chatter implements turn.Models.
func (u *upstreams) Chatter(t *tenancy.Tenant) ai.Chatter { return u.watched(t.ID) }

// Embedder implements openaiapi.Embedders: nil where the upstream makes no vectors.
func (u *upstreams) Embedder(t *tenancy.Tenant) ai.Embedder {
	driver, _ := u.drivers.Load(t.ID)
	embedder, _ := driver.(ai.Embedder)
	return embedder
}

// Reranker gives the tenant's, nil if its upstream has none.
func (u *upstreams) Reranker(t *tenancy.Tenant) ai.Reranker {
	driver, _ := u.drivers.Load(t.ID)
	reranker, _ := driver.(ai.Reranker)
	return reranker
}

// Speaker implements speech.Speakers: nil where the tenant has no speech.
func (u *upstreams) Speaker(t *tenancy.Tenant) ai.Speaker {
	switch t.Config.Speech.Provider {
	case tenantconfig.SpeechLocal:
		return u.voice
	case tenantconfig.SpeechUpstream:
		driver, _ := u.drivers.Load(t.ID)
		speaker, _ := driver.(ai.Speaker)
		return speaker
	default:
		return nil
	}
}

func (u *upstreams) watched(t tenancy.ID) *telemetry.Upstream {
	v, ok := u.byTenant.Load(t)
	if !ok {
		panic("server: a tenant without upstream: " + t.String())
	}
	return v.(*telemetry.Upstream)
}

func (u *upstreams) open(t *tenancy.Tenant) (ai.Chatter, error) {
	up := t.Config.Upstream
	switch up.Type {
	case tenantconfig.UpstreamEmbedded:
		return embedded.New(), nil
	case tenantconfig.UpstreamOpenAI:
		return openai.New(openai.Options{BaseURL: up.BaseURL, Credential: u.credential(t), Transport: u.transport})
	case tenantconfig.UpstreamWorkersAI:
		return workersai.New(workersai.Options{
			AccountID: up.AccountID, GatewayID: up.Gateway.ID, CacheTTLSeconds: up.Gateway.CacheTTLSeconds,
			CollectLogs: up.Gateway.CollectLogs, Environment: t.Config.Tenant.Environment,
			BaseURL: up.BaseURL, Credential: u.credential(t), Transport: u.transport,
		})
	default:
		return nil, fmt.Errorf("type: this build has no driver %q", up.Type)
	}
}

// credential reads the token of this snapshot. One that isn't there yet is no reason
// not to start: calls fail as unauthorized until it comes, which makes a new snapshot.
func (u *upstreams) credential(t *tenancy.Tenant) func() string {
	name := t.Config.Upstream.CredentialsFile
	if name == "" {
		return nil
	}
	token, err := t.Secret(name)
	if errors.Is(err, tenancy.ErrNoSecret) {
		u.logger.Warn("the upstream's credential is missing: its calls will be refused", "tenant", t.ID.String(), "file", name)
	} else if err != nil {
		u.logger.Warn("reading the upstream's credential", "tenant", t.ID.String(), "file", name, "error", err)
	}
	return func() string { return token }
}

// close lets go of idle connections.
func (u *upstreams) close() { u.transport.CloseIdleConnections() }

// modelsOf are the models that get metric series of their own.
func modelsOf(cfg *tenantconfig.Config) []string {
	models := append([]string{cfg.Models.Chat}, cfg.Models.Fallbacks...)
	if m := cfg.EmbeddingModel(); m != "" {
		models = append(models, m)
	}
	switch {
	case cfg.Speech.Provider == tenantconfig.SpeechLocal:
		models = append(models, speech.LocalModel)
	case cfg.Speech.Model != "":
		models = append(models, cfg.Speech.Model)
	}
	return append(models, cfg.Models.Allowed...)
}
