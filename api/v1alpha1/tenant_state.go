package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

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
