package tenancy

import (
	"errors"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// Load reads the document and the secrets beside it from dir. A document that breaks
// rules gives tenantconfig.Violations (errors.As).
func Load(dir string) (*Tenant, error) { return nil, errors.New("loading the tenant document") }

// NewTenant makes a tenant of a document and the files beside it, by name.
func NewTenant(c *tenantconfig.Config, files map[string]string) (*Tenant, error) {
	return nil, errors.New("making a tenant")
}

// Secret gives the content of the file name beside the document, without surrounding
// white space.
func (t *Tenant) Secret(name string) (string, error) { return "", errors.New("no such file") }
