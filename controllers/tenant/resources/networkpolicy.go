package resources

import (
	"net/netip"
	"net/url"
	"slices"
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
// /status, and the pods may reach their upstream, the servers of their state and what they
// use of Cloudflare. Without any they reach nothing, not even DNS.
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
	if to := destinations(in, c); len(to) > 0 {
		spec.WithEgress(networkingv1ac.NetworkPolicyEgressRule().WithPorts(
			networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolUDP).WithPort(intstr.FromInt32(53)),
			tcp(53)))
		var ports []int32
		for _, d := range to {
			if !slices.Contains(ports, d.port) {
				ports = append(ports, d.port)
				spec.WithEgress(outward(d.port))
			}
		}
		// A policy sees the pod's port, which a Service may map to another: pods of the
		// namespace that the name points to are reached on every port.
		var namespaces []string
		for _, d := range to {
			if ns := namespaceOf(d.host, in.Tenant.Namespace); ns != "" && !slices.Contains(namespaces, ns) {
				namespaces = append(namespaces, ns)
				spec.WithEgress(networkingv1ac.NetworkPolicyEgressRule().
					WithTo(pods(ns, nil)).
					WithPorts(networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP)))
			}
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

// outward reaches a port of every address but where clouds keep credentials.
func outward(port int32) *networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration {
	return networkingv1ac.NetworkPolicyEgressRule().
		WithTo(
			addresses("0.0.0.0/0", "169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32"),
			addresses("::/0", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128")).
		WithPorts(tcp(port))
}

type destination struct {
	host string
	port int32
}

// destinations are where the runtime calls: its model server, Cloudflare's API and R2, and
// the servers of its state. The embedded model and state need none.
func destinations(in Inputs, c *tenantconfig.Config) []destination {
	var bases []string
	if c.Upstream.Type != tenantconfig.UpstreamEmbedded {
		bases = append(bases, c.Upstream.BaseURL)
	}
	if c.Cloudflare.AccountID != "" {
		bases = append(bases, c.Cloudflare.API)
	}
	if c.Cloudflare.Originals != "" {
		bases = append(bases, c.Cloudflare.S3)
	}
	var out []destination
	for _, base := range bases {
		if d, ok := destinationOf(base); ok {
			out = append(out, d)
		}
	}
	for _, s := range []*StateServer{in.State, in.LimitsState} {
		if s != nil {
			for _, e := range s.Endpoints {
				out = append(out, destination{e.Host, e.Port})
			}
		}
	}
	return out
}

// destinationOf an address; empty is Cloudflare's own.
func destinationOf(base string) (destination, bool) {
	if base == "" {
		return destination{port: 443}, true
	}
	a, err := url.Parse(base)
	if err != nil {
		return destination{}, false
	}
	d := destination{a.Hostname(), 443}
	if a.Scheme == "http" {
		d.port = 80
	}
	if n, err := strconv.ParseUint(a.Port(), 10, 16); err == nil && n > 0 {
		d.port = int32(n)
	}
	return d, true
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
