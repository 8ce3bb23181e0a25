package resources

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1ac "sigs.k8s.io/gateway-api/applyconfiguration/apis/v1"
)

// httpRoute attaches the Tenant's hosts to the Gateway that it names; nil if it names
// none, holds no host, or the cluster has no Gateway API. A request has no time limit: a
// gateway's default would cut streams.
func httpRoute(in Inputs) *gatewayv1ac.HTTPRouteApplyConfiguration {
	g := in.Tenant.Spec.Exposure.Gateway
	if g == nil || len(in.Hosts) == 0 || !in.Cluster.GatewayAPI {
		return nil
	}
	name := NamesOf(in.Tenant.Name).Base
	parent := gatewayv1ac.ParentReference().
		WithGroup(gatewayv1.GroupName).
		WithKind("Gateway").
		WithName(gatewayv1.ObjectName(g.Name))
	if g.Namespace != "" {
		parent.WithNamespace(gatewayv1.Namespace(g.Namespace))
	}
	if g.SectionName != "" {
		parent.WithSectionName(gatewayv1.SectionName(g.SectionName))
	}
	hosts := make([]gatewayv1.Hostname, len(in.Hosts))
	for i, h := range in.Hosts {
		hosts[i] = gatewayv1.Hostname(h)
	}
	return gatewayv1ac.HTTPRoute(name, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithSpec(gatewayv1ac.HTTPRouteSpec().
			WithParentRefs(parent).
			WithHostnames(hosts...).
			WithRules(gatewayv1ac.HTTPRouteRule().
				WithMatches(gatewayv1ac.HTTPRouteMatch().
					WithPath(gatewayv1ac.HTTPPathMatch().
						WithType(gatewayv1.PathMatchPathPrefix).WithValue("/"))).
				WithBackendRefs(gatewayv1ac.HTTPBackendRef().
					WithGroup("").WithKind("Service").
					WithName(gatewayv1.ObjectName(name)).WithPort(ServicePort).WithWeight(1)).
				WithTimeouts(gatewayv1ac.HTTPRouteTimeouts().WithRequest("0s"))))
}
