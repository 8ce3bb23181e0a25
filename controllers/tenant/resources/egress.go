package resources

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// egress lets pods of a namespace out to where they call, and to DNS; nothing without.
func egress(to []destination, own string) []*networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration {
	if len(to) == 0 {
		return nil
	}
	rules := []*networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration{
		networkingv1ac.NetworkPolicyEgressRule().WithPorts(
			networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolUDP).WithPort(intstr.FromInt32(53)),
			tcp(53)),
	}
	var everywhere, public []int32
	for _, d := range to {
		if !d.public && !slices.Contains(everywhere, d.port) {
			everywhere = append(everywhere, d.port)
			rules = append(rules, outward(d.port))
		}
	}
	for _, d := range to {
		if d.public && !slices.Contains(everywhere, d.port) && !slices.Contains(public, d.port) {
			public = append(public, d.port)
			rules = append(rules, intoTheWorld(d.port))
		}
	}
	// A policy sees the pod's port, which a Service may map to another: pods of the
	// namespace that the name points to are reached on every port.
	var namespaces []string
	for _, d := range to {
		if ns := namespaceOf(d.host, own); ns != "" && !d.public && !slices.Contains(namespaces, ns) {
			namespaces = append(namespaces, ns)
			rules = append(rules, networkingv1ac.NetworkPolicyEgressRule().
				WithTo(pods(ns, nil)).
				WithPorts(networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP)))
		}
	}
	return rules
}

// addresses are all of a network but where clouds keep instance credentials: link-local,
// and what Azure, Alibaba, Amazon and Google have beside it.
func addresses(cidr string, except ...string) *networkingv1ac.NetworkPolicyPeerApplyConfiguration {
	return networkingv1ac.NetworkPolicyPeer().
		WithIPBlock(networkingv1ac.IPBlock().WithCIDR(cidr).WithExcept(except...))
}

// outward reaches a port of every address but where clouds keep credentials.
func outward(port int32) *networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration {
	return networkingv1ac.NetworkPolicyEgressRule().
		WithTo(
			addresses("0.0.0.0/0", "169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32"),
			addresses("::/0", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128")).
		WithPorts(tcp(port))
}

// intoTheWorld reaches a port of every address but those of private networks, link-local
// ones and where clouds keep credentials: what somebody else chose mustn't lead inwards.
func intoTheWorld(port int32) *networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration {
	return networkingv1ac.NetworkPolicyEgressRule().
		WithTo(
			addresses("0.0.0.0/0", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "168.63.129.16/32"),
			addresses("::/0", "fc00::/7", "fe80::/10")).
		WithPorts(tcp(port))
}

type destination struct {
	host string
	port int32
	// public reaches no address of private networks.
	public bool
}

// destinations are where the runtime calls: its model server, Cloudflare's API and R2, the
// servers of its state, tools, and where documents are fetched. The embedded model and
// state need none.
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
				out = append(out, destination{host: e.Host, port: e.Port})
			}
		}
	}
	if len(c.Documents.FetchHosts) > 0 {
		out = append(out, destination{port: 443, public: true}, destination{port: 80, public: true})
	}
	return append(out, toolDestinations(c.Tools)...)
}

// toolDestinations are where tools are, and where a redirect from there may lead: in the
// world up to https, and with redirectHosts to the standard ports.
func toolDestinations(t tenantconfig.Tools) []destination {
	var out []destination
	add := func(base string, private, redirects bool) {
		d, ok := destinationOf(base)
		if !ok || base == "" {
			return
		}
		d.public = !private
		out = append(out, d)
		plain := strings.HasPrefix(base, "http:")
		if plain && d.public || redirects {
			out = append(out, destination{host: d.host, port: 443, public: d.public})
		}
		if plain && redirects {
			out = append(out, destination{host: d.host, port: 80, public: d.public})
		}
	}
	for _, tool := range t.HTTP {
		add(withoutParameters(tool.URL), tool.Private, len(tool.RedirectHosts) > 0)
	}
	for _, s := range t.MCP {
		add(s.URL, s.Private, false)
	}
	return out
}

// withoutParameters cuts a template off where its path or query begins: host and port have
// no parameters.
func withoutParameters(template string) string {
	scheme, rest, found := strings.Cut(template, "://")
	if !found {
		return template
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
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
	d := destination{host: a.Hostname(), port: 443}
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
