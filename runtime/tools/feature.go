package tools

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// Needs are what tools ask of other rooms. All but those that say so are required.
type Needs struct {
	Gate      Gate
	Models    Models
	Recorder  Recorder
	Meter     Meter
	Estimator *ai.Estimator
	Audit     storage.Audit
	Usage     storage.Usage
	Chunker   Chunker
	Logger    *slog.Logger
	// Documents may be nil: without them nothing is searched or ingested.
	Documents Documents
	// Outbound is how services and servers of tools are reached.
	Outbound outbound.Options
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Feature is the tools of all tenants, their endpoints, and a turn.Toolbox.
type Feature struct {
	n     Needs
	plain sync.Map // model → true where it takes no JSON mode
	hours hours

	mu       sync.Mutex
	tenants  map[tenancy.ID]*registry
	life     context.Context
	end      context.CancelFunc
	sessions sync.WaitGroup
}

var _ turn.Toolbox = (*Feature)(nil)

// New makes the feature. It must be closed.
func New(n Needs) *Feature {
	if n.Now == nil {
		n.Now = time.Now
	}
	f := &Feature{n: n, tenants: map[tenancy.ID]*registry{}}
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

// Close ends the connections to servers of tools and waits for that.
func (f *Feature) Close() {
	f.end()
	f.sessions.Wait()
}

// Mount adds the feature's routes.
func (f *Feature) Mount(d *httpapi.Door) {
	httpapi.Handle(d, http.MethodPost, "/tools/execute", httpapi.Route{}, f.execute)
	httpapi.Handle(d, http.MethodGet, "/schema/tools", httpapi.Route{}, f.schemas)
	httpapi.Handle(d, http.MethodGet, "/tools/audit", httpapi.Route{NeedsScope: scopeMetrics}, f.audit)
	httpapi.Handle(d, http.MethodGet, "/metrics/tools/execution", httpapi.Route{NeedsScope: scopeMetrics}, f.metrics)
}

// Apply makes t's tools the ones of new requests, and keeps the connections to servers
// for which nothing has changed. Servers are connected behind it.
func (f *Feature) Apply(t *tenancy.Tenant) { f.registry(t, true) }

// registry gives the tools of t. A request that began under an older document gets those
// of the newest: what is not allowed any more isn't run.
func (f *Feature) registry(t *tenancy.Tenant, newer bool) *registry {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.tenants[t.ID]
	if was != nil && (!newer || was.tenant == t) {
		return was
	}
	r := f.newRegistry(t)
	f.connect(r, was)
	f.tenants[t.ID] = r
	r.publish()
	return r
}

// snapshot gives the tools that there are now, nil where the tenant has none.
func (f *Feature) snapshot(t *tenancy.Tenant) *snapshot {
	if !t.Config.Tools.Enabled {
		return nil
	}
	return f.registry(t, false).current.Load()
}

const (
	// maxTold is how many broken tools Status tells of, maxWords how many bytes of each: a
	// server of tools can have any number of them, and must not make the pod's status
	// larger than who reads it takes.
	maxTold  = 32
	maxWords = 512
)

// Status tells of the tools and servers of the tenant that can't be used, by name: at most
// maxTold.
func (f *Feature) Status(t *tenancy.Tenant) []tenantconfig.ToolStatus {
	s := f.snapshot(t)
	if s == nil {
		return nil
	}
	told := slices.Clone(s.status[:min(len(s.status), maxTold)])
	for i := range told {
		if m := told[i].Message; len(m) > maxWords {
			told[i].Message = strings.ToValidUTF8(m[:maxWords], "") + "…"
		}
	}
	return told
}
