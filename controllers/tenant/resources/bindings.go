package resources

import (
	"slices"

	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Use is one CloudflareBinding that a Tenant's spec needs.
type Use struct {
	Role v1alpha1.BindingRole
	Type v1alpha1.BindingType
	// Field of the spec that asks for it.
	Field string
	// Ref names a binding that is there; nil has one made.
	Ref *v1alpha1.BindingReference
}

// Uses are the bindings that a Tenant's spec needs, in the order in which they are made:
// the token comes last, since it is narrowed to a bucket that must be there. With mint the
// Tenant has a token of its own. A shared gateway isn't among them: it is the account's.
func Uses(t *v1alpha1.Tenant, mint bool) []Use {
	var uses []Use
	workersAI := t.Spec.Upstream.Type == v1alpha1.UpstreamWorkersAI
	if g := t.Spec.Upstream.Gateway; workersAI && g != nil && g.Mode == v1alpha1.GatewayDedicated {
		uses = append(uses, Use{v1alpha1.RoleGateway, v1alpha1.BindingAIGateway, "spec.upstream.gateway", g.BindingRef})
	}
	if d := t.Spec.Documents; d != nil && d.Vectorize != nil {
		uses = append(uses, Use{v1alpha1.RoleVectors, v1alpha1.BindingVectorize, "spec.documents.vectorize", d.Vectorize.BindingRef})
	}
	if c := t.Spec.Cloudflare; c != nil {
		for _, asked := range []struct {
			use *v1alpha1.BindingUse
			Use
		}{
			{c.Originals, Use{v1alpha1.RoleOriginals, v1alpha1.BindingR2, "spec.cloudflare.originals", nil}},
			{c.UsageLedger, Use{v1alpha1.RoleUsageLedger, v1alpha1.BindingD1, "spec.cloudflare.usageLedger", nil}},
			{c.ConfigExport, Use{v1alpha1.RoleConfigExport, v1alpha1.BindingKV, "spec.cloudflare.configExport", nil}},
		} {
			if asked.use != nil {
				asked.Ref = asked.use.BindingRef
				uses = append(uses, asked.Use)
			}
		}
	}
	if mint && (workersAI || len(uses) > 0) {
		uses = append(uses, Use{Role: v1alpha1.RoleToken, Type: v1alpha1.BindingAPIToken, Field: "spec.upstream.accountRef"})
	}
	return uses
}

// UsesAccount tells whether the Tenant needs anything of the account that it names. One
// that names an account and calls another model server needs nothing of it.
func UsesAccount(t *v1alpha1.Tenant) bool {
	return t.Spec.Upstream.AccountRef != nil && len(Uses(t, true)) > 0
}

// SharesGateway tells whether the Tenant's calls pass the account's gateway.
func SharesGateway(t *v1alpha1.Tenant) bool {
	u := t.Spec.Upstream
	return u.Type == v1alpha1.UpstreamWorkersAI && (u.Gateway == nil || u.Gateway.Mode != v1alpha1.GatewayDedicated)
}

// endings of the names of bindings. None ends with another, so that no two Tenants of a
// namespace share a name.
var endings = map[v1alpha1.BindingRole]string{
	v1alpha1.RoleGateway:      "-gateway",
	v1alpha1.RoleVectors:      "-vectors",
	v1alpha1.RoleOriginals:    "-originals",
	v1alpha1.RoleUsageLedger:  "-usage-ledger",
	v1alpha1.RoleConfigExport: "-config-export",
	v1alpha1.RoleToken:        "-token",
}

// Name of the CloudflareBinding, in the namespace of the Tenant called tenant.
func (u Use) Name(tenant string) string {
	if u.Ref != nil {
		return u.Ref.Name
	}
	return NamesOf(tenant).Base + endings[u.Role]
}

// HoldsData tells what may outlive the Tenant. Neither a token does, nor a gateway, which
// holds settings and logs and of which an account may have few.
func (u Use) HoldsData() bool { return u.Role != v1alpha1.RoleToken && u.Role != v1alpha1.RoleGateway }

// Binding is the apply configuration of a CloudflareBinding.
type Binding struct {
	metav1.TypeMetaApplyConfiguration    `json:",inline"`
	*metav1.ObjectMetaApplyConfiguration `json:"metadata,omitempty"`
	Spec                                 *v1alpha1.CloudflareBindingSpec `json:"spec,omitempty"`
}

// IsApplyConfiguration implements runtime.ApplyConfiguration.
func (*Binding) IsApplyConfiguration() {}

// GetAPIVersion, GetKind, GetName and GetNamespace implement Object.
func (b *Binding) GetAPIVersion() *string { return b.APIVersion }

// GetKind implements Object.
func (b *Binding) GetKind() *string { return b.Kind }

// GetName implements Object.
func (b *Binding) GetName() *string { return b.Name }

// GetNamespace implements Object.
func (b *Binding) GetNamespace() *string { return b.Namespace }

// Bindings are those of uses that are the Tenant's own to have. What holds data has no
// owner with Retain, so that it outlives the Tenant; a later one finds it by its storage
// identity, as it finds the volume.
func Bindings(in Inputs, uses []Use) []Object {
	var out []Object
	for _, u := range uses {
		if u.Ref == nil {
			out = append(out, binding(in, u, uses))
		}
	}
	return out
}

func binding(in Inputs, u Use, uses []Use) *Binding {
	t, e := in.Tenant, in.Effective
	spec := settings(t, u.Role, uses)
	spec.Type, spec.AccountRef, spec.DeletionPolicy = u.Type, *t.Spec.Upstream.AccountRef, v1alpha1.DeletionDelete
	l := labels(t)
	l[LabelEnvironment] = string(e.Environment)
	meta := metav1.ObjectMeta().WithName(u.Name(t.Name)).WithNamespace(t.Namespace)
	if u.HoldsData() {
		spec.DeletionPolicy = e.DeletionPolicy
		mark := IdentityMark(Identity(in.Operator.OwnerID, t, e))
		l[StorageIdentity] = mark
		meta.WithAnnotations(map[string]string{StorageIdentity: mark})
	}
	if spec.DeletionPolicy == v1alpha1.DeletionDelete {
		meta.WithOwnerReferences(controller(t))
	}
	b := &Binding{ObjectMetaApplyConfiguration: meta.WithLabels(l), Spec: &spec}
	b.WithKind("CloudflareBinding").WithAPIVersion(v1alpha1.GroupVersion.String())
	return b
}

func settings(t *v1alpha1.Tenant, role v1alpha1.BindingRole, uses []Use) v1alpha1.CloudflareBindingSpec {
	var spec v1alpha1.CloudflareBindingSpec
	switch role {
	case v1alpha1.RoleGateway:
		g := t.Spec.Upstream.Gateway
		spec.AIGateway = &v1alpha1.AIGatewaySettings{CacheTTL: g.CacheTTL, CollectLogs: g.CollectLogs}
	case v1alpha1.RoleVectors:
		spec.Vectorize = t.Spec.Documents.Vectorize.Index.DeepCopy()
	case v1alpha1.RoleToken:
		spec.APIToken = tokenSettings(t, uses)
	}
	return spec
}

// Permissions of a tenant's token, by Cloudflare's name. But for the bucket they hold for
// the whole account: Cloudflare has nothing finer.
var permissions = map[v1alpha1.BindingRole][]string{
	// Who keeps vectors also ingests them: writing is the same permission as deleting an
	// index.
	v1alpha1.RoleVectors:      {"Vectorize Read", "Vectorize Write"},
	v1alpha1.RoleUsageLedger:  {"D1 Write"},
	v1alpha1.RoleConfigExport: {"Workers KV Storage Write"},
}

// callsModels are the permissions of who calls Workers AI.
var callsModels = []string{"AI Gateway Run", "Workers AI Read"}

// TokenPermissions are all that a Tenant's token may ever have, sorted.
func TokenPermissions() []string {
	all := slices.Clone(callsModels)
	for _, more := range permissions {
		all = append(all, more...)
	}
	slices.Sort(all)
	return all
}

func tokenSettings(t *v1alpha1.Tenant, uses []Use) *v1alpha1.APITokenSettings {
	out := &v1alpha1.APITokenSettings{}
	if t.Spec.Upstream.Type == v1alpha1.UpstreamWorkersAI {
		out.Permissions = slices.Clone(callsModels)
	}
	for _, u := range uses {
		out.Permissions = append(out.Permissions, permissions[u.Role]...)
		if u.Role == v1alpha1.RoleOriginals {
			out.Buckets = []string{u.Name(t.Name)}
		}
	}
	slices.Sort(out.Permissions)
	return out
}
