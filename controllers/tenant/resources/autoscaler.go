package resources

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	autoscalingv2ac "k8s.io/client-go/applyconfigurations/autoscaling/v2"
)

// scaleDownSeconds of calm before pods are taken away: open streams are cut by no other
// means than the drain.
const scaleDownSeconds = 300

// autoscaler is nil unless the Tenant asks for one. While suspended there is none: it
// would not scale from zero, and must not scale back up.
func autoscaler(in Inputs) *autoscalingv2ac.HorizontalPodAutoscalerApplyConfiguration {
	a := in.Effective.Autoscaling
	if a == nil {
		return nil
	}
	name := NamesOf(in.Tenant.Name).Base
	return autoscalingv2ac.HorizontalPodAutoscaler(name, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithSpec(autoscalingv2ac.HorizontalPodAutoscalerSpec().
			WithScaleTargetRef(autoscalingv2ac.CrossVersionObjectReference().
				WithAPIVersion("apps/v1").WithKind("Deployment").WithName(name)).
			WithMinReplicas(a.Min).
			WithMaxReplicas(a.Max).
			WithMetrics(autoscalingv2ac.MetricSpec().
				WithType(autoscalingv2.ResourceMetricSourceType).
				WithResource(autoscalingv2ac.ResourceMetricSource().
					WithName(corev1.ResourceCPU).
					WithTarget(autoscalingv2ac.MetricTarget().
						WithType(autoscalingv2.UtilizationMetricType).
						WithAverageUtilization(a.Target)))).
			WithBehavior(autoscalingv2ac.HorizontalPodAutoscalerBehavior().
				WithScaleDown(autoscalingv2ac.HPAScalingRules().
					WithStabilizationWindowSeconds(scaleDownSeconds))))
}
