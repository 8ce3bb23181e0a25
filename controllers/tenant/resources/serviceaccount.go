package resources

import (
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// serviceAccount gives the pods a name of their own, and no token: the runtime never
// speaks to the API server.
func serviceAccount(in Inputs) *corev1ac.ServiceAccountApplyConfiguration {
	return corev1ac.ServiceAccount(NamesOf(in.Tenant.Name).Base, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithAutomountServiceAccountToken(false)
}
