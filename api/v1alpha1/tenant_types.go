package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Tenant is one isolated AI API: streaming chat with sessions, behind keys, limits
// and budgets of its own. The operator gives it a Deployment, a Service, Secrets and
// what else it asks for in the same namespace; `spec: {}` is enough for a first run.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ait,categories=enigma
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.endpoint`
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.status.model`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Tenant-ID",type=string,priority=1,JSONPath=`.status.tenantID`
// +kubebuilder:printcolumn:name="Class",type=string,priority=1,JSONPath=`.status.class`
// +kubebuilder:printcolumn:name="State",type=string,priority=1,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Tokens-Today",type=integer,priority=1,JSONPath=`.status.usage.tokensToday`
// +kubebuilder:printcolumn:name="Image",type=string,priority=1,JSONPath=`.status.image`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be a DNS label of at most 40 characters (lower-case letters, digits and '-'): it names the tenant's Service and Deployment; choose a shorter or simpler name"
// +kubebuilder:validation:XValidation:rule="(has(self.spec.tenantID) ? self.spec.tenantID : self.metadata.name) == (has(oldSelf.spec.tenantID) ? oldSelf.spec.tenantID : oldSelf.metadata.name)",message="spec.tenantID can't change (omitted, it is metadata.name): stored sessions and budgets are kept under it; make a new Tenant instead"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status.state) || oldSelf.status.state != 'Persistent' || !has(self.spec.state) || !has(self.spec.state.embedded) || !has(self.spec.state.embedded.ephemeral)",message="spec.state.embedded.ephemeral can't be set: the tenant already keeps its sessions on a volume, and they would be lost to it; make a new Tenant with the other state"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status.state) || oldSelf.status.state != 'Shared' || !has(self.spec.state) || !has(self.spec.state.embedded)",message="spec.state.embedded can't be set: the tenant already keeps its sessions on a server, and they would be lost to it; make a new Tenant and load a snapshot into it"
type Tenant struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the tenant should be. Everything in it is optional.
	// +kubebuilder:default={}
	// +optional
	Spec TenantSpec `json:"spec,omitempty"`
	// status is what the operator has seen and done; it is written by the operator alone.
	// +kubebuilder:default:={"observedGeneration":-1}
	// +optional
	Status TenantStatus `json:"status,omitempty"`
}

// TenantList is a list of Tenants.
//
// +kubebuilder:object:root=true
type TenantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Tenant `json:"items"`
}

// TenantSpec is what a tenant should be.
//
// +kubebuilder:validation:XValidation:rule="has(self.environment) == has(oldSelf.environment) && (!has(self.environment) || self.environment == oldSelf.environment)",message="spec.environment can't change: stored data is kept under it; make a new Tenant for the other environment"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.state) || !has(oldSelf.state.embedded) || !has(oldSelf.state.embedded.persistence) || (has(self.state) && (has(self.state.valkey) || has(self.state.postgres) || (has(self.state.embedded) && has(self.state.embedded.persistence))))",message="spec.state.embedded.persistence can't be removed: the sessions on the volume would be lost to the tenant; set spec.state.valkey or spec.state.postgres to have them moved there, or make a new Tenant with the other state"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.state) || !has(oldSelf.state.postgres) || (has(self.state) && has(self.state.postgres))",message="spec.state.postgres can't be removed: the sessions in the database would be lost to the tenant; make a new Tenant with the other state and load a snapshot into it"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.state) || !has(oldSelf.state.valkey) || has(oldSelf.state.postgres) || (has(self.state) && has(self.state.valkey) && !has(self.state.postgres))",message="spec.state.valkey can't be removed: the sessions on the server would be lost to the tenant; make a new Tenant with the other state and load a snapshot into it"
// +kubebuilder:validation:XValidation:rule="!has(self.runtime) || !has(self.runtime.replicas) || self.runtime.replicas <= 1 || (has(self.state) && (has(self.state.valkey) || has(self.state.postgres)))",message="spec.runtime.replicas above 1 needs a state store that replicas share, and the embedded state serves one replica; set spec.state.valkey or spec.state.postgres ({} takes the class's server), or replicas to 0 or 1"
// +kubebuilder:validation:XValidation:rule="!has(self.runtime) || !has(self.runtime.autoscaling) || (has(self.state) && (has(self.state.valkey) || has(self.state.postgres)))",message="spec.runtime.autoscaling needs a state store that replicas share, and the embedded state serves one replica; set spec.state.valkey or spec.state.postgres ({} takes the class's server), or remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.cloudflare) || has(self.upstream.accountRef)",message="spec.cloudflare needs spec.upstream.accountRef: name the CloudflareAccount that the things lie in"
// +kubebuilder:validation:XValidation:rule="!has(self.documents) || self.documents.store != 'vectorize' || has(self.upstream.accountRef)",message="spec.documents.store: vectorize needs spec.upstream.accountRef: name the CloudflareAccount that the index lies in"
// +kubebuilder:validation:XValidation:rule="has(self.documents) || !has(oldSelf.documents)",message="spec.documents can't be removed: the tenant's documents lie there; make a new Tenant"
// +kubebuilder:validation:XValidation:rule="!(has(self.documents) && has(self.documents.embedding) && self.documents.embedding.model != 'builtin/lsa') || (has(self.upstream) && has(self.upstream.type) && self.upstream.type != 'embedded')",message="spec.documents.embedding.model must be builtin/lsa with spec.upstream.type: embedded, which has no other; or connect an upstream"
// +kubebuilder:validation:XValidation:rule="!(has(self.documents) && self.documents.store == 'vectorize' && has(self.documents.embedding) && self.documents.embedding.model == 'builtin/lsa')",message="spec.documents.embedding.model builtin/lsa goes with spec.documents.store: state; a Vectorize index needs a model of the upstream with its dimensions"
// +kubebuilder:validation:XValidation:rule="!(has(self.documents) && has(self.documents.rerankModel)) || (has(self.upstream) && has(self.upstream.type) && self.upstream.type == 'workersai')",message="spec.documents.rerankModel needs spec.upstream.type: workersai, which has such models"
// +kubebuilder:validation:XValidation:rule="!(has(self.speech) && self.speech.provider == 'upstream') || (has(self.upstream) && has(self.upstream.type) && self.upstream.type != 'embedded')",message="spec.speech.provider: upstream needs an upstream that speaks; spec.upstream.type: embedded doesn't"
type TenantSpec struct {
	// classRef names the TenantClass whose defaults and bounds hold for this tenant.
	// Default: the class marked as default, else the operator's built-in defaults.
	// +optional
	ClassRef *ClassReference `json:"classRef,omitempty"`

	// tenantID is the public id that clients send as x-tenant-id, unique in the
	// cluster: a DNS label of at most 40 characters. Default: metadata.name. It can't
	// change.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.tenantID must be a DNS label: lower-case letters, digits and '-', with a letter or digit at both ends"
	// +optional
	TenantID string `json:"tenantID,omitempty"`

	// environment separates the data of tenants with one id. Default: production. It
	// can't change.
	// +kubebuilder:default=production
	// +optional
	Environment Environment `json:"environment,omitempty"`

	// suspend stops the tenant's pods and keeps all else, its data included.
	// Default: false.
	// +kubebuilder:default=false
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// deletionPolicy says what deleting the Tenant does to its data: Retain keeps the
	// volume and what it has at Cloudflare, and says where in an event; Delete removes
	// them. Its API token and its own gateway go either way. Default: the class's, else
	// Retain.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// deletionProtection refuses to delete the Tenant until it is set to false.
	// Default: true.
	// +kubebuilder:default=true
	// +optional
	DeletionProtection *bool `json:"deletionProtection,omitempty"`

	// upstream is where the models are. Default: the built-in model, which quotes and
	// needs no account.
	// +kubebuilder:default={type: embedded}
	// +optional
	Upstream Upstream `json:"upstream,omitempty"`

	// models names the models that answer.
	// +optional
	Models Models `json:"models,omitempty"`

	// prompt shapes every conversation.
	// +kubebuilder:default={}
	// +optional
	Prompt Prompt `json:"prompt,omitempty"`

	// auth says who may call. Default: one generated key named "default".
	// +kubebuilder:default={mode: apiKey}
	// +optional
	Auth Auth `json:"auth,omitempty"`

	// cors says which web pages may call from a browser. Default: none.
	// +optional
	CORS CORS `json:"cors,omitempty"`

	// trustedProxies are the networks, in CIDR form, whose X-Forwarded-For header is
	// believed, for example "10.0.0.0/8". Host bits are 0. Default: none. At most 32.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked() && cidr(self).prefixLength() > 0",message="spec.trustedProxies must hold networks in CIDR form without host bits, for example 10.0.0.0/8, and not the whole Internet: any client could choose the address it is limited by"
	// +listType=set
	// +optional
	TrustedProxies []string `json:"trustedProxies,omitempty"`

	// limits say how much the tenant's callers may ask.
	// +kubebuilder:default={}
	// +optional
	Limits Limits `json:"limits,omitempty"`

	// budget is the tenant's spending limit. Default: none.
	// +optional
	Budget *Budget `json:"budget,omitempty"`

	// sessions bounds the chat history.
	// +kubebuilder:default={retentionDays: 30, maxMessages: 1000}
	// +optional
	Sessions Sessions `json:"sessions,omitempty"`

	// state is where sessions, limits, budgets and usage are kept. Default: the
	// class's, else embedded on a volume of 1Gi. What a Tenant started with stays when
	// the class changes.
	// +optional
	State *State `json:"state,omitempty"`

	// documents says where the tenant's documents are kept. Default: it has none.
	// +optional
	Documents *Documents `json:"documents,omitempty"`

	// cloudflare is what the tenant uses of its Cloudflare account beside models. It needs
	// spec.upstream.accountRef. Default: nothing.
	// +optional
	Cloudflare *CloudflareUse `json:"cloudflare,omitempty"`
	// tools says what models and callers may do. Default: nothing.
	// +optional
	Tools *Tools `json:"tools,omitempty"`
	// speech says who reads texts out. Default: nobody.
	// +optional
	Speech *Speech `json:"speech,omitempty"`
	// playground serves a page at / that tries the API; whoever uses it needs a key.
	// Default: false.
	// +kubebuilder:default=false
	// +optional
	Playground bool `json:"playground,omitempty"`

	// exposure says how the API is reached from outside the cluster. Default: by its
	// Service only.
	// +optional
	Exposure Exposure `json:"exposure,omitempty"`

	// runtime shapes the tenant's pods.
	// +optional
	Runtime Runtime `json:"runtime,omitempty"`
}

// Environment separates the data of tenants with one id.
//
// +kubebuilder:validation:Enum=development;staging;production
type Environment string

// DeletionPolicy says what deleting a Tenant does to its data.
//
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

// Deletion policies.
const (
	DeletionRetain DeletionPolicy = "Retain"
	DeletionDelete DeletionPolicy = "Delete"
)

// ClassReference names a TenantClass.
type ClassReference struct {
	// name of the TenantClass.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.classRef.name must be the name of a TenantClass: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
}

// SecretKeyReference names one key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name of the Secret, in the same namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="name must be the name of a Secret in the same namespace: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
	// key within the Secret's data. Default: token.
	// +kubebuilder:default=token
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="key must be a key of the Secret's data: letters, digits, '-', '_' and '.'"
	// +optional
	Key string `json:"key,omitempty"`
}
