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
//
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.maxLimits) || !has(self.limits.perMinute) || !has(self.maxLimits.perMinute) || self.limits.perMinute <= self.maxLimits.perMinute",message="spec.limits.perMinute must not exceed spec.maxLimits.perMinute: every tenant that names none would be refused"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.maxLimits) || !has(self.limits.burst) || !has(self.maxLimits.burst) || self.limits.burst <= self.maxLimits.burst",message="spec.limits.burst must not exceed spec.maxLimits.burst: every tenant that names none would be refused"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.maxLimits) || !has(self.limits.dailyTokens) || !has(self.maxLimits.dailyTokens) || self.limits.dailyTokens <= self.maxLimits.dailyTokens",message="spec.limits.dailyTokens must not exceed spec.maxLimits.dailyTokens: every tenant that names none would be refused"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.maxLimits) || !has(self.limits.monthlyTokens) || !has(self.maxLimits.monthlyTokens) || self.limits.monthlyTokens <= self.maxLimits.monthlyTokens",message="spec.limits.monthlyTokens must not exceed spec.maxLimits.monthlyTokens: every tenant that names none would be refused"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.maxLimits) || !has(self.limits.bodyBytes) || !has(self.maxLimits.bodyBytes) || quantity(string(self.limits.bodyBytes)).compareTo(quantity(string(self.maxLimits.bodyBytes))) <= 0",message="spec.limits.bodyBytes must not exceed spec.maxLimits.bodyBytes: every tenant that names none would be refused"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.maxLimits) || !has(self.limits.passages) || !has(self.maxLimits.passages) || self.limits.passages <= self.maxLimits.passages",message="spec.limits.passages must not exceed spec.maxLimits.passages: every tenant that names none would be refused"
type TenantClassSpec struct {
	// default makes this the class of Tenants that name none. If several are, the
	// oldest counts. Default: false.
	// +kubebuilder:default=false
	// +optional
	Default bool `json:"default,omitempty"`
	// image of the runtime, best by digest. Default: the operator's own
	// --runtime-image.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9][-a-zA-Z0-9._:/@+]*$')",message="spec.image must be an image reference, for example ghcr.io/crispy-enigma/runtime@sha256:…"
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
	// memory and a limit of 256Mi memory, or 768Mi with spec.documents. What a class
	// names holds for tenants with documents too, and reading a PDF takes half of it, at
	// least 320Mi.
	// +kubebuilder:validation:XValidation:rule="!has(self.claims) || self.claims.size() == 0",message="spec.resources.claims must be empty: the tenant's pods claim no devices; remove it"
	// +kubebuilder:validation:XValidation:rule="!has(self.requests) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.requests) || quantity(string(self.requests[r])).compareTo(quantity('0')) >= 0)",message="spec.resources.requests must not be negative"
	// +kubebuilder:validation:XValidation:rule="!has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.limits) || quantity(string(self.limits[r])).compareTo(quantity('0')) > 0)",message="spec.resources.limits must be above 0"
	// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !('memory' in self.limits) || quantity(string(self.limits['memory'])).compareTo(quantity('32Mi')) >= 0",message="spec.resources.limits.memory must be at least 32Mi: the runtime needs so much to start; a bare number is bytes, for example write 256Mi"
	// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.requests) || !(r in self.limits) || quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)",message="spec.resources.requests must not exceed the limits of the same name"
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// maxResources are the largest limits a tenant may ask for, by resource name, and
	// the limits of tenants that name none. Default: no bound.
	// +kubebuilder:validation:XValidation:rule="['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self) || quantity(string(self[r])).compareTo(quantity('0')) > 0)",message="spec.maxResources must be above 0"
	// +optional
	MaxResources corev1.ResourceList `json:"maxResources,omitempty"`
	// maxReplicas is the most pods a tenant may ask for. Default: no bound.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// limits of tenants that name none. Default: 60 requests per minute and caller.
	// +optional
	Limits ClassLimits `json:"limits,omitempty"`
	// maxLimits are the largest limits a tenant may ask for; tenants that name none are
	// held to them as well. Default: no bounds.
	// +optional
	MaxLimits ClassLimits `json:"maxLimits,omitempty"`
	// models of the class.
	// +optional
	Models ClassModels `json:"models,omitempty"`
	// allowPrivateTools lets tenants have tools with private: true, which reach services
	// of the cluster and its networks. Default: false; without any class they may.
	// +kubebuilder:default=false
	// +optional
	AllowPrivateTools bool `json:"allowPrivateTools,omitempty"`
	// prices of models, for budgets in money. At most 256. Default: none, and such
	// budgets count nothing.
	// +kubebuilder:validation:MaxItems=256
	// +listType=map
	// +listMapKey=model
	// +optional
	Prices []ModelPrice `json:"prices,omitempty"`
	// hostSuffixes says which hosts the Tenants of which namespaces may claim. At most
	// 64. Default: every host is allowed.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	HostSuffixes []HostSuffix `json:"hostSuffixes,omitempty"`
	// state of tenants that name none. Default: embedded on a volume of 1Gi.
	// +optional
	State *State `json:"state,omitempty"`
	// stateServers are servers that Tenants may keep their state on without a Secret of
	// their own. Default: none.
	// +optional
	StateServers StateServers `json:"stateServers,omitempty"`
	// deletionPolicy of tenants that name none. Default: Retain.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// ClassLimits are limits on requests and tokens.
type ClassLimits struct {
	// perMinute is the number of requests per caller and window. Default: none.
	// +kubebuilder:validation:Minimum=1
	// +optional
	PerMinute *int32 `json:"perMinute,omitempty"`
	// burst is the number of requests per caller and burst window. Default: none.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Burst *int32 `json:"burst,omitempty"`
	// dailyTokens are the tokens per tenant and UTC day. Default: none.
	// +kubebuilder:validation:Minimum=1
	// +optional
	DailyTokens *int64 `json:"dailyTokens,omitempty"`
	// monthlyTokens are the tokens per tenant and UTC month. Default: none.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MonthlyTokens *int64 `json:"monthlyTokens,omitempty"`
	// bodyBytes is the largest request body, from 1Ki to 64Mi. Default: none.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('64Mi')) <= 0",message="bodyBytes must be from 1Ki to 64Mi"
	// +optional
	BodyBytes *resource.Quantity `json:"bodyBytes,omitempty"`
	// passages is how many passages of documents a tenant may keep. Default: none.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2000000
	// +optional
	Passages *int32 `json:"passages,omitempty"`
}

// ClassModels are the models of a class.
//
// +kubebuilder:validation:XValidation:rule="!has(self.chat) || !has(self.allowed) || self.allowed.size() == 0 || self.chat in self.allowed",message="spec.models.allowed must hold spec.models.chat: every tenant that names no model would be refused"
type ClassModels struct {
	// chat is the chat model of tenants that name none. Default: none.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="spec.models.chat must be a model's name without spaces, in ASCII"
	// +optional
	Chat string `json:"chat,omitempty"`
	// allowed are the models that tenants may use. At most 256. Default: all are
	// allowed.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[!-~]+$')",message="spec.models.allowed must hold models' names without spaces, in ASCII"
	// +listType=set
	// +optional
	Allowed []string `json:"allowed,omitempty"`
}

// ModelPrice is what a model costs, in US dollars per 1,000,000 tokens.
type ModelPrice struct {
	// model as its server names it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="spec.prices[].model must be a model's name without spaces, in ASCII"
	Model string `json:"model"`
	// input is the price of 1,000,000 input tokens in US dollars, for example "0.045".
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('1M')) <= 0",message="spec.prices[].input must be from 0 to 1000000 US dollars"
	Input resource.Quantity `json:"input"`
	// output is the price of 1,000,000 output tokens in US dollars, for example "0.384".
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('1M')) <= 0",message="spec.prices[].output must be from 0 to 1000000 US dollars"
	Output resource.Quantity `json:"output"`
}

// HostSuffix lets namespaces claim hosts.
type HostSuffix struct {
	// suffix of the hosts, for example ".apps.example.com"; a host equals it without
	// its leading dot, or ends with it.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[.]?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="spec.hostSuffixes[].suffix must be a domain in lower case, for example .apps.example.com"
	Suffix string `json:"suffix"`
	// namespaceSelector picks the namespaces by their labels. Default: all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}
