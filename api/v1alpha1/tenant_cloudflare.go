package v1alpha1

// BindingReference names a CloudflareBinding in the same namespace.
type BindingReference struct {
	// name of the CloudflareBinding.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="bindingRef.name must be the name of a CloudflareBinding in the same namespace: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
}

// BindingUse asks for one Cloudflare thing.
type BindingUse struct {
	// bindingRef names a CloudflareBinding that is there, in the same namespace. Default:
	// one is made for the tenant.
	// +optional
	BindingRef *BindingReference `json:"bindingRef,omitempty"`
}

// CloudflareUse is what the tenant uses of the account beside models. It is reached over
// Cloudflare's REST API, which isn't fast: none of it is where sessions are kept.
type CloudflareUse struct {
	// usageLedger copies the tenant's usage, in sums by the minute, into a D1 database.
	// Default: no.
	// +optional
	UsageLedger *BindingUse `json:"usageLedger,omitempty"`
	// configExport copies what the tenant serves (no secrets) into a KV namespace, for
	// workers at the edge. Default: no.
	// +optional
	ConfigExport *BindingUse `json:"configExport,omitempty"`
	// originals keeps uploaded documents as they came in an R2 bucket. Default: no.
	// +optional
	Originals *BindingUse `json:"originals,omitempty"`
}

// VectorizeUse says which index holds the tenant's vectors.
//
// +kubebuilder:validation:XValidation:rule="has(self.index) != has(self.bindingRef)",message="spec.documents.vectorize has either index (an index of the tenant's own) or bindingRef (one that is there); set one of them"
type VectorizeUse struct {
	// index is made for the tenant.
	// +optional
	Index *VectorizeSettings `json:"index,omitempty"`
	// bindingRef names a CloudflareBinding of type Vectorize in the same namespace, which
	// several tenants may share: each has a namespace of its own in it.
	// +optional
	BindingRef *BindingReference `json:"bindingRef,omitempty"`
}

// BindingRole is what a tenant uses a binding for.
type BindingRole string

// What a tenant uses a binding for.
const (
	RoleGateway      BindingRole = "gateway"
	RoleVectors      BindingRole = "vectors"
	RoleOriginals    BindingRole = "originals"
	RoleUsageLedger  BindingRole = "usageLedger"
	RoleConfigExport BindingRole = "configExport"
	RoleToken        BindingRole = "token"
)

// TenantBinding tells of one binding that the tenant uses.
type TenantBinding struct {
	// role says what for.
	Role BindingRole `json:"role"`
	// type of the thing.
	Type BindingType `json:"type"`
	// namespace of the CloudflareBinding; absent for the Tenant's own.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// name of the CloudflareBinding.
	Name string `json:"name"`
	// id of the thing in the account, for what isn't Kubernetes.
	// +optional
	ID string `json:"id,omitempty"`
	// ready tells that it can be used.
	// +optional
	Ready bool `json:"ready"`
}
