package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CloudflareAccount is a Cloudflare account that Tenants and CloudflareBindings may use:
// its id, where its API token lies and how much of its API the operator may use.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cfa,categories=enigma
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Account",type=string,JSONPath=`.spec.accountID`
// +kubebuilder:printcolumn:name="Actuation",type=string,JSONPath=`.spec.actuation`
// +kubebuilder:printcolumn:name="Owned",type=integer,JSONPath=`.status.owned.total`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CloudflareAccount struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says which account, and how it is reached.
	Spec CloudflareAccountSpec `json:"spec"`
	// status is what the operator has seen of the account; it is written by the operator
	// alone.
	// +kubebuilder:default:={"observedGeneration":-1}
	// +optional
	Status CloudflareAccountStatus `json:"status,omitempty"`
}

// CloudflareAccountList is a list of CloudflareAccounts.
//
// +kubebuilder:object:root=true
type CloudflareAccountList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CloudflareAccount `json:"items"`
}

// CloudflareAccountSpec says which account, and how it is reached.
//
// +kubebuilder:validation:XValidation:rule="has(self.ownerID) == has(oldSelf.ownerID) && (!has(self.ownerID) || self.ownerID == oldSelf.ownerID)",message="spec.ownerID can't change: what the operator made in the account carries it and would be a stranger's; make a new CloudflareAccount"
type CloudflareAccountSpec struct {
	// accountID is the account's id: 32 hexadecimal digits. It can't change.
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{32}$')",message="spec.accountID must be 32 lower-case hexadecimal digits, as the dashboard shows it"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.accountID can't change: Tenants own things in that account; make a new CloudflareAccount"
	// +kubebuilder:validation:MaxLength=32
	AccountID string `json:"accountID"`
	// credentials say where the API token lies.
	Credentials AccountCredentials `json:"credentials"`
	// gatewayID is an AI Gateway of yours that Workers AI is called through; Cloudflare
	// makes "default" at its first call. Default: the operator makes one for the whole
	// account.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9_]+(-[a-z0-9_]+)*$')",message="spec.gatewayID must be lower-case letters, digits, '_' and single '-'"
	// +optional
	GatewayID string `json:"gatewayID,omitempty"`
	// endpoint replaces Cloudflare's address of AI Gateway, for a proxy of your own. It
	// receives the Tenants' tokens. Default: Cloudflare's.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname().size() > 0 && !self.contains('@') && !self.contains('?') && !self.contains('#')",message="spec.endpoint must be an http or https address without user name, query or fragment"
	// +optional
	Endpoint string `json:"endpoint,omitempty"`
	// apiEndpoint replaces https://api.cloudflare.com/client/v4, for a proxy of your own.
	// It receives the account's token. Default: Cloudflare's.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname().size() > 0 && !self.contains('@') && !self.contains('?') && !self.contains('#')",message="spec.apiEndpoint must be an http or https address without user name, query or fragment"
	// +optional
	APIEndpoint string `json:"apiEndpoint,omitempty"`
	// s3Endpoint replaces https://<accountID>.r2.cloudflarestorage.com. Default:
	// Cloudflare's.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname().size() > 0 && !self.contains('@') && !self.contains('?') && !self.contains('#')",message="spec.s3Endpoint must be an http or https address without user name, query or fragment"
	// +optional
	S3Endpoint string `json:"s3Endpoint,omitempty"`
	// tenantTokens says what Tenants call Cloudflare with: Mint gives each an API token of
	// its own, with no more permissions than it needs; Share gives all of them the
	// account's token, which can do all that it can. Default: Mint.
	// +kubebuilder:default=Mint
	// +optional
	TenantTokens TenantTokens `json:"tenantTokens,omitempty"`
	// apiBudget is how much of Cloudflare's API the operator may use with the account's
	// token.
	// +kubebuilder:default={requests: 1200, window: "5m", reservePercent: 20}
	// +optional
	APIBudget APIBudget `json:"apiBudget,omitempty"`
	// actuation is Reconciling, Paused (nothing is called, what serves goes on serving) or
	// DryRun (the account is read, and what would be changed is told in conditions).
	// Default: Reconciling.
	// +kubebuilder:default=Reconciling
	// +optional
	Actuation Actuation `json:"actuation,omitempty"`
	// ownerID marks what the operator makes in this account as this cluster's: things
	// that carry another mark are never touched. Default: the operator's --owner-id. It
	// can't change.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.ownerID must be lower-case letters, digits and '-', with a letter or digit at both ends"
	// +optional
	OwnerID string `json:"ownerID,omitempty"`
	// allowedNamespaces says whose Tenants may use the account. Default: those of its
	// own namespace.
	// +kubebuilder:default={from: Same}
	// +optional
	AllowedNamespaces AllowedNamespaces `json:"allowedNamespaces,omitempty"`
}

// AccountCredentials say where the API token lies.
type AccountCredentials struct {
	// secretRef is the Secret with the API token, in the account's namespace. It needs
	// the permissions of what the operator shall make; those that it lacks are named in
	// status.missingPermissions. With tenantTokens: Share it also needs Workers AI Read
	// and AI Gateway Run.
	SecretRef SecretKeyReference `json:"secretRef"`
	// previousSecretRef is the Secret with the token before, while tokens are changed: it
	// is used where the new one is refused as unknown. Remove it once status.tokenID is
	// the new token's. Default: none.
	// +optional
	PreviousSecretRef *SecretKeyReference `json:"previousSecretRef,omitempty"`
}

// TenantTokens says what Tenants call Cloudflare with.
//
// +kubebuilder:validation:Enum=Mint;Share
type TenantTokens string

// What Tenants call Cloudflare with.
const (
	TokensMint  TenantTokens = "Mint"
	TokensShare TenantTokens = "Share"
)

// Actuation says what the operator may do in the account.
//
// +kubebuilder:validation:Enum=Reconciling;Paused;DryRun
type Actuation string

// What the operator may do in the account.
const (
	ActuationReconciling Actuation = "Reconciling"
	ActuationPaused      Actuation = "Paused"
	ActuationDryRun      Actuation = "DryRun"
)

// APIBudget is how much of Cloudflare's API the operator may use.
type APIBudget struct {
	// requests in any window. Cloudflare allows a token 1200 in 5 minutes and blocks it
	// for as long beyond that. Default: 1200.
	// +kubebuilder:default=1200
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Requests int32 `json:"requests,omitempty"`
	// window of requests. Default: 5m.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="spec.apiBudget.window must be from 1s to 1h"
	// +optional
	Window *metav1.Duration `json:"window,omitempty"`
	// reservePercent of requests is left to others who use the token. Default: 20.
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=90
	// +optional
	ReservePercent *int32 `json:"reservePercent,omitempty"`
}

// AllowedFrom says whose Tenants may use an account.
//
// +kubebuilder:validation:Enum=Same;Selector;All
type AllowedFrom string

// Whose Tenants may use an account.
const (
	AllowSame     AllowedFrom = "Same"
	AllowSelector AllowedFrom = "Selector"
	AllowAll      AllowedFrom = "All"
)

// AllowedNamespaces says whose Tenants may use an account.
//
// +kubebuilder:validation:XValidation:rule="(self.from == 'Selector') == has(self.selector)",message="spec.allowedNamespaces.selector goes with from: Selector, and only with it"
type AllowedNamespaces struct {
	// from is Same (the account's namespace), Selector (namespaces with labels) or All.
	// Default: Same.
	// +kubebuilder:default=Same
	// +optional
	From AllowedFrom `json:"from,omitempty"`
	// selector picks namespaces by their labels, with from: Selector.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// CloudflareAccountStatus is what the operator has seen of the account.
type CloudflareAccountStatus struct {
	// observedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration"`
	// conditions sum up: Ready, Reconciling, Stalled, CredentialsReady (the token was
	// verified), PermissionsReady (it may do all that is asked of it) and QuotaOK.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// tokenID is the id of the token that was verified last.
	// +optional
	TokenID string `json:"tokenID,omitempty"`
	// tokenExpiresAt is when it expires; absent if it doesn't.
	// +optional
	TokenExpiresAt *metav1.Time `json:"tokenExpiresAt,omitempty"`
	// verifiedAt is when.
	// +optional
	VerifiedAt *metav1.Time `json:"verifiedAt,omitempty"`
	// missingPermissions are the permissions, by Cloudflare's name, that something asks
	// for and the token lacks.
	// +listType=set
	// +optional
	MissingPermissions []string `json:"missingPermissions,omitempty"`
	// gatewayID is the AI Gateway that Tenants share, once there is one.
	// +optional
	GatewayID string `json:"gatewayID,omitempty"`
	// quotas are how many things of a kind the account holds, whoever made them, and how
	// many it may.
	// +listType=map
	// +listMapKey=type
	// +optional
	Quotas []AccountQuota `json:"quotas,omitempty"`
	// owned counts what the operator made or adopted.
	// +optional
	Owned *AccountOwned `json:"owned,omitempty"`
	// observedAt is when the account was listed last.
	// +optional
	ObservedAt *metav1.Time `json:"observedAt,omitempty"`
}

// AccountQuota is how many things of one kind there are and may be.
type AccountQuota struct {
	// type of the things.
	Type BindingType `json:"type"`
	// used, whoever made them.
	Used int32 `json:"used"`
	// limit that Cloudflare is known to set; absent if it isn't known.
	// +optional
	Limit *int32 `json:"limit,omitempty"`
}

// AccountOwned counts what the operator made or adopted.
type AccountOwned struct {
	// total of all types.
	Total int32 `json:"total"`
	// byType counts each type.
	// +optional
	ByType map[BindingType]int32 `json:"byType,omitempty"`
}
