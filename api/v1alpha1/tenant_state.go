package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// State is where the tenant's data is kept.
//
// +kubebuilder:validation:XValidation:rule="[has(self.embedded), has(self.valkey), has(self.postgres)].filter(x, x).size() <= 1 || (has(self.limitsOn) && has(self.valkey) && has(self.postgres) && !has(self.embedded))",message="spec.state names more than one store; keep one of embedded, valkey and postgres, or set limitsOn: valkey to keep limits on valkey and all else on postgres"
// +kubebuilder:validation:XValidation:rule="!has(self.limitsOn) || (has(self.valkey) && has(self.postgres))",message="spec.state.limitsOn: valkey needs both spec.state.valkey and spec.state.postgres"
type State struct {
	// embedded keeps it beside the one pod that serves the tenant. Default: yes.
	// +optional
	Embedded *EmbeddedState `json:"embedded,omitempty"`
	// valkey keeps it on a Valkey or Redis server, 7.0 or newer, which many replicas
	// share.
	// +optional
	Valkey *SharedState `json:"valkey,omitempty"`
	// postgres keeps it in a PostgreSQL database, 15 or newer, which many replicas share.
	// +optional
	Postgres *SharedState `json:"postgres,omitempty"`
	// limitsOn: valkey keeps rate windows and budgets there, where all else is on
	// postgres. Default: with the rest.
	// +kubebuilder:validation:Enum=valkey
	// +optional
	LimitsOn string `json:"limitsOn,omitempty"`
}

// SharedState is a server that state is kept on.
type SharedState struct {
	// secretRef is a Secret in the same namespace with the server's address and login
	// under "url" (redis://, rediss:// or postgres://) and, if its certificate isn't
	// signed by a public authority, that authority's under "ca.crt". Default: the class's
	// server, where the operator makes a login that can reach this tenant's data alone.
	// +optional
	SecretRef *StateSecretReference `json:"secretRef,omitempty"`
}

// StateSecretReference names the Secret of a state server.
type StateSecretReference struct {
	// name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="secretRef.name must be the name of a Secret: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
}

// StateServers are the servers that a class offers.
type StateServers struct {
	// valkey is a Valkey or Redis server, 7.0 or newer.
	// +optional
	Valkey *StateServer `json:"valkey,omitempty"`
	// postgres is a PostgreSQL database, 15 or newer.
	// +optional
	Postgres *StateServer `json:"postgres,omitempty"`
}

// StateServer is a server on which the operator makes a login for each tenant.
type StateServer struct {
	// adminSecretRef is the Secret with the address and a login that may make others,
	// under "url", and the certificates under "ca.crt". It is read by the operator alone.
	AdminSecretRef AdminSecretReference `json:"adminSecretRef"`
	// rotateAfter is the age at which a tenant's password is replaced: 1h to 8760h.
	// Default: 2160h (90 days).
	// +kubebuilder:default="2160h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('8760h')",message="spec.stateServers rotateAfter must be from 1h to 8760h"
	// +optional
	RotateAfter *metav1.Duration `json:"rotateAfter,omitempty"`
}

// AdminSecretReference names a Secret in any namespace that the operator reads.
type AdminSecretReference struct {
	// namespace of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="adminSecretRef.namespace must be the name of a namespace: lower-case letters, digits and '-'"
	Namespace string `json:"namespace"`
	// name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="adminSecretRef.name must be the name of a Secret: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
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
