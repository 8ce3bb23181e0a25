package tenancy

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// Directory holds the tenants that this process serves. Requests read it without a
// lock; a request sees the tenants from before a Replace or from after it, never a mix.
type Directory struct {
	// writing is held while a new table is made.
	writing sync.Mutex
	table   atomic.Pointer[table]
}

// table never changes.
type table struct {
	tenants []*Tenant
	byID    map[string]*Tenant
	byHost  map[string]*Tenant
	// keys tells that there is a tenant that a key could name.
	keys bool
}

// NewDirectory refuses tenants that claim one id or one host.
func NewDirectory(tenants ...*Tenant) (*Directory, error) {
	seen := map[string]bool{}
	for _, t := range tenants {
		if t == nil || t.Config == nil || t.secrets == nil {
			return nil, errors.New("filling the tenant directory: a tenant that neither Load nor NewTenant made")
		}
		if seen[t.ID.String()] {
			return nil, fmt.Errorf("filling the tenant directory: two tenants have the id %q", t.ID)
		}
		seen[t.ID.String()] = true
	}
	table, err := newTable(slices.Clone(tenants))
	if err != nil {
		return nil, fmt.Errorf("filling the tenant directory: %w", err)
	}
	d := &Directory{}
	d.table.Store(table)
	return d, nil
}

func newTable(tenants []*Tenant) (*table, error) {
	out := &table{tenants: tenants, byID: map[string]*Tenant{}, byHost: map[string]*Tenant{}}
	for _, t := range tenants {
		out.byID[t.ID.String()] = t
		out.keys = out.keys || t.Config.Auth.Mode != tenantconfig.AuthNone
		for _, host := range t.Config.Hosts {
			if other, ok := out.byHost[host]; ok {
				return nil, fmt.Errorf("tenants %s and %s both claim the host %q", other.ID, t.ID, host)
			}
			out.byHost[host] = t
		}
	}
	return out, nil
}

// Replace puts in t for the tenant of its id, or adds it. If t claims another tenant's
// host, it is refused and the old one stays.
func (d *Directory) Replace(t *Tenant) error {
	if t == nil || t.secrets == nil {
		return errors.New("replacing a tenant: by one that neither Load nor NewTenant made")
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	tenants := slices.Clone(d.table.Load().tenants)
	i := slices.IndexFunc(tenants, func(have *Tenant) bool { return have.ID.String() == t.ID.String() })
	if i < 0 {
		tenants = append(tenants, t)
	} else {
		tenants[i] = t
	}
	table, err := newTable(tenants)
	if err != nil {
		return fmt.Errorf("replacing tenant %s: %w", t.ID, err)
	}
	d.table.Store(table)
	return nil
}

// Tenants gives the tenants in force.
func (d *Directory) Tenants() []*Tenant { return slices.Clone(d.table.Load().tenants) }
