package tenant

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// route tells whether the Gateway that the Tenant names took its HTTPRoute. It is read
// live: the kind may not exist, and no watch survives that.
func (r *Reconciler) route(ctx context.Context, o *observed) (*verdict, error) {
	t := o.tenant
	if t.Spec.Exposure.Gateway == nil || len(o.claims.hosts) == 0 {
		t.Unmark(v1alpha1.ConditionRouteAccepted)
		return nil, nil
	}
	v, err := r.routeVerdict(ctx, o)
	if err != nil {
		return nil, err
	}
	if v == nil {
		t.MarkTrue(v1alpha1.ConditionRouteAccepted, v1alpha1.ReasonRouteAccepted, "the Gateway took the route")
		return nil, nil
	}
	if c := t.Condition(v1alpha1.ConditionRouteAccepted); c != nil && c.Status == metav1.ConditionFalse && r.Clock.Since(c.LastTransitionTime.Time) > routePatience {
		v.after = max(v.after, pollStatus)
	}
	t.MarkFalse(v.condition, v.reason, v.message)
	return v, nil
}

func (r *Reconciler) routeVerdict(ctx context.Context, o *observed) (*verdict, error) {
	if !o.capabilities.GatewayAPI {
		return routeWaits(v1alpha1.ReasonGatewayAPIMissing,
			"spec.exposure.gateway: the cluster has no Gateway API; install its CRDs and a gateway, or use spec.exposure.ingressClassName", true), nil
	}
	var route gatewayv1.HTTPRoute
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: o.tenant.Namespace, Name: resources.NamesOf(o.tenant.Name).Base}, &route)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return routeWaits(v1alpha1.ReasonRoutePending, "the HTTPRoute isn't there yet", false), nil
	case err != nil:
		return nil, fmt.Errorf("reading the HTTPRoute: %w", err)
	}
	ours := slices.DeleteFunc(route.Status.Parents, func(p gatewayv1.RouteParentStatus) bool {
		// What a gateway that was named before has said stays until it takes it back.
		return !slices.ContainsFunc(route.Spec.ParentRefs, func(ref gatewayv1.ParentReference) bool { return sameParent(ref, p.ParentRef, route.Namespace) })
	})
	if len(ours) == 0 {
		gateway := o.tenant.Spec.Exposure.Gateway
		return routeWaits(v1alpha1.ReasonRoutePending, fmt.Sprintf(
			"no gateway controller has looked at the HTTPRoute yet; check that Gateway %q exists and its controller runs", gateway.Name), true), nil
	}
	for _, parent := range ours {
		if v := parentVerdict(parent, route.Generation); v != nil {
			return v, nil
		}
	}
	return nil, nil
}

// sameParent tells whether two references name one listener, or one Gateway.
func sameParent(a, b gatewayv1.ParentReference, namespace string) bool {
	in := func(r gatewayv1.ParentReference) string {
		return string(ptr.Deref(r.Namespace, gatewayv1.Namespace(namespace)))
	}
	return a.Name == b.Name && in(a) == in(b) && ptr.Deref(a.SectionName, "") == ptr.Deref(b.SectionName, "")
}

// parentVerdict is what one Gateway says about one generation of the route.
func parentVerdict(parent gatewayv1.RouteParentStatus, generation int64) *verdict {
	for _, kind := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
		c := meta.FindStatusCondition(parent.Conditions, string(kind))
		switch {
		case c == nil && kind == gatewayv1.RouteConditionResolvedRefs:
			// Not every controller tells it; Accepted is a must.
		case c == nil || c.ObservedGeneration < generation:
			return routeWaits(v1alpha1.ReasonRoutePending, "the gateway hasn't looked at the newest HTTPRoute yet", false)
		case c.Status != metav1.ConditionTrue:
			return routeWaits(v1alpha1.ReasonRouteNotAccepted, fmt.Sprintf(
				"Gateway %q doesn't serve the HTTPRoute (%s): %s", parent.ParentRef.Name, c.Reason, steady(c.Message)), true)
		}
	}
	return nil
}

// routeWaits is a verdict about the route; slow where a person must act.
func routeWaits(reason, message string, slow bool) *verdict {
	after := pollRoute
	if slow {
		after = pollMissing
	}
	return wait(v1alpha1.ConditionRouteAccepted, reason, message, after)
}
