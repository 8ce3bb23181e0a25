package resources

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// labelNamespace is what every namespace carries as its name.
const labelNamespace = "kubernetes.io/metadata.name"

// networkPolicy denies all but this: anybody may call the API, the operator may read
// /status, and the pods may reach their upstream, the servers of their state, what they
// use of Cloudflare, their tools and the hosts of documents. Without any they reach
// nothing, not even DNS.
func networkPolicy(in Inputs, c *tenantconfig.Config) *networkingv1ac.NetworkPolicyApplyConfiguration {
	spec := networkingv1ac.NetworkPolicySpec().
		WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(Selector(in.Tenant.Name))).
		WithPolicyTypes(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress).
		WithIngress(
			networkingv1ac.NetworkPolicyIngressRule().
				WithPorts(tcp(tenantconfig.APIPort)),
			networkingv1ac.NetworkPolicyIngressRule().
				WithFrom(pods(in.Operator.Namespace, in.Operator.PodLabels)).
				WithPorts(tcp(tenantconfig.MetricsPort)))
	spec.WithEgress(egress(destinations(in, c), in.Tenant.Namespace)...)
	return networkingv1ac.NetworkPolicy(NamesOf(in.Tenant.Name).Base, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithSpec(spec)
}

func tcp(port int32) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
	return networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP).WithPort(intstr.FromInt32(port))
}

// pods of a namespace with labels; all of it without.
func pods(namespace string, labels map[string]string) *networkingv1ac.NetworkPolicyPeerApplyConfiguration {
	peer := networkingv1ac.NetworkPolicyPeer().
		WithNamespaceSelector(metav1ac.LabelSelector().WithMatchLabels(map[string]string{labelNamespace: namespace}))
	if len(labels) > 0 {
		peer.WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(labels))
	}
	return peer
}
