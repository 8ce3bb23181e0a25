package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CloudflareAccount is a Cloudflare account that Tenants may use: its id and where
// its API token lies.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=cfa,categories=enigma
// +kubebuilder:printcolumn:name="Account",type=string,JSONPath=`.spec.accountID`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type CloudflareAccount struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says which account, and how it is reached.
	Spec CloudflareAccountSpec `json:"spec"`
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
type CloudflareAccountSpec struct {
	// accountID is the account's id: 32 hexadecimal digits. It can't change.
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{32}$')",message="spec.accountID must be 32 lower-case hexadecimal digits, as the dashboard shows it"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.accountID can't change: Tenants own things in that account; make a new CloudflareAccount"
	// +kubebuilder:validation:MaxLength=32
	AccountID string `json:"accountID"`
	// credentials say where the API token lies.
	Credentials AccountCredentials `json:"credentials"`
	// gatewayID is the AI Gateway that Workers AI is called through; Cloudflare makes
	// "default" at its first call. Default: default.
	// +kubebuilder:default=default
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9_]+(-[a-z0-9_]+)*$')",message="spec.gatewayID must be lower-case letters, digits, '_' and single '-'"
	// +optional
	GatewayID string `json:"gatewayID,omitempty"`
	// endpoint replaces Cloudflare's address of AI Gateway, for a proxy of your own. It
	// receives the account's token. Default: Cloudflare's.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname().size() > 0 && !self.contains('@') && !self.contains('?') && !self.contains('#')",message="spec.endpoint must be an http or https address without user name, query or fragment"
	// +optional
	Endpoint string `json:"endpoint,omitempty"`
	// allowedNamespaces says whose Tenants may use the account. Default: those of its
	// own namespace.
	// +kubebuilder:default={from: Same}
	// +optional
	AllowedNamespaces AllowedNamespaces `json:"allowedNamespaces,omitempty"`
}

// AccountCredentials say where the API token lies.
type AccountCredentials struct {
	// secretRef is the Secret with the API token, in the account's namespace. The token
	// needs the permissions Workers AI Read and AI Gateway Run.
	SecretRef SecretKeyReference `json:"secretRef"`
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
