package resources

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Inputs is everything that the shape of the children depends on.
type Inputs struct {
	Tenant *v1alpha1.Tenant
	// Class in force; nil for the built-in defaults.
	Class *v1alpha1.TenantClass
	// Effective is v1alpha1.EffectiveOf(Tenant, Class).
	Effective v1alpha1.Effective
	Operator  Operator
	Cluster   Capabilities
	// Hosts that this Tenant serves: those of spec.exposure.hosts that no older Tenant
	// has. Without any there is no route.
	Hosts []string
	// Account that spec.upstream.accountRef names; nil unless the Tenant uses something of it.
	Account *Account
	// Bindings that the Tenant uses, by role, as they are; each has an id.
	Bindings map[v1alpha1.BindingRole]*v1alpha1.CloudflareBinding
	// CloudflareToken is the API token for what Bindings stand for, TokenID its id.
	CloudflareToken string
	TokenID         string
	// Keys holds the current value of every key of Effective.Keys by its name,
	// generated and referenced ones alike.
	Keys map[string]string
	// Generated are the keys that the operator made. Without any there is no Secret of
	// keys.
	Generated map[string]GeneratedKey
	// KeysVersion is the resourceVersion of the Secret that Generated was read from;
	// the write fails if another one came in between. Empty before it exists.
	KeysVersion string
	// StatusToken is the bearer token of the pods' GET /status.
	StatusToken string
	// UpstreamToken is the upstream's bearer token; empty sends none.
	UpstreamToken string
	// ToolSecrets are the values of resources.ToolSecrets by their files.
	ToolSecrets map[string]string
	// State is the server that the Tenant's data is kept on, LimitsState that of its rate
	// windows and budgets where they are kept elsewhere; nil without.
	State, LimitsState *StateServer
	// Previous is the document in the live Secret; nil before there is one. Its digests
	// are what a rotation keeps for a grace period.
	Previous *tenantconfig.Config
	// Claim as it is; nil before it exists.
	Claim *Claim
	// Replicas of the live Deployment; nil before it exists.
	Replicas *int32
	// Now decides which rotated keys still work.
	Now time.Time
}

// Operator is what the children need to know about the operator.
type Operator struct {
	// OwnerID is this cluster's mark in every storage identity.
	OwnerID string
	// RuntimeImage for classes that name none.
	RuntimeImage string
	// Namespace and PodLabels of the operator's pods, which may read /status.
	Namespace string
	PodLabels map[string]string
}

// Capabilities are what the cluster has beyond the oldest one supported.
type Capabilities struct {
	// HostUsers: pods may have a user namespace of their own.
	HostUsers bool
	// GatewayAPI: HTTPRoute v1 is served.
	GatewayAPI bool
}

// Account is what the document needs of a CloudflareAccount.
type Account struct {
	// ID is the account's id, 32 hexadecimal digits.
	ID string
	// GatewayID of the AI Gateway that the Tenant's calls pass, shared or its own; empty
	// passes none.
	GatewayID string
	// Endpoint, API and S3 replace Cloudflare's addresses of AI Gateway, of its API and of
	// R2; empty for Cloudflare's own.
	Endpoint, API, S3 string
}

// GeneratedKey is a key that the operator made.
type GeneratedKey struct {
	// Value in clear.
	Value string
	// Revision of the spec that it was made for.
	Revision int64
	// CreatedAt is when.
	CreatedAt time.Time
}

// Claim is what a live PersistentVolumeClaim can't change any more.
type Claim struct {
	Size             resource.Quantity
	StorageClassName *string
}
