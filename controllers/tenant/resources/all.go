package resources

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Object is a typed apply configuration of one child.
type Object = interface {
	runtime.ApplyConfiguration
	GetAPIVersion() *string
	GetKind() *string
	GetName() *string
	GetNamespace() *string
}

// All are the children in the order in which they are applied: what a pod mounts or is
// guarded by comes before the Deployment, what leads to it after. The error is a
// *DocumentError or a *PodPatchError: no retry mends it, a change of the Tenant or its
// class does.
func All(in Inputs) ([]Object, error) {
	document, err := Config(in)
	if err != nil {
		return nil, err
	}
	out := []Object{serviceAccount(in)}
	if len(in.Generated) > 0 {
		s, err := KeysSecret(in)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	config, err := configSecret(in, document)
	if err != nil {
		return nil, err
	}
	out = append(out, config, networkPolicy(in, document))
	if c := claim(in); c != nil {
		out = append(out, c)
	}
	d, err := deployment(in, document)
	if err != nil {
		return nil, err
	}
	out = append(out, d, service(in))
	if b := podDisruptionBudget(in); b != nil {
		out = append(out, b)
	}
	if a := autoscaler(in); a != nil {
		out = append(out, a)
	}
	if r := httpRoute(in); r != nil {
		out = append(out, r)
	}
	if i := ingress(in); i != nil {
		out = append(out, i)
	}
	return out, nil
}

// Kinds are the kinds that children may have, for pruning. PersistentVolumeClaims aren't
// among them: data is never pruned.
func Kinds(c Capabilities) []schema.GroupVersionKind {
	kinds := []schema.GroupVersionKind{
		networkingv1.SchemeGroupVersion.WithKind("Ingress"),
		autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
		policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"),
		corev1.SchemeGroupVersion.WithKind("Service"),
		appsv1.SchemeGroupVersion.WithKind("Deployment"),
		networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"),
		corev1.SchemeGroupVersion.WithKind("Secret"),
		corev1.SchemeGroupVersion.WithKind("ServiceAccount"),
	}
	if c.GatewayAPI {
		kinds = append(kinds, schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: gatewayv1.GroupVersion.Version, Kind: "HTTPRoute"})
	}
	return kinds
}
