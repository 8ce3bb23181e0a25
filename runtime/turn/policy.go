package turn

import (
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// policy is Params.Answer with the tenant's own part, where it is left out.
func (t *Turn) policy() guard.Policy {
	p, tenant := t.p.Answer, t.p.Call.Tenant
	if p.LinkHosts == nil {
		p.LinkHosts = tenant.Config.Documents.LinkHosts
	}
	if p.Hidden == nil {
		p.Hidden = t.r.hidden.of(tenant)
	}
	return p
}

// hidden keeps, by tenant, what an answer must not repeat: to prepare it takes longer
// than a request should.
type hidden struct{ byTenant sync.Map } // tenancy.ID → *hiddenPrompt

type hiddenPrompt struct {
	tenant *tenancy.Tenant
	hidden *guard.Hidden
}

func (h *hidden) of(t *tenancy.Tenant) *guard.Hidden {
	if v, ok := h.byTenant.Load(t.ID); ok {
		if p := v.(*hiddenPrompt); p.tenant == t {
			return p.hidden
		}
	}
	p := &hiddenPrompt{t, guard.NewHidden(t.SystemPrompt())}
	h.byTenant.Store(t.ID, p)
	return p.hidden
}
