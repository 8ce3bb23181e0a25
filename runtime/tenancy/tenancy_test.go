package tenancy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type option func(*tenantconfig.Config)

func withHosts(hosts ...string) option {
	return func(c *tenantconfig.Config) { c.Hosts = hosts }
}

func withProxies(cidrs ...string) option {
	return func(c *tenantconfig.Config) { c.TrustedProxies = cidrs }
}

func withKey(name, value string, more ...func(*tenantconfig.Key)) option {
	return func(c *tenantconfig.Config) {
		k := tenantconfig.Key{Name: name, Digests: []tenantconfig.Digest{{SHA256: sum(value)}}}
		for _, change := range more {
			change(&k)
		}
		c.Auth.Mode = tenantconfig.AuthAPIKey
		c.Auth.Keys = append(c.Auth.Keys, k)
	}
}

func sum(value string) string {
	h := sha256.Sum256([]byte(value))
	return hex.EncodeToString(h[:])
}

// newConfig is a good document; without a key it is one of a tenant without
// authentication.
func newConfig(id string, options ...option) *tenantconfig.Config {
	c := &tenantconfig.Config{
		Version:  1,
		Tenant:   tenantconfig.Tenant{ID: id, Identity: "cluster/team/production/" + id, Environment: "production"},
		Server:   tenantconfig.Server{APIPort: 8080, MetricsPort: 9090},
		State:    tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:     tenantconfig.Auth{Mode: tenantconfig.AuthNone},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamEmbedded},
		Limits:   tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions: tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
	}
	for _, o := range options {
		o(c)
	}
	return c
}

func newTenant(t testing.TB, id string, options ...option) *tenancy.Tenant {
	t.Helper()
	tenant, err := tenancy.NewTenant(newConfig(id, options...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func newDirectory(t testing.TB, tenants ...*tenancy.Tenant) *tenancy.Directory {
	t.Helper()
	d, err := tenancy.NewDirectory(tenants...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
