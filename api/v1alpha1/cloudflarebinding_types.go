package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CloudflareBinding is exactly one thing in a Cloudflare account: it is made or adopted,
// kept as the spec says, and deleted or left as its policy says. Tenants make theirs;
// one that is written by hand can be named by several Tenants.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cfb,categories=enigma
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`
// +kubebuilder:printcolumn:name="Account",type=string,JSONPath=`.spec.accountRef.name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type CloudflareBinding struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says which thing, where, and what becomes of it.
	Spec CloudflareBindingSpec `json:"spec"`
	// status is what the operator has seen and done; it is written by the operator alone.
	// +kubebuilder:default:={"observedGeneration":-1}
	// +optional
	Status CloudflareBindingStatus `json:"status,omitempty"`
}

// CloudflareBindingList is a list of CloudflareBindings.
//
// +kubebuilder:object:root=true
type CloudflareBindingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CloudflareBinding `json:"items"`
}

// BindingType is the kind of a thing in a Cloudflare account.
//
// +kubebuilder:validation:Enum=KV;D1;R2;Vectorize;AIGateway;APIToken
type BindingType string

// Kinds of things in a Cloudflare account.
const (
	BindingKV        BindingType = "KV"
	BindingD1        BindingType = "D1"
	BindingR2        BindingType = "R2"
	BindingVectorize BindingType = "Vectorize"
	BindingAIGateway BindingType = "AIGateway"
	BindingAPIToken  BindingType = "APIToken"
)

// Adoption says whether something that exists already may become the binding's.
//
// +kubebuilder:validation:Enum=Never;IfOwned;Force
type Adoption string

// Whether something that exists already may become the binding's.
const (
	AdoptNever   Adoption = "Never"
	AdoptIfOwned Adoption = "IfOwned"
	AdoptForce   Adoption = "Force"
)

// CloudflareBindingSpec says which thing, where, and what becomes of it.
//
// +kubebuilder:validation:XValidation:rule="self.type == oldSelf.type",message="spec.type can't change: the binding is one thing; make a new CloudflareBinding"
// +kubebuilder:validation:XValidation:rule="self.accountRef == oldSelf.accountRef",message="spec.accountRef can't change: the thing lies in that account; make a new CloudflareBinding"
// +kubebuilder:validation:XValidation:rule="has(self.existingID) == has(oldSelf.existingID) && (!has(self.existingID) || self.existingID == oldSelf.existingID)",message="spec.existingID can't change: it says which thing the binding is; make a new CloudflareBinding"
// +kubebuilder:validation:XValidation:rule="has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)",message="spec.name can't change: it says which thing the binding is; make a new CloudflareBinding"
// +kubebuilder:validation:XValidation:rule="!(has(self.existingID) && has(self.name))",message="spec.existingID and spec.name exclude each other: set existingID for a thing that exists, name for one that is to have this name, neither for a generated name"
// +kubebuilder:validation:XValidation:rule="!has(self.existingID) || self.adoption != 'Never'",message="spec.existingID adopts a thing that exists; set spec.adoption to IfOwned or, for one that this operator didn't make, Force"
// +kubebuilder:validation:XValidation:rule="self.type != 'APIToken' || !has(self.existingID)",message="spec.existingID isn't for type APIToken: Cloudflare shows a token's value once, to who makes it; leave it out"
// +kubebuilder:validation:XValidation:rule="self.type != 'APIToken' || has(self.apiToken)",message="spec.apiToken is required with type APIToken: it names the permissions"
// +kubebuilder:validation:XValidation:rule="self.type != 'APIToken' || !has(self.deletionPolicy) || self.deletionPolicy == 'Delete' || has(self.name)",message="spec.deletionPolicy: Retain of type APIToken needs spec.name: a token of a generated name that no CloudflareBinding knows is taken for a stray and revoked"
// +kubebuilder:validation:XValidation:rule="self.type != 'Vectorize' || has(self.vectorize)",message="spec.vectorize is required with type Vectorize: it names the dimensions"
// +kubebuilder:validation:XValidation:rule="(!has(self.kv) || self.type == 'KV') && (!has(self.d1) || self.type == 'D1') && (!has(self.r2) || self.type == 'R2') && (!has(self.vectorize) || self.type == 'Vectorize') && (!has(self.aiGateway) || self.type == 'AIGateway') && (!has(self.apiToken) || self.type == 'APIToken')",message="spec holds the settings of another type; only the block that spec.type names may be set"
// +kubebuilder:validation:XValidation:rule="(has(self.d1) && has(self.d1.locationHint) ? self.d1.locationHint : 'none') == (has(oldSelf.d1) && has(oldSelf.d1.locationHint) ? oldSelf.d1.locationHint : 'none')",message="spec.d1.locationHint can't change: a database stays where it was made; make a new CloudflareBinding"
// +kubebuilder:validation:XValidation:rule="(has(self.d1) && has(self.d1.jurisdiction) ? self.d1.jurisdiction : 'none') == (has(oldSelf.d1) && has(oldSelf.d1.jurisdiction) ? oldSelf.d1.jurisdiction : 'none')",message="spec.d1.jurisdiction can't change: a database stays where it was made; make a new CloudflareBinding"
// +kubebuilder:validation:XValidation:rule="(has(self.r2) && has(self.r2.locationHint) ? self.r2.locationHint : 'none') == (has(oldSelf.r2) && has(oldSelf.r2.locationHint) ? oldSelf.r2.locationHint : 'none')",message="spec.r2.locationHint can't change: a bucket stays where it was made; make a new CloudflareBinding"
// +kubebuilder:validation:XValidation:rule="(has(self.r2) && has(self.r2.jurisdiction) ? self.r2.jurisdiction : 'default') == (has(oldSelf.r2) && has(oldSelf.r2.jurisdiction) ? oldSelf.r2.jurisdiction : 'default')",message="spec.r2.jurisdiction can't change: a bucket stays where it was made; make a new CloudflareBinding"
type CloudflareBindingSpec struct {
	// type of the thing. It can't change.
	Type BindingType `json:"type"`
	// accountRef names the CloudflareAccount that the thing lies in. It can't change.
	AccountRef AccountReference `json:"accountRef"`
	// existingID is the id of a thing that exists: a KV namespace's or D1 database's id,
	// else the name of the bucket, index or gateway. Default: none, one is made. It can't
	// change.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_][-A-Za-z0-9_]*$')",message="spec.existingID must be letters, digits, '-' and '_'"
	// +optional
	ExistingID string `json:"existingID,omitempty"`
	// name of the thing in the account. Default: a generated one, which tells whose it is.
	// It can't change.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.name must be lower-case letters, digits and '-', with a letter or digit at both ends"
	// +optional
	Name string `json:"name,omitempty"`
	// adoption says whether a thing that exists under the id or name may become the
	// binding's: Never, IfOwned (if its name says that this operator made it) or Force.
	// Default: IfOwned.
	// +kubebuilder:default=IfOwned
	// +optional
	Adoption Adoption `json:"adoption,omitempty"`
	// deletionPolicy says what deleting the binding does to the thing: Retain leaves it
	// and says where in an event, Delete removes it with what it holds. An APIToken is left
	// only with a name of its own. Default: Delete for an APIToken, else Retain.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// pollInterval is how often what LIST doesn't show is looked at for drift, where the
	// API budget allows it: 1m to 24h. Default: 10m.
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('24h')",message="spec.pollInterval must be from 1m to 24h"
	// +optional
	PollInterval *metav1.Duration `json:"pollInterval,omitempty"`

	// kv are a KV namespace's settings: it has none.
	// +optional
	KV *KVSettings `json:"kv,omitempty"`
	// d1 are a D1 database's settings.
	// +optional
	D1 *D1Settings `json:"d1,omitempty"`
	// r2 are an R2 bucket's settings.
	// +optional
	R2 *R2Settings `json:"r2,omitempty"`
	// vectorize are a Vectorize index's settings.
	// +optional
	Vectorize *VectorizeSettings `json:"vectorize,omitempty"`
	// aiGateway are an AI Gateway's settings.
	// +optional
	AIGateway *AIGatewaySettings `json:"aiGateway,omitempty"`
	// apiToken are an API token's settings.
	// +optional
	APIToken *APITokenSettings `json:"apiToken,omitempty"`
}

// KVSettings has no settings.
type KVSettings struct{}

// D1Settings are a D1 database's settings.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.locationHint) && has(self.jurisdiction))",message="spec.d1.locationHint and spec.d1.jurisdiction exclude each other; remove one"
type D1Settings struct {
	// locationHint says where the database is made. Default: Cloudflare's choice.
	// +kubebuilder:validation:Enum=wnam;enam;weur;eeur;apac;oc
	// +optional
	LocationHint string `json:"locationHint,omitempty"`
	// jurisdiction that the data stays in. Default: none.
	// +kubebuilder:validation:Enum=eu;fedramp
	// +optional
	Jurisdiction string `json:"jurisdiction,omitempty"`
	// readReplication is auto or disabled. Default: disabled.
	// +kubebuilder:default=disabled
	// +kubebuilder:validation:Enum=auto;disabled
	// +optional
	ReadReplication string `json:"readReplication,omitempty"`
}

// R2Settings are an R2 bucket's settings.
type R2Settings struct {
	// locationHint says where the bucket is made. Default: Cloudflare's choice.
	// +kubebuilder:validation:Enum=wnam;enam;weur;eeur;apac;oc
	// +optional
	LocationHint string `json:"locationHint,omitempty"`
	// jurisdiction that the data stays in. Default: default.
	// +kubebuilder:default=default
	// +kubebuilder:validation:Enum=default;eu;fedramp
	// +optional
	Jurisdiction string `json:"jurisdiction,omitempty"`
	// storageClass of new objects. Default: Standard.
	// +kubebuilder:default=Standard
	// +kubebuilder:validation:Enum=Standard;InfrequentAccess
	// +optional
	StorageClass string `json:"storageClass,omitempty"`
}

// Replacement says what a change of what can't change does.
//
// +kubebuilder:validation:Enum=Never;BlueGreen
type Replacement string

// What a change of what can't change does.
const (
	ReplaceNever     Replacement = "Never"
	ReplaceBlueGreen Replacement = "BlueGreen"
)

// VectorizeSettings are a Vectorize index's settings.
//
// +kubebuilder:validation:XValidation:rule="self.replacement == 'BlueGreen' || (self.dimensions == oldSelf.dimensions && self.metric == oldSelf.metric)",message="dimensions and metric of an index can't change; set replacement to BlueGreen in the same change to have a new index made beside the old one, ingest everything again, and switch over when it is full"
type VectorizeSettings struct {
	// dimensions of a vector, as its embedding model gives them.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1536
	Dimensions int32 `json:"dimensions"`
	// metric that vectors are compared by. Default: cosine.
	// +kubebuilder:default=cosine
	// +kubebuilder:validation:Enum=cosine;euclidean;dot-product
	// +optional
	Metric string `json:"metric,omitempty"`
	// metadataIndexes are the properties that queries can filter by, at most 10. Only
	// vectors that are written after an index exists are in it. Default: none.
	// +kubebuilder:validation:MaxItems=10
	// +listType=map
	// +listMapKey=property
	// +optional
	MetadataIndexes []MetadataIndex `json:"metadataIndexes,omitempty"`
	// replacement says what a change of dimensions or metric does: Never refuses it;
	// BlueGreen makes a new index beside the old one, which serves on until the
	// annotation ai.crispy-enigma.dev/switch-to names the new one. Default: Never.
	// +kubebuilder:default=Never
	// +optional
	Replacement Replacement `json:"replacement,omitempty"`
}

// MetadataIndex is one property that queries can filter by.
type MetadataIndex struct {
	// property of the vectors' metadata; "a.b" is b within a.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('$') && !self.contains('\"')",message="spec.vectorize.metadataIndexes.property must not begin with '$' or hold a quote"
	Property string `json:"property"`
	// type of its values. Default: string.
	// +kubebuilder:default=string
	// +kubebuilder:validation:Enum=string;number;boolean
	// +optional
	Type string `json:"type,omitempty"`
}

// AIGatewaySettings are an AI Gateway's settings. What isn't named here (guardrails,
// spending limits and what else the dashboard offers) is left as it is.
type AIGatewaySettings struct {
	// cacheTTL that the gateway answers from its cache for; 0s is off. Requests can say
	// otherwise. Default: 0s.
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration('0s') || (duration(self) >= duration('60s') && duration(self) <= duration('720h'))",message="spec.aiGateway.cacheTTL must be 0s (off) or from 60s to 720h"
	// +optional
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`
	// collectLogs lets the gateway keep prompts and answers. Requests can say otherwise.
	// Default: false.
	// +kubebuilder:default=false
	// +optional
	CollectLogs bool `json:"collectLogs,omitempty"`
	// authentication makes the gateway ask for a token with AI Gateway Run. Default: true.
	// +kubebuilder:default=true
	// +optional
	Authentication *bool `json:"authentication,omitempty"`
	// rateLimit of the whole gateway. Default: none.
	// +optional
	RateLimit *GatewayRateLimit `json:"rateLimit,omitempty"`
}

// GatewayRateLimit bounds what passes a gateway.
type GatewayRateLimit struct {
	// requests in an interval.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Requests int32 `json:"requests"`
	// interval: 1s to 24h. Default: 1m.
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="spec.aiGateway.rateLimit.interval must be from 1s to 24h"
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`
	// technique is fixed or sliding. Default: sliding.
	// +kubebuilder:default=sliding
	// +kubebuilder:validation:Enum=fixed;sliding
	// +optional
	Technique string `json:"technique,omitempty"`
}

// APITokenSettings are an API token's settings.
//
// +kubebuilder:validation:XValidation:rule="(has(self.permissions) && self.permissions.size() > 0) || (has(self.buckets) && self.buckets.size() > 0)",message="spec.apiToken lets the token do nothing; name permissions or buckets"
type APITokenSettings struct {
	// permissions for the whole account, by Cloudflare's name, for example "Workers AI
	// Read". Default: none; then buckets must be named.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +listType=set
	// +optional
	Permissions []string `json:"permissions,omitempty"`
	// buckets are the R2 buckets that the token may read and write objects of, by the
	// name of their CloudflareBinding in the same namespace. Default: none.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	// +optional
	Buckets []string `json:"buckets,omitempty"`
	// secretName is the Secret, in the binding's namespace, that holds the token under
	// "token" and its id under "id". Default: the binding's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.apiToken.secretName must be the name of a Secret: lower-case letters, digits, '-' and '.'"
	// +optional
	SecretName string `json:"secretName,omitempty"`
	// revision: raise it to have the token replaced at once. Default: 1.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +optional
	Revision int64 `json:"revision,omitempty"`
	// rotateAfter is the age at which the token is replaced: 1h to 8760h. Default: 2160h
	// (90 days).
	// +kubebuilder:default="2160h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('8760h')",message="spec.apiToken.rotateAfter must be from 1h to 8760h"
	// +optional
	RotateAfter *metav1.Duration `json:"rotateAfter,omitempty"`
	// overlap is how long the token before still works: 1m to 168h. Default: 1h.
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="spec.apiToken.overlap must be from 1m to 168h"
	// +optional
	Overlap *metav1.Duration `json:"overlap,omitempty"`
}

// CloudflareBindingStatus is what the operator has seen and done.
type CloudflareBindingStatus struct {
	// observedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration"`
	// conditions sum up: Ready, Reconciling and Stalled.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// accountID is the account that the thing lies in.
	// +optional
	AccountID string `json:"accountID,omitempty"`
	// id of the thing; for a bucket, index or gateway its name.
	// +optional
	ID string `json:"id,omitempty"`
	// name of the thing.
	// +optional
	Name string `json:"name,omitempty"`
	// adopted tells that the thing was there before the binding.
	// +optional
	Adopted bool `json:"adopted,omitempty"`
	// create is what was begun outside and isn't known to be done: it is written before
	// the call, so that after a crash it is found again and never made twice.
	// +optional
	Create *PendingCreate `json:"create,omitempty"`
	// dimensions and metric of the index that serves.
	// +optional
	Dimensions int32 `json:"dimensions,omitempty"`
	// metric of the index that serves.
	// +optional
	Metric string `json:"metric,omitempty"`
	// next is the index that is to replace the one that serves.
	// +optional
	Next *NextIndex `json:"next,omitempty"`
	// old are things that were replaced and are still to be removed: tokens whose overlap
	// runs, indexes that were switched away from.
	// +listType=map
	// +listMapKey=id
	// +optional
	Old []OldThing `json:"old,omitempty"`
	// token tells of an APIToken.
	// +optional
	Token *TokenStatus `json:"token,omitempty"`
	// observedAt is when the thing was last seen.
	// +optional
	ObservedAt *metav1.Time `json:"observedAt,omitempty"`
}

// PendingCreate is a creation that was begun.
type PendingCreate struct {
	// nonce tells this attempt apart; an API token carries it in its name.
	Nonce string `json:"nonce"`
	// name that the thing gets.
	Name string `json:"name"`
	// at is when it was begun.
	At metav1.Time `json:"at"`
}

// NextIndex is an index that is to replace another.
type NextIndex struct {
	// id of the index, which is its name.
	ID string `json:"id"`
	// dimensions of its vectors.
	Dimensions int32 `json:"dimensions"`
	// metric of its vectors.
	Metric string `json:"metric"`
	// ready tells that it and its metadata indexes exist: what is ingested now goes into
	// both.
	// +optional
	Ready bool `json:"ready,omitempty"`
}

// OldThing is a thing that was replaced.
type OldThing struct {
	// id of the thing.
	ID string `json:"id"`
	// removeAfter is when it is removed.
	RemoveAfter metav1.Time `json:"removeAfter"`
}

// TokenStatus tells of an API token.
type TokenStatus struct {
	// secretName is the Secret that holds it.
	SecretName string `json:"secretName"`
	// revision of the spec that it was made for.
	// +optional
	Revision int64 `json:"revision,omitempty"`
	// policyHash is a digest of the permissions that it was made with.
	// +optional
	PolicyHash string `json:"policyHash,omitempty"`
	// createdAt is when it was made.
	// +optional
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`
}
