package resources

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// labelNamespace is what every namespace carries as its name.
const labelNamespace = "kubernetes.io/metadata.name"

// networkPolicy denies all but this: anybody may call the API, the operator may read
// /status, and the pods may reach their upstream. With the embedded upstream they reach
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
	if host, port, ok := upstreamAddress(c.Upstream); ok {
		spec.WithEgress(
			networkingv1ac.NetworkPolicyEgressRule().WithPorts(
				networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolUDP).WithPort(intstr.FromInt32(53)),
				tcp(53)),
			networkingv1ac.NetworkPolicyEgressRule().
				WithTo(
					addresses("0.0.0.0/0", "169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32"),
					addresses("::/0", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128")).
				WithPorts(tcp(port)))
		// A policy sees the pod's port, which a Service may map to another: pods of the
		// namespace that the name points to are reached on every port.
		if ns := namespaceOf(host, in.Tenant.Namespace); ns != "" {
			spec.WithEgress(networkingv1ac.NetworkPolicyEgressRule().
				WithTo(pods(ns, nil)).
				WithPorts(networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP)))
		}
	}
	return networkingv1ac.NetworkPolicy(NamesOf(in.Tenant.Name).Base, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithSpec(spec)
}

func tcp(port int32) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
	return networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP).WithPort(intstr.FromInt32(port))
}

// addresses are all of a network but where clouds keep instance credentials: link-local,
// and what Azure, Alibaba, Amazon and Google have beside it.
func addresses(cidr string, except ...string) *networkingv1ac.NetworkPolicyPeerApplyConfiguration {
	return networkingv1ac.NetworkPolicyPeer().
		WithIPBlock(networkingv1ac.IPBlock().WithCIDR(cidr).WithExcept(except...))
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

// upstreamAddress is where the runtime calls; not ok for the embedded model.
func upstreamAddress(u tenantconfig.Upstream) (host string, port int32, ok bool) {
	base := u.BaseURL
	switch {
	case u.Type == tenantconfig.UpstreamEmbedded:
		return "", 0, false
	case base == "":
		// Cloudflare's own address.
		return "", 443, true
	}
	a, err := url.Parse(base)
	if err != nil {
		return "", 0, false
	}
	port = 443
	if a.Scheme == "http" {
		port = 80
	}
	if n, err := strconv.ParseUint(a.Port(), 10, 16); err == nil && n > 0 {
		port = int32(n)
	}
	return a.Hostname(), port, true
}

// namespaceOf is the namespace that a name inside the cluster points to: a Service of
// the Tenant's own namespace, service.namespace, or service.namespace.svc[.domain]. A
// name of the world with two labels names a namespace that nobody has.
func namespaceOf(host, own string) string {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return ""
	}
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(host), "."), ".")
	switch {
	case len(labels) == 1:
		return own
	case len(labels) > 2 && labels[2] != "svc", len(validation.IsDNS1123Label(labels[1])) > 0:
		return ""
	}
	return labels[1]
}
