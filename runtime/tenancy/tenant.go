package tenancy

import "github.com/crispy-enigma/crispy-enigma/api/tenantconfig"

// Tenant is a snapshot of one tenant's document; it never changes.
type Tenant struct {
	ID ID
	// Config is shared: read only.
	Config *tenantconfig.Config
	// Digest of Config.
	Digest string
}
