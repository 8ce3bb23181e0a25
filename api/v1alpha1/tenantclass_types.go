package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// TenantClass is the platform's word on tenants: what they get when they don't say,
// and what they may not exceed.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=aitc,categories=enigma
// +kubebuilder:printcolumn:name="Default",type=boolean,JSONPath=`.spec.default`
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type TenantClass struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec holds the defaults and bounds.
	// +kubebuilder:default={}
	// +optional
	Spec TenantClassSpec `json:"spec,omitempty"`
}

// TenantClassList is a list of TenantClasses.
//
// +kubebuilder:object:root=true
type TenantClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TenantClass `json:"items"`
}

// TenantClassSpec holds the defaults and bounds.
type TenantClassSpec struct {
	// default makes this the class of Tenants that name none. If several are, the
	// oldest counts. Default: false.
	// +kubebuilder:default=false
	// +optional
	Default bool `json:"default,omitempty"`
	// image of the runtime, best by digest. Default: the operator's own
	// --runtime-image.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Image string `json:"image,omitempty"`
	// imagePullPolicy of the runtime. Default: IfNotPresent.
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	// +optional
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	// podPatch is merged over the tenant's pod template (strategic merge). The result
	// must pass the restricted Pod Security Standard. Default: none.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	// +optional
	PodPatch *runtime.RawExtension `json:"podPatch,omitempty"`
	// resources of tenants that name none. Default: requests of 50m CPU and 64Mi
	// memory and a limit of 256Mi memory.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// maxResources are the largest limits a tenant may ask for, by resource name.
	// Default: no bound.
	// +optional
	MaxResources corev1.ResourceList `json:"maxResources,omitempty"`
	// maxReplicas is the most pods a tenant may ask for. Default: no bound.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// limits of tenants that name none.
	// +optional
	Limits ClassLimits `json:"limits,omitempty"`
	// maxLimits are the largest limits a tenant may ask for. Default: no bounds.
	// +optional
	MaxLimits ClassLimits `json:"maxLimits,omitempty"`
	// models of the class.
	// +optional
	Models ClassModels `json:"models,omitempty"`
	// prices of models, for budgets in money. At most 256.
	// +kubebuilder:validation:MaxItems=256
	// +listType=map
	// +listMapKey=model
	// +optional
	Prices []ModelPrice `json:"prices,omitempty"`
	// hostSuffixes says which hosts the Tenants of which namespaces may claim. Empty
	// allows every host. At most 64.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	HostSuffixes []HostSuffix `json:"hostSuffixes,omitempty"`
	// state of tenants that name none. Default: embedded on a volume of 1Gi.
	// +optional
	State *State `json:"state,omitempty"`
	// deletionPolicy of tenants that name none. Default: Retain.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// ClassLimits are limits on requests and tokens.
type ClassLimits struct {
	// perMinute is the number of requests per caller and window.
	// +kubebuilder:validation:Minimum=1
	// +optional
	PerMinute *int32 `json:"perMinute,omitempty"`
	// burst is the number of requests per caller and burst window.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Burst *int32 `json:"burst,omitempty"`
	// dailyTokens per tenant and UTC day.
	// +kubebuilder:validation:Minimum=1
	// +optional
	DailyTokens *int64 `json:"dailyTokens,omitempty"`
	// monthlyTokens per tenant and UTC month.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MonthlyTokens *int64 `json:"monthlyTokens,omitempty"`
	// bodyBytes is the largest request body.
	// +optional
	BodyBytes *resource.Quantity `json:"bodyBytes,omitempty"`
}

// ClassModels are the models of a class.
type ClassModels struct {
	// chat is the chat model of tenants that name none. Default: none.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Chat string `json:"chat,omitempty"`
	// allowed are the models that tenants may use. Empty allows all. At most 256.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +listType=set
	// +optional
	Allowed []string `json:"allowed,omitempty"`
}

// ModelPrice is what a model costs, in US dollars per 1,000,000 tokens.
type ModelPrice struct {
	// model as its server names it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Model string `json:"model"`
	// input is the price of 1,000,000 input tokens in US dollars, for example "0.045".
	Input resource.Quantity `json:"input"`
	// output is the price of 1,000,000 output tokens in US dollars, for example "0.384".
	Output resource.Quantity `json:"output"`
}

// HostSuffix lets namespaces claim hosts.
type HostSuffix struct {
	// suffix of the hosts, for example ".apps.example.com"; a host equals it without
	// its leading dot, or ends with it.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[.]?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="spec.hostSuffixes[].suffix must be a domain in lower case, for example .apps.example.com"
	Suffix string `json:"suffix"`
	// namespaceSelector picks the namespaces by their labels. Default: all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}
