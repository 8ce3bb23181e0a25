package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
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
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.state) || !has(oldSelf.state.embedded) || !has(oldSelf.state.embedded.persistence) || (has(self.state) && has(self.state.embedded) && has(self.state.embedded.persistence))",message="spec.state.embedded.persistence can't be removed: the sessions on the volume would be lost to the tenant; make a new Tenant with the other state"
// +kubebuilder:validation:XValidation:rule="!has(self.runtime) || !has(self.runtime.replicas) || self.runtime.replicas <= 1",message="spec.runtime.replicas above 1 needs a state store that replicas share, and the embedded state serves one replica; set it to 0 or 1"
// +kubebuilder:validation:XValidation:rule="!has(self.runtime) || !has(self.runtime.autoscaling)",message="spec.runtime.autoscaling needs a state store that replicas share, and the embedded state serves one replica; remove it"
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
	// volume and says where it is in an event, Delete removes it. Default: the
	// class's, else Retain.
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

// AccountReference names a CloudflareAccount.
type AccountReference struct {
	// name of the CloudflareAccount.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.upstream.accountRef.name must be the name of a CloudflareAccount: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
	// namespace of the CloudflareAccount; another namespace than the Tenant's must be
	// allowed by the account. Default: the Tenant's.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="spec.upstream.accountRef.namespace must be the name of a namespace: lower-case letters, digits and '-'"
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// UpstreamType is the kind of model server.
//
// +kubebuilder:validation:Enum=embedded;openai;workersai
type UpstreamType string

// Upstream types.
const (
	UpstreamEmbedded  UpstreamType = "embedded"
	UpstreamOpenAI    UpstreamType = "openai"
	UpstreamWorkersAI UpstreamType = "workersai"
)

// Upstream is where the models are.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'openai' || has(self.baseURL)",message="spec.upstream.baseURL is required with type openai: the server's address up to and with /v1, for example http://ollama.models:11434/v1"
// +kubebuilder:validation:XValidation:rule="self.type == 'openai' || !has(self.baseURL)",message="spec.upstream.baseURL is only for type openai; remove it, or set spec.upstream.type to openai"
// +kubebuilder:validation:XValidation:rule="self.type == 'openai' || !has(self.credentialsSecretRef)",message="spec.upstream.credentialsSecretRef is only for type openai; Workers AI takes its token from the CloudflareAccount"
// +kubebuilder:validation:XValidation:rule="self.type != 'workersai' || has(self.accountRef)",message="spec.upstream.accountRef is required with type workersai: name a CloudflareAccount"
// +kubebuilder:validation:XValidation:rule="self.type == 'workersai' || !has(self.gateway)",message="spec.upstream.gateway is only for type workersai; remove it"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.accountRef) || (has(self.accountRef) && self.accountRef == oldSelf.accountRef)",message="spec.upstream.accountRef can't change once set: what the tenant owns lies in that account; make a new Tenant for the other account"
type Upstream struct {
	// type is embedded (the built-in model, which answers with sentences of the
	// conversation), openai (any server with OpenAI's chat completions: Ollama, vLLM,
	// llama.cpp, LiteLLM) or workersai (Cloudflare). Default: embedded.
	// +kubebuilder:default=embedded
	// +optional
	Type UpstreamType `json:"type,omitempty"`
	// baseURL of an OpenAI-compatible server, up to and with /v1, for example
	// "http://ollama.models:11434/v1". It holds no user name, query or fragment. Default:
	// none; it is required with type openai.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname().size() > 0 && !self.contains('@') && !self.contains('?') && !self.contains('#')",message="spec.upstream.baseURL must be an http or https address without user name, query or fragment, for example http://ollama.models:11434/v1; a key goes into spec.upstream.credentialsSecretRef"
	// +kubebuilder:validation:XValidation:rule="!self.matches('/chat/completions/?$')",message="spec.upstream.baseURL must end before /chat/completions, which is added to it"
	// +optional
	BaseURL string `json:"baseURL,omitempty"`
	// credentialsSecretRef is the Secret with the server's bearer token, in the same
	// namespace. Default: none is sent.
	// +optional
	CredentialsSecretRef *SecretKeyReference `json:"credentialsSecretRef,omitempty"`
	// accountRef names the CloudflareAccount whose Workers AI and AI Gateway are used.
	// It can't change once set. Default: none; it is required with type workersai.
	// +optional
	AccountRef *AccountReference `json:"accountRef,omitempty"`
	// gateway sets how AI Gateway treats the tenant's calls.
	// +optional
	Gateway *GatewaySettings `json:"gateway,omitempty"`
}

// GatewaySettings are what AI Gateway does with the tenant's calls.
type GatewaySettings struct {
	// cacheTTL lets the gateway answer a repeated question from its cache for so long:
	// 60s to 720h, or 0s for never. Default: 0s.
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration('0s') || (duration(self) >= duration('60s') && duration(self) <= duration('720h'))",message="spec.upstream.gateway.cacheTTL must be 0s (off) or from 60s to 720h"
	// +optional
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`
	// collectLogs lets the gateway keep prompts and answers in its log. Default: false.
	// +kubebuilder:default=false
	// +optional
	CollectLogs bool `json:"collectLogs,omitempty"`
}

// Models names the models that answer.
//
// +kubebuilder:validation:XValidation:rule="!has(self.chat) || !has(self.allowed) || self.allowed.size() == 0 || self.chat in self.allowed",message="spec.models.allowed must hold spec.models.chat: without it every request that names no model would be refused"
// +kubebuilder:validation:XValidation:rule="!has(self.chat) || !has(self.fallbacks) || !(self.chat in self.fallbacks)",message="spec.models.fallbacks must not hold spec.models.chat: it has failed when a fallback is asked"
type Models struct {
	// chat is the default chat model as its server names it, for example
	// "@cf/meta/llama-3.1-8b-instruct-fast" or "llama3.2". Default:
	// "builtin/extractive" with the embedded upstream, else the class's.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="spec.models.chat must be a model's name without spaces, in ASCII"
	// +optional
	Chat string `json:"chat,omitempty"`
	// fallbacks are tried in order when chat fails before its first token. Default:
	// none. At most 8.
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[!-~]+$')",message="spec.models.fallbacks must hold models' names without spaces, in ASCII"
	// +kubebuilder:validation:XValidation:rule="self.all(f, self.exists_one(g, g == f))",message="spec.models.fallbacks must name each model once"
	// +listType=atomic
	// +optional
	Fallbacks []string `json:"fallbacks,omitempty"`
	// allowed are the models that a request may name. Default: chat and fallbacks. At
	// most 64.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[!-~]+$')",message="spec.models.allowed must hold models' names without spaces, in ASCII"
	// +listType=set
	// +optional
	Allowed []string `json:"allowed,omitempty"`
}

// Prompt shapes every conversation.
//
// +kubebuilder:validation:XValidation:rule="!has(self.system) || self.system.findAll('[{][{] *[A-Za-z_][A-Za-z0-9_]* *[}][}]', 128).all(v, has(self.variables) && v.replace('{{', ' ').replace('}}', ' ').trim() in self.variables)",message="spec.prompt.system names a {{variable}} that spec.prompt.variables doesn't hold; add its value, or write it without the double braces"
type Prompt struct {
	// system is the system prompt, at most 32768 characters; {{name}} is replaced by
	// the variable of that name. Default: none.
	// +kubebuilder:validation:MaxLength=32768
	// +optional
	System string `json:"system,omitempty"`
	// variables are the values for {{name}} in system: at most 64, each of at most 4096
	// characters, with names of at most 63 letters, digits and '_'. Default: none.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[A-Za-z_][A-Za-z0-9_]{0,62}$'))",message="spec.prompt.variables must have names of at most 63 letters, digits and '_', and not begin with a digit"
	// +optional
	Variables map[string]PromptValue `json:"variables,omitempty"`
	// temperature of sampling, from 0 (always the likeliest word) to 2. Default: the
	// model's own.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	// +optional
	Temperature *float64 `json:"temperature,omitempty"`
	// maxTokens bounds one answer, in tokens. It is always sent. Default: 1024.
	// +kubebuilder:default=1024
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=131072
	// +optional
	MaxTokens int32 `json:"maxTokens,omitempty"`
}

// PromptValue is the value of a prompt's variable.
//
// +kubebuilder:validation:MaxLength=4096
type PromptValue string

// AuthMode says whether callers need a key.
//
// +kubebuilder:validation:Enum=apiKey;none
type AuthMode string

// Authentication modes.
const (
	AuthAPIKey AuthMode = "apiKey"
	AuthNone   AuthMode = "none"
)

// Auth says who may call.
//
// +kubebuilder:validation:XValidation:rule="!has(self.keys) || self.keys.all(k, !has(k.secretRef) || self.keys.exists_one(j, has(j.secretRef) && j.secretRef.name == k.secretRef.name && j.secretRef.key == k.secretRef.key))",message="spec.auth.keys[].secretRef must differ from key to key: one value can't tell two callers apart"
type Auth struct {
	// mode is apiKey, or none for a tenant behind a gateway of its own that
	// authenticates. Default: apiKey.
	// +kubebuilder:default=apiKey
	// +optional
	Mode AuthMode `json:"mode,omitempty"`
	// keys that open the tenant's API. Default: one generated key named "default".
	// At most 64.
	// +kubebuilder:default={{name: default}}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +optional
	Keys []APIKey `json:"keys,omitempty"`
}

// APIKey is one named key.
//
// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || !has(self.rotateAfter)",message="spec.auth.keys[].rotateAfter is only for generated keys; rotate a referenced key by changing its Secret"
// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || !has(self.revision) || self.revision == 1",message="spec.auth.keys[].revision is only for generated keys; rotate a referenced key by changing its Secret"
// +kubebuilder:validation:XValidation:rule="!has(self.rotateAfter) || !has(self.gracePeriod) || duration(self.gracePeriod) <= duration(self.rotateAfter)",message="spec.auth.keys[].gracePeriod (24h if omitted) must not exceed rotateAfter, or old values pile up; lower it"
type APIKey struct {
	// name of the key, a DNS label of at most 40 characters, and its entry in the
	// Secret of generated keys.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.auth.keys[].name must be a DNS label: lower-case letters, digits and '-'"
	Name string `json:"name"`
	// secretRef takes the key's value from a Secret in the same namespace instead of
	// generating it. A value under 32 characters is refused.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`
	// scopes are what the key may do beyond calling the API: sessions:all reads and
	// deletes every caller's sessions. Default: none.
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	Scopes []Scope `json:"scopes,omitempty"`
	// trustUserHeader makes the x-user-id header part of the caller's identity: the
	// key's holder vouches for its users, and each has sessions and rate limits of
	// their own. Default: false.
	// +kubebuilder:default=false
	// +optional
	TrustUserHeader bool `json:"trustUserHeader,omitempty"`
	// rotateAfter makes the operator generate a new value when the key is so old, at
	// least 1h. Default: never.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="spec.auth.keys[].rotateAfter must be at least 1h"
	// +optional
	RotateAfter *metav1.Duration `json:"rotateAfter,omitempty"`
	// revision rotates a generated key at once when it is raised. Default: 1.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +optional
	Revision int64 `json:"revision,omitempty"`
	// gracePeriod is how long the old value still works after a rotation, from 0s to
	// 720h. Default: 24h.
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="spec.auth.keys[].gracePeriod must be from 0s to 720h"
	// +optional
	GracePeriod *metav1.Duration `json:"gracePeriod,omitempty"`
}

// Scope is a right of a key.
//
// +kubebuilder:validation:Enum="sessions:all"
type Scope string

// CORS says which web pages may call from a browser.
type CORS struct {
	// origins that may call: exact, as in "https://app.example", or with one leading
	// wildcard label, as in "https://*.app.example". Default: none. At most 64.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^https?://([*][.])?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*(:[0-9]{1,5})?$')",message="spec.cors.origins must be origins such as https://app.example or https://*.app.example, in lower case, without a path"
	// +listType=set
	// +optional
	Origins []string `json:"origins,omitempty"`
}

// Limits say how much the tenant's callers may ask.
type Limits struct {
	// requests bounds how often one caller may ask.
	// +kubebuilder:default={}
	// +optional
	Requests RequestLimits `json:"requests,omitempty"`
	// tokens bounds what the whole tenant may use, input and output together.
	// +optional
	Tokens TokenLimits `json:"tokens,omitempty"`
	// bodyBytes is the largest request body, from 1Ki to 64Mi. Default: the
	// class's, else 1Mi.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('64Mi')) <= 0",message="spec.limits.bodyBytes must be from 1Ki to 64Mi"
	// +optional
	BodyBytes *resource.Quantity `json:"bodyBytes,omitempty"`
	// messageChars is the longest chat message in characters. Default: 10000.
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MessageChars int32 `json:"messageChars,omitempty"`
}

// RequestLimits are two sliding windows per caller.
//
// +kubebuilder:validation:XValidation:rule="!has(self.burstWindowSec) || !has(self.windowSec) || self.burstWindowSec <= self.windowSec",message="spec.limits.requests.burstWindowSec must not exceed windowSec"
type RequestLimits struct {
	// perMinute is how many requests one caller may send in windowSec seconds. Default:
	// the class's, else 60.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	PerMinute *int32 `json:"perMinute,omitempty"`
	// windowSec is the length of the window of perMinute, in seconds. Default: 60.
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	// +optional
	WindowSec int32 `json:"windowSec,omitempty"`
	// burst is how many requests one caller may send in burstWindowSec seconds.
	// Default: the class's, else no second window.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Burst *int32 `json:"burst,omitempty"`
	// burstWindowSec is the length of the window of burst, in seconds. Default: a
	// sixth of windowSec.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	// +optional
	BurstWindowSec *int32 `json:"burstWindowSec,omitempty"`
}

// TokenLimits bound what the whole tenant may use.
type TokenLimits struct {
	// daily tokens per UTC day. Default: the class's, else no limit.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Daily *int64 `json:"daily,omitempty"`
	// monthly tokens per UTC month. Default: the class's, else no limit.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Monthly *int64 `json:"monthly,omitempty"`
}

// BudgetAction is what happens when the money is spent.
//
// +kubebuilder:validation:Enum=Warn;Throttle;Block
type BudgetAction string

// Budget is the tenant's spending limit.
type Budget struct {
	// monthlyUSD is how much may be spent per UTC month, in US dollars, for example 50
	// or "12.50". Spending is known for models whose price the class lists.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('10m')) >= 0 && quantity(string(self)).compareTo(quantity('1G')) <= 0",message="spec.budget.monthlyUSD must be an amount from 0.01 to 1000000000, for example 50 or \"12.50\""
	MonthlyUSD resource.Quantity `json:"monthlyUSD"`
	// onExceeded is Warn (serve on, with a condition), Throttle (a tenth of the rate
	// limit) or Block (refuse until the month ends). Default: Block.
	// +kubebuilder:default=Block
	// +optional
	OnExceeded BudgetAction `json:"onExceeded,omitempty"`
}

// Sessions bounds the chat history.
type Sessions struct {
	// retentionDays is how many days a session is kept after its last message.
	// Default: 30.
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	// +optional
	RetentionDays int32 `json:"retentionDays,omitempty"`
	// maxMessages is how many messages a session keeps; the oldest are dropped.
	// Default: 1000.
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=100000
	// +optional
	MaxMessages int32 `json:"maxMessages,omitempty"`
}

// State is where the tenant's data is kept.
type State struct {
	// embedded keeps it beside the one pod that serves the tenant. Default: yes.
	// +optional
	Embedded *EmbeddedState `json:"embedded,omitempty"`
}

// EmbeddedState keeps the data beside the pod.
//
// +kubebuilder:validation:ExactlyOneOf=persistence;ephemeral
type EmbeddedState struct {
	// persistence keeps the data on a PersistentVolumeClaim. Updates of the pod stop it
	// before the next one starts.
	// +optional
	Persistence *Persistence `json:"persistence,omitempty"`
	// ephemeral keeps the data in the pod's memory: gone when the pod is.
	// +optional
	Ephemeral *EphemeralState `json:"ephemeral,omitempty"`
}

// EphemeralState has no settings.
type EphemeralState struct{}

// Persistence is the tenant's volume.
//
// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",message="spec.state.embedded.persistence.storageClassName can't change: a claim stays with its class; make a new Tenant"
// +kubebuilder:validation:XValidation:rule="quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",message="spec.state.embedded.persistence.size can only grow"
type Persistence struct {
	// size of the volume, for example 1Gi; it can only grow. Default: 1Gi.
	// +kubebuilder:default="1Gi"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('16Mi')) >= 0",message="spec.state.embedded.persistence.size must be at least 16Mi"
	// +optional
	Size resource.Quantity `json:"size,omitempty"`
	// storageClassName of the claim. Default: the cluster's default class. It can't
	// change.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="storageClassName must be the name of a StorageClass: lower-case letters, digits, '-' and '.'"
	// +optional
	StorageClassName *string `json:"storageClassName,omitempty"`
}

// Exposure says how the API is reached from outside the cluster.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.gateway) && has(self.ingressClassName))",message="spec.exposure takes one of gateway and ingressClassName, not both"
// +kubebuilder:validation:XValidation:rule="!(has(self.gateway) || has(self.ingressClassName)) || (has(self.hosts) && self.hosts.size() > 0)",message="spec.exposure.hosts is required with gateway or ingressClassName: name at least one host"
type Exposure struct {
	// hosts under which the API is reached, in lower case, without port or trailing
	// dot; names with other letters in punycode. A host belongs to one Tenant of the
	// cluster: the older keeps it. Default: none. At most 16.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$') && !isIP(self)",message="spec.exposure.hosts must be full DNS names in lower case, for example acme.example.com, without scheme, port, wildcard or trailing dot"
	// +listType=set
	// +optional
	Hosts []string `json:"hosts,omitempty"`
	// gateway attaches an HTTPRoute to a Gateway of the Gateway API.
	// +optional
	Gateway *GatewayReference `json:"gateway,omitempty"`
	// ingressClassName makes an Ingress of that class. Default: no Ingress.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.exposure.ingressClassName must be the name of an IngressClass: lower-case letters, digits, '-' and '.'"
	// +optional
	IngressClassName *string `json:"ingressClassName,omitempty"`
}

// GatewayReference names a Gateway and, if given, one of its listeners.
type GatewayReference struct {
	// name of the Gateway.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.exposure.gateway.name must be the name of a Gateway: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
	// namespace of the Gateway. Default: the Tenant's.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="spec.exposure.gateway.namespace must be the name of a namespace: lower-case letters, digits and '-'"
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// sectionName is the Gateway's listener. Default: all that accept the route.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.exposure.gateway.sectionName must be the name of a listener: lower-case letters, digits, '-' and '.'"
	// +optional
	SectionName string `json:"sectionName,omitempty"`
}
