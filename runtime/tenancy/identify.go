package tenancy

import (
	"errors"
	"net/http"
)

// What Identify and Locate refuse with. Their texts are for clients.
var (
	ErrTenantRequired = errors.New("no tenant named: send an API key or the header x-tenant-id")
	ErrTenantUnknown  = errors.New("there is no such tenant here")
	ErrTenantMismatch = errors.New("the request names more than one tenant")
	ErrUnauthorized   = errors.New("send a valid API key of this tenant as Authorization: Bearer KEY or x-api-key: KEY")
	ErrUserInvalid    = errors.New("the user id must be 1 to 128 printable characters")
)

// Directory holds the tenants that this process serves.
type Directory struct{}

// NewDirectory refuses tenants that claim one id or one host.
func NewDirectory(tenants ...*Tenant) (*Directory, error) { return &Directory{}, nil }

// Replace puts in t for the tenant of its id, or adds it.
func (d *Directory) Replace(t *Tenant) error { return nil }

// Tenants gives the tenants in force.
func (d *Directory) Tenants() []*Tenant { return nil }

// Identify resolves the tenant and authenticates the caller.
func (d *Directory) Identify(r *http.Request) (*Tenant, Caller, error) {
	return nil, Caller{}, ErrTenantRequired
}

// Locate resolves the tenant alone, for routes that need no key: by header, host, or
// because there is only one.
func (d *Directory) Locate(r *http.Request) (*Tenant, error) { return nil, ErrTenantRequired }
