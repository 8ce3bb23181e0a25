package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag"
	"github.com/crispy-enigma/crispy-enigma/runtime/session"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/tools"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// DefaultLameDuck is how long a stopping server goes on serving new requests: load
// balancers need a moment to hear of it.
const DefaultLameDuck = 2 * time.Second

// Options of a Server. Tenant is required.
type Options struct {
	// Tenant to serve, as tenancy.Load gave it.
	Tenant *tenancy.Tenant
	// Dir is followed for new documents; empty follows nothing.
	Dir string
	// APIAddress and MetricsAddress replace ":port" with the document's ports.
	APIAddress, MetricsAddress string
	// LameDuck is how long new requests are served after Run's context has ended. 0
	// is DefaultLameDuck; less than 0 is none.
	LameDuck time.Duration
	// Build is the version that /status and metrics tell.
	Build string
	// Logger should redact; telemetry.NewLogger's does.
	Logger *slog.Logger
	// Store replaces the one that the document names.
	Store storage.Store
	// Extract is the program that reads PDF and DOCX, see extract.Limits; nil is this one's
	// own command.
	Extract []string
	// ExtractMemory is the most memory, in bytes, that reading one file may take; 0 is the
	// default of extract.Limits.
	ExtractMemory int64
	// CacheDir is for what can be made anew where the tenant has no directory of its own;
	// empty for none.
	CacheDir string
	// AllowLoopback lets documents be fetched from, and tools be called on, this machine:
	// for tests and a developer's own machine.
	AllowLoopback bool
	// Door replaces the edge's times; zero fields keep their defaults.
	Door DoorTimes
}

// DoorTimes are the edge's times, see httpapi.Options.
type DoorTimes struct{ Ping, WriteTimeout, BodyTimeout time.Duration }

// Server serves one tenant.
type Server struct {
	opts      Options
	logger    *slog.Logger
	store     storage.Store
	directory *tenancy.Directory
	metrics   *telemetry.Metrics
	gate      *limits.Gate
	upstreams *upstreams
	cloud     *cloud
	documents *rag.Feature
	tools     *tools.Feature
	config    configState
	requests  requests
	door      *httpapi.Door

	api, ops                 *http.Server
	apiListen, metricsListen net.Listener
	stop                     context.CancelCauseFunc
}

// New opens the store and both listeners. What it opened, Run closes.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.LameDuck == 0 {
		o.LameDuck = DefaultLameDuck
	}
	s := &Server{opts: o, logger: o.Logger, metrics: telemetry.NewMetrics(o.Build)}
	s.config.started, s.config.current = o.Tenant, o.Tenant
	var err error
	if s.directory, err = tenancy.NewDirectory(o.Tenant); err != nil {
		return nil, fmt.Errorf("making the tenant directory: %w", err)
	}
	s.upstreams = newUpstreams(chatwire.NewTransport(chatwire.TransportOptions{}), s.metrics, s.logger)
	if err := s.upstreams.apply(o.Tenant); err != nil {
		return nil, err
	}
	if s.store = o.Store; s.store == nil {
		if s.store, err = s.opening().open(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.listen(ctx); err != nil {
		return nil, errors.Join(err, s.store.Close(ctx))
	}
	s.wire()
	return s, nil
}

func (s *Server) listen(ctx context.Context) (err error) {
	cfg := s.opts.Tenant.Config.Server
	var lc net.ListenConfig
	if s.apiListen, err = lc.Listen(ctx, "tcp", address(s.opts.APIAddress, cfg.APIPort)); err != nil {
		return fmt.Errorf("listening for the API: %w", err)
	}
	if s.metricsListen, err = lc.Listen(ctx, "tcp", address(s.opts.MetricsAddress, cfg.MetricsPort)); err != nil {
		return errors.Join(fmt.Errorf("listening for metrics and health: %w", err), s.apiListen.Close())
	}
	return nil
}

func address(override string, port int) string {
	if override != "" {
		return override
	}
	return ":" + strconv.Itoa(port)
}

// wire gives each room what it needs of the others.
func (s *Server) wire() {
	s.metrics.Know(modelsOf(s.opts.Tenant.Config)...)
	recorder := telemetry.NewRecorder(s.store.Usage(), s.metrics, s.logger, nil)
	s.gate = limits.New(s.store.Windows(), s.store.Budgets(), limits.Options{
		Logger:   s.logger,
		Unpriced: func(_ tenancy.ID, model string) { s.metrics.Unpriced(model) },
		Local:    s.countLocal(),
		Apart:    s.opts.Tenant.Config.State.LimitsOn != "",
	})
	door := httpapi.NewDoor(s.directory, httpapi.Options{
		Logger:    s.logger,
		Translate: chat.Translate,
		Observe:   s.observe,
		Ping:      s.opts.Door.Ping, WriteTimeout: s.opts.Door.WriteTimeout, BodyTimeout: s.opts.Door.BodyTimeout,
	})
	s.door = door
	s.mount(door, recorder)
	s.gauges()
	s.cloud = newCloud(s.opts.Tenant, s.store.Usage(), s.logger)
	s.cloud.gauges(s.metrics)

	base, stop := context.WithCancelCause(context.Background())
	s.stop = stop
	s.api = httpapi.Server(s.requests.through(door), s.logger)
	s.api.BaseContext = func(net.Listener) context.Context { return base }
	s.ops = httpapi.OpsServer(httpapi.Ops(httpapi.OpsOptions{
		Ready:       s.ready,
		Status:      s.status,
		StatusToken: s.statusToken,
		Metrics:     s.metrics.Handler(),
		Inside:      s.inside(),
		Logger:      s.logger,
	}), s.logger)
}

// APIAddr is where the API listens.
func (s *Server) APIAddr() net.Addr { return s.apiListen.Addr() }

// MetricsAddr is where metrics, health and status listen.
func (s *Server) MetricsAddr() net.Addr { return s.metricsListen.Addr() }

// Run serves until ctx ends and all is drained, or a listener fails.
func (s *Server) Run(ctx context.Context) error {
	behind, endBehind := context.WithCancel(context.WithoutCancel(ctx))
	s.tools.Apply(s.opts.Tenant) // before any newer document is
	var background sync.WaitGroup
	background.Go(func() {
		session.Retain(behind, s.store.Sessions(), s.directory.Tenants, s.logger)
	})
	if s.opts.Dir != "" {
		background.Go(func() { tenancy.Watch(behind, s.opts.Tenant, s.changed, s.refused) })
	}
	s.cloud.run(behind)
	var documents sync.WaitGroup
	documents.Go(func() { s.documents.Run(behind) })
	failed := make(chan error, 2)
	background.Go(func() { failed <- serve(s.api, s.apiListen) })
	background.Go(func() { failed <- serve(s.ops, s.metricsListen) })
	s.logger.Info("serving", "tenant", s.opts.Tenant.ID.String(), "api", s.APIAddr().String(),
		"metrics", s.MetricsAddr().String(), "digest", s.opts.Tenant.Digest, "build", s.opts.Build)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.drain()
	endBehind()
	documents.Wait() // it gives its jobs back to the store
	s.cloud.wait()
	err = errors.Join(err, s.close())
	background.Wait()
	s.tools.Close()
	return err
}

func serve(srv *http.Server, l net.Listener) error {
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	return nil
}

// observe counts a request. The log has refused ones at level debug only: their
// number is the client's choice.
func (s *Server) observe(o httpapi.Observation) {
	s.metrics.Observe(o)
	if s.logger.Enabled(context.Background(), slog.LevelDebug) {
		s.logger.Debug("request", "tenant", o.Tenant.String(), "trace_id", o.TraceID, "route", o.Route,
			"status", o.Status, "code", o.Code, "ms", o.Duration.Milliseconds(), "bytes", o.Bytes)
	}
}

// What the features want is what the rooms give.
var (
	_ chat.Gate     = (*limits.Gate)(nil)
	_ chat.Recorder = (*telemetry.Recorder)(nil)
	_ turn.Models   = (*upstreams)(nil)
)
