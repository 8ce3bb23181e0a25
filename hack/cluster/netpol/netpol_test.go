package netpol_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/netpol"
)

type ports = []corev1.ContainerPort

func pod(namespace, name, ip string, set map[string]string, named ports) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: set},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: named}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip},
	}
}

func world(policies ...*netv1.NetworkPolicy) netpol.World {
	return netpol.World{
		Pods: []*corev1.Pod{
			pod("shop", "web", "10.244.0.5", map[string]string{"app": "web"}, ports{{Name: "http", ContainerPort: 8080}}),
			pod("shop", "client", "10.244.0.6", map[string]string{"app": "client"}, nil),
			pod("other", "client", "10.244.0.7", map[string]string{"app": "client"}, nil),
			pod("kube-system", "coredns", "10.244.0.2", map[string]string{"k8s-app": "kube-dns"}, ports{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", ContainerPort: 53}}),
		},
		Namespaces: map[string]labels.Set{"shop": {"team": "a"}, "other": {"team": "b"}, "kube-system": {"kubernetes.io/metadata.name": "kube-system"}},
		Policies:   policies,
	}
}

func select1(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func policy(types []netv1.PolicyType, ingress []netv1.NetworkPolicyIngressRule, egress []netv1.NetworkPolicyEgressRule) *netv1.NetworkPolicy {
	return &netv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:       netv1.NetworkPolicySpec{PodSelector: *select1("app", "web"), PolicyTypes: types, Ingress: ingress, Egress: egress},
	}
}

var (
	in  = []netv1.PolicyType{netv1.PolicyTypeIngress}
	out = []netv1.PolicyType{netv1.PolicyTypeEgress}
)

func number(n int32) *intstr.IntOrString          { v := intstr.FromInt32(n); return &v }
func portName(s string) *intstr.IntOrString       { v := intstr.FromString(s); return &v }
func protocol(p corev1.Protocol) *corev1.Protocol { return &p }
func to(n int32) *int32                           { return &n }

// allowances are the rules of a chain between its first line (the pod itself) and the final drop.
func allowances(t *testing.T, script, chain string) []string {
	t.Helper()
	_, body, found := strings.Cut(script, "  chain "+chain+" {")
	if !found {
		t.Fatalf("no chain %s in\n%s", chain, script)
	}
	body, _, _ = strings.Cut(body, "  }\n")
	lines := strings.Split(strings.TrimRight(body, "\n"), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "counter drop" {
		t.Errorf("chain %s ends in %q, want drop", chain, last)
	}
	rules := []string{}
	for _, line := range lines[2 : len(lines)-1] {
		rules = append(rules, strings.TrimSuffix(strings.TrimSpace(line), " return"))
	}
	return rules
}

func TestIngress(t *testing.T) {
	tests := map[string]struct {
		rules []netv1.NetworkPolicyIngressRule
		want  []string
	}{
		"nobody":    {nil, []string{}},
		"everybody": {[]netv1.NetworkPolicyIngressRule{{}}, []string{"return"}},
		"pods of the same namespace": {
			[]netv1.NetworkPolicyIngressRule{{From: []netv1.NetworkPolicyPeer{{PodSelector: select1("app", "client")}}}},
			[]string{"ip saddr { 10.244.0.6 }"},
		},
		"pods of another namespace, by its labels": {
			[]netv1.NetworkPolicyIngressRule{{From: []netv1.NetworkPolicyPeer{{NamespaceSelector: select1("team", "b"), PodSelector: select1("app", "client")}}}},
			[]string{"ip saddr { 10.244.0.7 }"},
		},
		"every pod of every namespace": {
			[]netv1.NetworkPolicyIngressRule{{From: []netv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}}}},
			[]string{"ip saddr { 10.244.0.2, 10.244.0.5, 10.244.0.6, 10.244.0.7 }"},
		},
		"a selector that selects none allows none": {
			[]netv1.NetworkPolicyIngressRule{{From: []netv1.NetworkPolicyPeer{{PodSelector: select1("app", "absent")}}}},
			[]string{},
		},
		"named port, looked up at the selected pod": {
			[]netv1.NetworkPolicyIngressRule{{Ports: []netv1.NetworkPolicyPort{{Port: portName("http")}}}},
			[]string{"tcp dport 8080"},
		},
		"a name that the pod has not": {
			[]netv1.NetworkPolicyIngressRule{{Ports: []netv1.NetworkPolicyPort{{Port: portName("metrics")}}}},
			[]string{},
		},
		"block with exceptions, range, protocol alone": {
			[]netv1.NetworkPolicyIngressRule{{
				From:  []netv1.NetworkPolicyPeer{{IPBlock: &netv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16", "10.1.2.0/24"}}}},
				Ports: []netv1.NetworkPolicyPort{{Port: number(8000), EndPort: to(8010)}, {Protocol: protocol(corev1.ProtocolUDP)}, {Protocol: protocol(corev1.ProtocolSCTP), Port: number(9)}},
			}},
			[]string{
				"ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 ip saddr != 10.1.2.0/24 tcp dport 8000-8010",
				"ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 ip saddr != 10.1.2.0/24 meta l4proto udp",
				"ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 ip saddr != 10.1.2.0/24 sctp dport 9",
			},
		},
		"a block of IPv6 matches nothing": {
			[]netv1.NetworkPolicyIngressRule{{From: []netv1.NetworkPolicyPeer{{IPBlock: &netv1.IPBlock{CIDR: "::/0"}}}}},
			[]string{},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			script := netpol.Render(world(policy(in, test.rules, nil)))
			if diff := cmp.Diff(test.want, allowances(t, script, "in_10_244_0_5")); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(script, "out_") || strings.Contains(script, "in_10_244_0_6") {
				t.Errorf("isolates more than the policy says:\n%s", script)
			}
			accepted(t, script)
		})
	}
}

func TestEgress(t *testing.T) {
	dns := netv1.NetworkPolicyPeer{NamespaceSelector: select1("kubernetes.io/metadata.name", "kube-system"), PodSelector: select1("k8s-app", "kube-dns")}
	tests := map[string]struct {
		rules []netv1.NetworkPolicyEgressRule
		want  []string
	}{
		"name server by number": {
			[]netv1.NetworkPolicyEgressRule{{To: []netv1.NetworkPolicyPeer{dns}, Ports: []netv1.NetworkPolicyPort{{Protocol: protocol(corev1.ProtocolUDP), Port: number(53)}}}},
			[]string{"ip daddr { 10.244.0.2 } udp dport 53"},
		},
		"named port, looked up at the destination": {
			[]netv1.NetworkPolicyEgressRule{{To: []netv1.NetworkPolicyPeer{dns}, Ports: []netv1.NetworkPolicyPort{{Protocol: protocol(corev1.ProtocolUDP), Port: portName("dns")}}}},
			[]string{"ip daddr 10.244.0.2 udp dport 53"},
		},
		"named port of anyone": {
			[]netv1.NetworkPolicyEgressRule{{Ports: []netv1.NetworkPolicyPort{{Port: portName("http")}}}},
			[]string{"ip daddr 10.244.0.5 tcp dport 8080"},
		},
		"the internet without private addresses": {
			[]netv1.NetworkPolicyEgressRule{{
				To:    []netv1.NetworkPolicyPeer{{IPBlock: &netv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}}}},
				Ports: []netv1.NetworkPolicyPort{{Port: number(443)}},
			}},
			[]string{"ip daddr 0.0.0.0/0 ip daddr != 10.0.0.0/8 tcp dport 443"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			script := netpol.Render(world(policy(out, nil, test.rules)))
			if diff := cmp.Diff(test.want, allowances(t, script, "out_10_244_0_5")); diff != "" {
				t.Error(diff)
			}
			_, forward, _ := strings.Cut(script, "chain forward")
			if strings.Count(forward, "ip saddr 10.244.0.5 jump out_10_244_0_5") != 2 {
				t.Error("egress must be asked for both forwarded packets and those to the node itself")
			}
			accepted(t, script)
		})
	}
}

func TestNoPolicyIsolatesNobody(t *testing.T) {
	if script := netpol.Render(world()); strings.Contains(script, "jump") || strings.Contains(script, "drop") {
		t.Error(script)
	}
}

func TestOrderOfListsDoesNotMatter(t *testing.T) {
	one, two := policy(in, nil, nil), policy(out, []netv1.NetworkPolicyIngressRule{{}}, nil)
	two.Name = "another"
	forwards, backwards := world(one, two), world(two, one)
	slices.Reverse(backwards.Pods)
	if diff := cmp.Diff(netpol.Render(forwards), netpol.Render(backwards)); diff != "" {
		t.Error(diff)
	}
}

func TestAnAddressBelongsToThePodThatHasItNow(t *testing.T) {
	w := world(policy(in, nil, nil))
	ended := pod("shop", "job", "10.244.0.6", map[string]string{"app": "web"}, nil)
	ended.Status.Phase = corev1.PodSucceeded
	leaving := pod("shop", "leaving", "10.244.0.7", map[string]string{"app": "web"}, nil)
	now := metav1.Now()
	leaving.DeletionTimestamp = &now
	onHost := pod("shop", "agent", "10.99.0.1", map[string]string{"app": "web"}, nil)
	onHost.Spec.HostNetwork = true
	w.Pods = append(w.Pods, ended, leaving, onHost)
	script := netpol.Render(w)
	for _, chain := range []string{"in_10_244_0_6", "in_10_244_0_7", "in_10_99_0_1"} {
		if strings.Contains(script, chain) {
			t.Errorf("%s isolates an address that is not the selected pod's", chain)
		}
	}
}

// accepted has the kernel's own parser check the script, in a network namespace that is thrown away.
func accepted(t *testing.T, script string) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		return
	}
	cmd := exec.CommandContext(t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nft: %v: %s\n%s", err, said, script)
	}
}

func TestEnforceFollowsChangesAndTriesAgain(t *testing.T) {
	w := world(policy(in, nil, nil))
	client := fake.NewClientset(w.Pods[0], w.Policies[0], &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	loads, reports := make(chan string), make(chan error, 1)
	refuse := true
	load := func(ctx context.Context, script string) error {
		if refuse {
			refuse = false
			return errors.New("kernel says no")
		}
		select {
		case loads <- script:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- netpol.Enforce(ctx, client, load, func(err error) { reports <- err }) }()
	if err := <-reports; err == nil || err.Error() != "kernel says no" {
		t.Errorf("reported %v", err)
	}
	if script := <-loads; !strings.Contains(script, "jump in_10_244_0_5") {
		t.Errorf("after the failure loaded\n%s", script)
	}
	if err := client.NetworkingV1().NetworkPolicies("shop").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if script := <-loads; strings.Contains(script, "jump") {
		t.Errorf("after the policy's deletion loaded\n%s", script)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
