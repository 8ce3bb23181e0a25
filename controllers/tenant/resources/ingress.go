package resources

import (
	networkingv1 "k8s.io/api/networking/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"
)

// ingress leads the Tenant's hosts to its Service; nil unless it names an ingress class
// and holds a host.
func ingress(in Inputs) *networkingv1ac.IngressApplyConfiguration {
	class := in.Tenant.Spec.Exposure.IngressClassName
	if class == nil || len(in.Hosts) == 0 {
		return nil
	}
	name := NamesOf(in.Tenant.Name).Base
	spec := networkingv1ac.IngressSpec().WithIngressClassName(*class)
	for _, host := range in.Hosts {
		spec.WithRules(networkingv1ac.IngressRule().
			WithHost(host).
			WithHTTP(networkingv1ac.HTTPIngressRuleValue().
				WithPaths(networkingv1ac.HTTPIngressPath().
					WithPath("/").
					WithPathType(networkingv1.PathTypePrefix).
					WithBackend(networkingv1ac.IngressBackend().
						WithService(networkingv1ac.IngressServiceBackend().
							WithName(name).
							WithPort(networkingv1ac.ServiceBackendPort().WithName(portName)))))))
	}
	return networkingv1ac.Ingress(name, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithSpec(spec)
}
