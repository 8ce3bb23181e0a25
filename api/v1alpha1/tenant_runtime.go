package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Runtime shapes the tenant's pods.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.replicas) && has(self.autoscaling))",message="spec.runtime takes one of replicas and autoscaling, not both"
type Runtime struct {
	// replicas is the number of pods. More than one needs a state store that replicas
	// share. Default: 1.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// autoscaling lets a HorizontalPodAutoscaler choose the number of pods. It needs a
	// state store that replicas share. Default: off.
	// +optional
	Autoscaling *Autoscaling `json:"autoscaling,omitempty"`
	// resources of the pod's container. Default: the class's, else requests of 50m CPU
	// and 64Mi memory and a limit of 256Mi memory.
	// +kubebuilder:validation:XValidation:rule="!has(self.claims) || self.claims.size() == 0",message="spec.runtime.resources.claims must be empty: the tenant's pods claim no devices; remove it"
	// +kubebuilder:validation:XValidation:rule="!has(self.requests) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.requests) || quantity(string(self.requests[r])).compareTo(quantity('0')) >= 0)",message="spec.runtime.resources.requests must not be negative"
	// +kubebuilder:validation:XValidation:rule="!has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.limits) || quantity(string(self.limits[r])).compareTo(quantity('0')) > 0)",message="spec.runtime.resources.limits must be above 0"
	// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !('memory' in self.limits) || quantity(string(self.limits['memory'])).compareTo(quantity('32Mi')) >= 0",message="spec.runtime.resources.limits.memory must be at least 32Mi: the runtime needs so much to start; a bare number is bytes, for example write 256Mi"
	// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.requests) || !(r in self.limits) || quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)",message="spec.runtime.resources.requests must not exceed the limits of the same name"
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// nodeSelector restricts the nodes that the pods run on. Default: none.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && k.matches('^([a-z0-9][-.a-z0-9]*/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$'))",message="spec.runtime.nodeSelector must hold node labels, named as in kubernetes.io/arch"
	// +optional
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`
	// tolerations let the pods run on tainted nodes. Default: none.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(t, !has(t.operator) || t.operator in ['Equal', 'Exists'])",message="spec.runtime.tolerations[].operator must be Equal or Exists"
	// +kubebuilder:validation:XValidation:rule="self.all(t, !has(t.operator) || t.operator != 'Exists' || !has(t.value))",message="spec.runtime.tolerations[].value must be left out with operator Exists"
	// +kubebuilder:validation:XValidation:rule="self.all(t, has(t.key) || (has(t.operator) && t.operator == 'Exists'))",message="spec.runtime.tolerations[].key is required, but with operator Exists, which then tolerates every taint"
	// +kubebuilder:validation:XValidation:rule="self.all(t, !has(t.effect) || t.effect in ['NoSchedule', 'PreferNoSchedule', 'NoExecute'])",message="spec.runtime.tolerations[].effect must be NoSchedule, PreferNoSchedule or NoExecute; left out it is any"
	// +kubebuilder:validation:XValidation:rule="self.all(t, !has(t.tolerationSeconds) || (has(t.effect) && t.effect == 'NoExecute'))",message="spec.runtime.tolerations[].tolerationSeconds is only for effect NoExecute"
	// +listType=atomic
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// priorityClassName of the pods. Default: the cluster's default.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.runtime.priorityClassName must be the name of a PriorityClass: lower-case letters, digits, '-' and '.'"
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// LabelValue is the value of a label: at most 63 letters, digits, '-', '_' and '.',
// beginning and ending with a letter or digit; or empty.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`
type LabelValue string

// Autoscaling bounds the number of pods.
//
// +kubebuilder:validation:XValidation:rule="self.min <= self.max",message="spec.runtime.autoscaling.min must not exceed max"
type Autoscaling struct {
	// min is the fewest pods. Default: 1.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	Min int32 `json:"min,omitempty"`
	// max is the most pods.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Max int32 `json:"max"`
	// target is the mean CPU use to hold, in percent of the request. Default: 70.
	// +kubebuilder:default=70
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	Target int32 `json:"target,omitempty"`
}

// TenantStatus is what the operator has seen and done.
type TenantStatus struct {
	// observedGeneration is the metadata.generation that this status is about; -1
	// before the operator has seen the Tenant.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready sums up; Reconciling and Stalled say whether waiting helps;
	// CredentialsReady, BindingsReady, WorkloadReady, RouteAccepted, ModelReady, BudgetOK,
	// StatePersistent, StateStoreReachable, DocumentsReady and ToolsReady say what.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// tenantID in force.
	// +optional
	TenantID string `json:"tenantID,omitempty"`
	// class in force, empty for the operator's built-in defaults.
	// +optional
	Class string `json:"class,omitempty"`
	// endpoint is the address of the API: its first host if it is exposed, else its
	// Service.
	// +optional
	Endpoint string `json:"endpoint,omitempty"`
	// model is the default chat model in force.
	// +optional
	Model string `json:"model,omitempty"`
	// image that the pods run.
	// +optional
	Image string `json:"image,omitempty"`
	// state is Persistent, Ephemeral or Shared (kept on a server), as decided when the
	// Tenant was first seen.
	// +optional
	State StateKind `json:"state,omitempty"`
	// configDigest of the document that was written for the pods.
	// +optional
	ConfigDigest string `json:"configDigest,omitempty"`
	// keysSecret is the name of the Secret with the generated keys, one entry a key.
	// +optional
	KeysSecret string `json:"keysSecret,omitempty"`
	// stateDriver is embedded, memory, valkey or postgres, as decided when the Tenant was
	// first seen.
	// +optional
	StateDriver string `json:"stateDriver,omitempty"`
	// bindings are the Cloudflare things that the tenant uses.
	// +listType=map
	// +listMapKey=role
	// +optional
	Bindings []TenantBinding `json:"bindings,omitempty"`
	// usage as the pods told it, about a minute old.
	// +optional
	Usage *UsageStatus `json:"usage,omitempty"`
	// documents as the pods told of them, about a minute old.
	// +optional
	Documents *DocumentsStatus `json:"documents,omitempty"`
}

// DocumentsStatus is what the tenant can search.
type DocumentsStatus struct {
	// documents is how many there are.
	// +optional
	Documents int64 `json:"documents,omitempty"`
	// passages is how many they were cut into.
	// +optional
	Passages int64 `json:"passages,omitempty"`
	// openJobs is how many documents wait to be taken in.
	// +optional
	OpenJobs int64 `json:"openJobs,omitempty"`
	// model that makes the vectors.
	// +optional
	Model string `json:"model,omitempty"`
}

// StateKind says whether the tenant's data outlives its pod.
type StateKind string

// State kinds.
const (
	StatePersistent StateKind = "Persistent"
	StateEphemeral  StateKind = "Ephemeral"
	StateShared     StateKind = "Shared"
)

// UsageStatus is what the tenant has used.
type UsageStatus struct {
	// tokensToday, input and output together, of the current UTC day.
	// +optional
	TokensToday int64 `json:"tokensToday,omitempty"`
	// tokensThisMonth, input and output together, of the current UTC month.
	// +optional
	TokensThisMonth int64 `json:"tokensThisMonth,omitempty"`
	// microUSDThisMonth is what the month has cost, in millionths of a US dollar.
	// +optional
	MicroUSDThisMonth int64 `json:"microUSDThisMonth,omitempty"`
	// observedAt is when the pods told.
	// +optional
	ObservedAt *metav1.Time `json:"observedAt,omitempty"`
}
