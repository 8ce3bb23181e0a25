package tools

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Reasons of a tenantconfig.ToolStatus.
const (
	ReasonBadSchema    = "BadSchema"
	ReasonUnreachable  = "Unreachable"
	ReasonUnauthorized = "Unauthorized"
	ReasonNoSecret     = "NoSecret"
	ReasonConnecting   = "Connecting"
	ReasonBadServer    = "BadServer"
	ReasonNotAllowed   = "NotAllowed"
)

// snapshot is the tools of a tenant at one time. It never changes.
type snapshot struct {
	tools  []*tool // in the order of their names
	byName map[string]*tool
	status []tenantconfig.ToolStatus
}

func newSnapshot(tools []*tool, status []tenantconfig.ToolStatus) *snapshot {
	slices.SortFunc(tools, func(a, b *tool) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(status, func(a, b tenantconfig.ToolStatus) int { return cmp.Compare(a.Name, b.Name) })
	s := &snapshot{tools: tools, byName: make(map[string]*tool, 2*len(tools)), status: status}
	for _, t := range tools {
		s.byName[t.function] = t
	}
	// The API's names come last: they stand over the functions'.
	for _, t := range tools {
		s.byName[t.name] = t
	}
	return s
}

// registry has the tools of one tenant's document: those that the document tells are made
// once, those of servers come and go.
type registry struct {
	tenant *tenancy.Tenant
	fixed  []*tool
	broken []tenantconfig.ToolStatus

	mu      sync.Mutex
	servers []*server
	current atomic.Pointer[snapshot]
}

func (f *Feature) newRegistry(t *tenancy.Tenant) *registry {
	r := &registry{tenant: t}
	cfg := t.Config.Tools
	for _, b := range f.builtIns(t.Config) {
		if has(cfg, b.name) {
			r.add(b)
		}
	}
	for i := range cfg.HTTP {
		if has(cfg, cfg.HTTP[i].Name) {
			h, status := f.newHTTPTool(t, &cfg.HTTP[i])
			if status != nil {
				r.broken = append(r.broken, *status)
				continue
			}
			r.add(h)
		}
	}
	return r
}

// add takes a tool in whose schema is good.
func (r *registry) add(t *tool) {
	t.afterUntrusted = anyMatches(r.tenant.Config.Tools.AfterUntrusted, t.name)
	s, err := compileSchema(t.parameters)
	if err != nil {
		r.broken = append(r.broken, tenantconfig.ToolStatus{Name: t.name, Reason: ReasonBadSchema, Message: "its parameters: " + err.Error()})
		return
	}
	t.schema = s
	if t.function == "" {
		t.function = t.name
	}
	r.fixed = append(r.fixed, t)
}

// publish makes the tools that there are now the ones that are offered.
func (r *registry) publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	tools, status := slices.Clone(r.fixed), slices.Clone(r.broken)
	names := map[string]bool{}
	for _, t := range tools {
		names[t.function] = true
	}
	for _, s := range r.servers {
		remote, trouble := s.offers()
		status = append(status, trouble...)
		for _, o := range remote {
			if !has(r.tenant.Config.Tools, o.name) {
				continue
			}
			// What is offered is shared by snapshots: names are settled in a copy.
			t := *o
			t.function = functionName(s.cfg.Name, t.name[len(s.cfg.Name)+1:], func(n string) bool { return names[n] })
			if names[t.function] {
				continue
			}
			names[t.function] = true
			t.afterUntrusted = anyMatches(r.tenant.Config.Tools.AfterUntrusted, t.name)
			tools = append(tools, &t)
		}
	}
	r.current.Store(newSnapshot(tools, status))
}

// seconds is a time of the document, or the ordinary one.
func seconds(n int) time.Duration {
	if n == 0 {
		return ordinaryTime
	}
	return time.Duration(n) * time.Second
}

// described is what GET /schema/tools and the MCP server tell of a tool.
type described struct {
	Name        string          `json:"name"`
	Function    string          `json:"functionName"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	Effect      string          `json:"effect"`
	TimeoutMs   int64           `json:"timeoutMs"`
}

func (t *tool) describe() described {
	effect := tenantconfig.EffectRead
	if t.writes {
		effect = tenantconfig.EffectWrite
	}
	return described{t.name, t.function, t.description, t.parameters, effect, t.timeout.Milliseconds()}
}
