package netpol

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// World is all that decides who may talk to whom.
type World struct {
	Pods       []*corev1.Pod
	Namespaces map[string]labels.Set // labels by name
	Policies   []*netv1.NetworkPolicy
}

// Render returns the nftables script that puts the policies into force in place of what was there. The same world
// gives the same text, whatever the order of its lists.
func Render(w World) string {
	w.Pods = onePerAddress(w.Pods)
	w.Policies = slices.SortedFunc(slices.Values(w.Policies), func(a, b *netv1.NetworkPolicy) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	var chains, ingress, egress strings.Builder
	for _, pod := range w.Pods {
		ip := pod.Status.PodIP
		name := strings.ReplaceAll(ip, ".", "_")
		if rules, isolated := w.rules(pod, netv1.PolicyTypeIngress); isolated {
			chain(&chains, "in_"+name, pod, "ip saddr "+ip, rules)
			fmt.Fprintf(&ingress, "    ip daddr %s jump in_%s\n", ip, name)
		}
		if rules, isolated := w.rules(pod, netv1.PolicyTypeEgress); isolated {
			chain(&chains, "out_"+name, pod, "ip daddr "+ip, rules)
			fmt.Fprintf(&egress, "    ip saddr %s jump out_%s\n", ip, name)
		}
	}
	// "table" before "delete table" makes the deletion succeed on the first load too; the whole script is one
	// transaction. Priority 10: after kube-proxy has put the endpoint's address in place of the Service's.
	return "table inet netpol\ndelete table inet netpol\ntable inet netpol {\n" + chains.String() +
		"  chain forward {\n    type filter hook forward priority 10; policy accept;\n    ct state established,related accept\n" +
		egress.String() + ingress.String() + "  }\n" +
		"  chain input {\n    type filter hook input priority 10; policy accept;\n    ct state established,related accept\n" +
		egress.String() + "  }\n}\n"
}

// chain ends in drop; each rule that allows returns to the base chain, where the other end's chain is still to be asked.
// A pod always reaches itself (self), also through its own Service.
func chain(out *strings.Builder, name string, pod *corev1.Pod, self string, rules []string) {
	fmt.Fprintf(out, "  chain %s { # %s/%s\n    %s return\n", name, pod.Namespace, pod.Name, self)
	for _, rule := range rules {
		fmt.Fprintf(out, "    %s\n", strings.TrimSpace(rule+" return"))
	}
	out.WriteString("    counter drop\n  }\n")
}

// onePerAddress keeps the pods that have an address of their own, sorted; of two with the same address, as when a
// finished pod's was given out again, the one that is not being deleted, else the younger.
func onePerAddress(pods []*corev1.Pod) []*corev1.Pod {
	byIP := map[string]*corev1.Pod{}
	for _, pod := range pods {
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if pod.Status.PodIP == "" || pod.Spec.HostNetwork || ended {
			continue
		}
		have := byIP[pod.Status.PodIP]
		if have == nil || supersedes(pod, have) {
			byIP[pod.Status.PodIP] = pod
		}
	}
	kept := slices.Collect(maps.Values(byIP))
	slices.SortFunc(kept, func(a, b *corev1.Pod) int { return strings.Compare(a.Status.PodIP, b.Status.PodIP) })
	return kept
}

func supersedes(a, b *corev1.Pod) bool {
	if (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) {
		return a.DeletionTimestamp == nil
	}
	return b.CreationTimestamp.Before(&a.CreationTimestamp)
}

// rules are the allowances of one pod in one direction; isolated is false where no policy selects it.
func (w World) rules(pod *corev1.Pod, direction netv1.PolicyType) (rules []string, isolated bool) {
	for _, policy := range w.Policies {
		if policy.Namespace != pod.Namespace || !matches(&policy.Spec.PodSelector, pod.Labels) || !slices.Contains(policy.Spec.PolicyTypes, direction) {
			continue
		}
		isolated = true
		if direction == netv1.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				rules = append(rules, w.ingress(policy.Namespace, pod, rule)...)
			}
			continue
		}
		for _, rule := range policy.Spec.Egress {
			rules = append(rules, w.egress(policy.Namespace, rule)...)
		}
	}
	return rules, isolated
}

func (w World) ingress(namespace string, pod *corev1.Pod, rule netv1.NetworkPolicyIngressRule) []string {
	var rules []string
	for _, from := range w.sides("saddr", namespace, rule.From) {
		for _, port := range ports(rule.Ports, pod) {
			rules = append(rules, join(from, port))
		}
	}
	return rules
}

// egress resolves a named port at each destination: two pods may give one name to two numbers.
func (w World) egress(namespace string, rule netv1.NetworkPolicyEgressRule) []string {
	var rules []string
	for _, to := range w.sides("daddr", namespace, rule.To) {
		for _, port := range ports(rule.Ports, nil) {
			rules = append(rules, join(to, port))
		}
	}
	var named []netv1.NetworkPolicyPort
	for _, port := range rule.Ports {
		if port.Port != nil && port.Port.StrVal != "" {
			named = append(named, port)
		}
	}
	if len(named) == 0 {
		return rules
	}
	for _, pod := range w.Pods {
		if len(rule.To) > 0 && !w.anySelects(namespace, rule.To, pod) {
			continue
		}
		for _, port := range ports(named, pod) {
			rules = append(rules, join("ip daddr "+pod.Status.PodIP, port))
		}
	}
	return rules
}

// sides turns peers into matches on one address field; no peers at all means anyone: one empty match.
func (w World) sides(field, namespace string, peers []netv1.NetworkPolicyPeer) []string {
	if len(peers) == 0 {
		return []string{""}
	}
	var sides, addresses []string
	for _, pod := range w.Pods {
		if w.anySelects(namespace, peers, pod) {
			addresses = append(addresses, pod.Status.PodIP)
		}
	}
	if len(addresses) > 0 {
		sides = append(sides, fmt.Sprintf("ip %s { %s }", field, strings.Join(addresses, ", ")))
	}
	for _, peer := range peers {
		// The cluster has no IPv6, so such a block matches nothing. Matches, not sets: the blocks may overlap.
		if peer.IPBlock == nil || strings.Contains(peer.IPBlock.CIDR, ":") {
			continue
		}
		side := fmt.Sprintf("ip %s %s", field, peer.IPBlock.CIDR)
		for _, except := range peer.IPBlock.Except {
			side += fmt.Sprintf(" ip %s != %s", field, except)
		}
		sides = append(sides, side)
	}
	return sides
}

func (w World) anySelects(namespace string, peers []netv1.NetworkPolicyPeer, pod *corev1.Pod) bool {
	return slices.ContainsFunc(peers, func(peer netv1.NetworkPolicyPeer) bool {
		if peer.IPBlock != nil {
			return false
		}
		if peer.NamespaceSelector == nil {
			return pod.Namespace == namespace && matches(peer.PodSelector, pod.Labels)
		}
		space, known := w.Namespaces[pod.Namespace]
		return known && matches(peer.NamespaceSelector, space) && (peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels))
	})
}

func matches(selector *metav1.LabelSelector, set map[string]string) bool {
	compiled, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && compiled.Matches(labels.Set(set))
}

// ports turns the ports of a rule into matches; none at all means every port: one empty match. Names are looked up in
// pod's containers and dropped where pod is nil or has no such port.
func ports(wanted []netv1.NetworkPolicyPort, pod *corev1.Pod) []string {
	if len(wanted) == 0 {
		return []string{""}
	}
	var found []string
	for _, want := range wanted {
		protocol := corev1.ProtocolTCP
		if want.Protocol != nil {
			protocol = *want.Protocol
		}
		match := strings.ToLower(string(protocol)) + " dport "
		switch {
		case want.Port == nil:
			found = append(found, "meta l4proto "+strings.ToLower(string(protocol)))
		case want.Port.StrVal != "":
			for _, number := range numbers(pod, want.Port.StrVal, protocol) {
				found = append(found, fmt.Sprintf("%s%d", match, number))
			}
		case want.EndPort != nil:
			found = append(found, fmt.Sprintf("%s%d-%d", match, want.Port.IntVal, *want.EndPort))
		default:
			found = append(found, fmt.Sprintf("%s%d", match, want.Port.IntVal))
		}
	}
	return found
}

func numbers(pod *corev1.Pod, name string, protocol corev1.Protocol) []int32 {
	if pod == nil {
		return nil
	}
	var found []int32
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, port := range container.Ports {
			if port.Name == name && (port.Protocol == protocol || port.Protocol == "" && protocol == corev1.ProtocolTCP) {
				found = append(found, port.ContainerPort)
			}
		}
	}
	return found
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}
