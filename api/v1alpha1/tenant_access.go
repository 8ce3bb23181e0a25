package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
	// deletes every caller's sessions, metrics:read reads metrics and the audit of tools.
	// Others take away: documents:read may search but not ingest or delete, and a key with
	// tools:<tool> has those tools alone, written like spec.tools.allow (tools:none has
	// none). Default: none. At most 16.
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
	// 720h. Lowered, it ends old values that still work. Default: 24h.
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="spec.auth.keys[].gracePeriod must be from 0s to 720h"
	// +optional
	GracePeriod *metav1.Duration `json:"gracePeriod,omitempty"`
}

// Scope is a right of a key.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self in ['sessions:all', 'metrics:read', 'documents:read'] || self.matches('^tools:[a-zA-Z0-9_-]{1,32}([.]([a-zA-Z0-9_.-]{0,30}[a-zA-Z0-9]|[*]))?$')",message="spec.auth.keys[].scopes must be sessions:all, metrics:read, documents:read or tools:<tool>"
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
