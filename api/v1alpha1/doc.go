// Package v1alpha1 is what the operator promises: the resources of the API group
// ai.crispy-enigma.dev, their rules and their conditions.
//
// Every rule that the schema can express is in the schema, with a message that
// names the field and the mend; the comments are the reference that `kubectl
// explain` prints. Nothing here acts.
//
// +kubebuilder:object:generate=true
// +groupName=ai.crispy-enigma.dev
package v1alpha1
