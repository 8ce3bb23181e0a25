package resources

import (
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
)

// podDisruptionBudget lets drains take one pod at a time; nil for a Tenant of one pod,
// which it would only make undrainable.
func podDisruptionBudget(in Inputs) *policyv1ac.PodDisruptionBudgetApplyConfiguration {
	e := in.Effective
	if e.Replicas < 2 && (e.Autoscaling == nil || e.Autoscaling.Max < 2) {
		return nil
	}
	return policyv1ac.PodDisruptionBudget(NamesOf(in.Tenant.Name).Base, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(Selector(in.Tenant.Name))))
}
