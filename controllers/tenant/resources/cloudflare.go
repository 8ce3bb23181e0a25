package resources

import (
	"slices"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// documents say which index holds the tenant's vectors. An index that the Tenant only
// names may be others' too: there the tenant has a namespace of its own.
func documents(in Inputs) tenantconfig.Documents {
	spec, b := in.Tenant.Spec.Documents, in.Bindings[v1alpha1.RoleVectors]
	if spec == nil || spec.Vectorize == nil || b == nil {
		return tenantconfig.Documents{}
	}
	v := tenantconfig.Vectorize{Index: b.Status.ID, Dimensions: int(b.Status.Dimensions), Metric: b.Status.Metric}
	if settings := b.Spec.Vectorize; settings != nil {
		if v.Dimensions == 0 {
			v.Dimensions = int(settings.Dimensions)
		}
		if v.Metric == "" {
			v.Metric = settings.Metric
		}
		for _, index := range settings.MetadataIndexes {
			v.Filterable = append(v.Filterable, index.Property)
		}
		slices.Sort(v.Filterable)
	}
	if next := b.Status.Next; next != nil && next.Ready {
		v.Next, v.NextDimensions = next.ID, int(next.Dimensions)
	}
	if spec.Vectorize.BindingRef != nil {
		v.Namespace = statestore.Tag(Identity(in.Operator.OwnerID, in.Tenant, in.Effective))
	}
	return tenantconfig.Documents{Store: string(spec.Store), Vectorize: v}
}

// cloudflare is what the pods use of the account beside models; empty without any.
func cloudflare(in Inputs) tenantconfig.Cloudflare {
	c := tenantconfig.Cloudflare{
		UsageLedger:  idOf(in, v1alpha1.RoleUsageLedger),
		ConfigExport: idOf(in, v1alpha1.RoleConfigExport),
		Originals:    idOf(in, v1alpha1.RoleOriginals),
	}
	if in.Account == nil || c == (tenantconfig.Cloudflare{}) && in.Bindings[v1alpha1.RoleVectors] == nil {
		return tenantconfig.Cloudflare{}
	}
	if c.Originals != "" {
		c.OriginalsJurisdiction = "default"
		if r2 := in.Bindings[v1alpha1.RoleOriginals].Spec.R2; r2 != nil && r2.Jurisdiction != "" {
			c.OriginalsJurisdiction = r2.Jurisdiction
		}
		c.S3 = in.Account.S3
	}
	c.AccountID, c.API = in.Account.ID, in.Account.API
	c.TokenID = in.TokenID
	c.CredentialsFile = tenantconfig.CloudflareTokenFile
	c.CredentialsRevision = credentialsRevision(in.StatusToken, in.CloudflareToken)
	return c
}

func idOf(in Inputs, role v1alpha1.BindingRole) string {
	if b := in.Bindings[role]; b != nil {
		return b.Status.ID
	}
	return ""
}

// Serves tells whether a document names the thing of a role by its id: what serves isn't
// taken away because its binding isn't as it should be.
func Serves(c *tenantconfig.Config, role v1alpha1.BindingRole, id string) bool {
	if c == nil || id == "" {
		return false
	}
	served := map[v1alpha1.BindingRole]string{
		v1alpha1.RoleGateway:      c.Upstream.Gateway.ID,
		v1alpha1.RoleVectors:      c.Documents.Vectorize.Index,
		v1alpha1.RoleOriginals:    c.Cloudflare.Originals,
		v1alpha1.RoleUsageLedger:  c.Cloudflare.UsageLedger,
		v1alpha1.RoleConfigExport: c.Cloudflare.ConfigExport,
	}
	return served[role] == id
}
