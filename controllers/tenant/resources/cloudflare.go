package resources

import (
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

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
