package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/netpol"
)

// node starts the components, in the order in which they need each other, and then serves what the cluster lacks:
// volumes and network policies.
type node struct {
	place  place
	start  time.Time
	client kubernetes.Interface
}

func insideNode(args []string) error {
	place, err := placeFromArgs(args)
	if err != nil {
		return err
	}
	log.SetFlags(log.LstdFlags | log.LUTC)
	n := &node{place: place, start: time.Now()}
	if err := n.run(context.Background()); err != nil {
		log.Print(err)
		return reportFailure(err)
	}
	return nil
}

func (n *node) run(ctx context.Context) error {
	if err := n.connect(); err != nil {
		return err
	}
	// The runtime and the images need no API server: they come up beside it.
	runtimeReady := make(chan error, 1)
	go func() { runtimeReady <- n.startRuntime(ctx) }()
	if err := n.startControlPlane(ctx); err != nil {
		return err
	}
	if err := <-runtimeReady; err != nil {
		return err
	}
	kubelet, err := n.startKubelet(ctx)
	if err != nil {
		return err
	}
	proxy, err := n.startProxy(ctx)
	if err != nil {
		return err
	}
	if err := n.createObjects(ctx); err != nil {
		return err
	}
	go func() { report(netpol.Enforce(ctx, n.client, netpol.Load, report)) }()
	go func() { report(n.serveVolumes(ctx)) }()
	if err := kubelet.await(ctx, n.nodeReady); err != nil {
		return err
	}
	n.done("node %s is Ready", nodeName)
	if err := proxy.await(ctx, healthz("http://127.0.0.1:10249/healthz")); err != nil {
		return err
	}
	n.done("kube-proxy routes Services")
	if err := n.awaitDNS(ctx); err != nil {
		return err
	}
	n.done("DNS answers")
	if err := os.WriteFile(n.place.path("ready"), nil, 0o600); err != nil {
		return err
	}
	say(saidReady)
	<-ctx.Done()
	return ctx.Err()
}

func (n *node) done(format string, args ...any) {
	say("%6.1fs  %s", time.Since(n.start).Seconds(), fmt.Sprintf(format, args...))
}

func (n *node) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", n.place.adminConfig())
	if err != nil {
		return fmt.Errorf("reading the cluster's own kubeconfig: %w", err)
	}
	config.QPS = -1 // one machine, one client: nothing to protect
	n.client, err = kubernetes.NewForConfig(config)
	return err
}

const cniDir = "/usr/lib/cni"

// startRuntime starts containerd and gives it the images that the cluster itself needs.
func (n *node) startRuntime(ctx context.Context) error {
	p := n.place
	if err := os.MkdirAll(p.path("cni"), 0o700); err != nil {
		return err
	}
	network := fmt.Sprintf(`{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":%q}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}`, p.path("ipam"), podSubnet)
	if err := os.WriteFile(p.path("cni", "10-pods.conflist"), []byte(network), 0o600); err != nil {
		return fmt.Errorf("configuring the pods' network: %w", err)
	}
	if err := os.WriteFile(p.path("containerd.toml"), []byte(containerdConfig(p)), 0o600); err != nil {
		return fmt.Errorf("configuring containerd: %w", err)
	}
	containerd, err := p.start(ctx, "containerd", "containerd", "--config", p.path("containerd.toml"))
	if err != nil {
		return err
	}
	err = containerd.await(ctx, func(ctx context.Context) error {
		_, err := p.ctr(ctx, "version")
		return err
	})
	if err != nil {
		return err
	}
	for _, archive := range []string{p.cached("pause.tar"), p.cached("coredns.tar")} {
		if err := p.importImage(ctx, archive); err != nil {
			return containerd.withLog(err)
		}
	}
	n.done("containerd has the cluster's images")
	return nil
}

// restrict_oom_score_adj: without CAP_SYS_RESOURCE, as in some virtual machines, runc dies on a sandbox's score of -998.
// disable_apparmor: a profile would be loaded into the host's kernel and stay there. The opt plugin would else make
// /opt/containerd on the host.
func containerdConfig(p place) string {
	return fmt.Sprintf(`version = 2
root = %[1]q
state = %[2]q
[grpc]
  address = %[3]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[4]q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[5]q
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[6]q
    conf_dir = %[7]q
`, p.path("ctd", "root"), p.path("ctd", "state"), p.containerd(), p.path("opt"), pauseImage, cniDir, p.path("cni"))
}

// failCgroupV1, failSwapOn: the machine is the developer's, as it is. resolvConf is empty: no name server outside can
// be reached. volumePluginDir would else be made on the host.
func kubeletConfig(p place) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /%s
enforceNodeAllocatable: [pods]
containerRuntimeEndpoint: unix://%s
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %s/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: %[3]s/kubelet-server.crt
tlsPrivateKeyFile: %[3]s/kubelet-server.key
address: %[4]s
clusterDomain: cluster.local
clusterDNS: [%[5]s]
resolvConf: %[6]s
podLogsDir: %[7]s
volumePluginDir: %[8]s
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%%, imagefs.available: 1%%}
`, p.cgroup(), p.containerd(), p.pki(), nodeIP, dnsIP, p.path("resolv.conf"), p.path("podlogs"), p.path("volumeplugins"))
}

func (n *node) startKubelet(ctx context.Context) (*component, error) {
	p := n.place
	if err := os.WriteFile(p.path("resolv.conf"), nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.path("kubelet.yaml"), []byte(kubeletConfig(p)), 0o600); err != nil {
		return nil, fmt.Errorf("configuring kubelet: %w", err)
	}
	return p.start(ctx, "kubelet", p.tool("kubelet"), "--config", p.path("kubelet.yaml"), "--kubeconfig", p.path("pki", "kubelet.kubeconfig"),
		"--root-dir", p.path("kubelet"), "--node-ip", nodeIP, "--hostname-override", nodeName)
}

// startProxy leaves the size of the connection table alone: it is the host's too.
func (n *node) startProxy(ctx context.Context) (*component, error) {
	p := n.place
	return p.start(ctx, "kube-proxy", p.tool("kube-proxy"), "--kubeconfig", p.path("pki", "kube-proxy.kubeconfig"), "--proxy-mode", "nftables",
		"--cluster-cidr", podCIDR, "--hostname-override", nodeName, "--conntrack-max-per-core", "0")
}

func (n *node) nodeReady(ctx context.Context) error {
	have, err := n.client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range have.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return fmt.Errorf("node: %s", condition.Message)
		}
	}
	if len(have.Status.Conditions) == 0 {
		return errors.New("node has no conditions yet")
	}
	return nil
}

func healthz(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, answer.Status)
		}
		return nil
	}
}

// lookup asks one name server once: a question that came before the server listened is lost, and Go's resolver would
// wait 5 s before the next.
func lookup(ctx context.Context, server, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "udp4", net.JoinHostPort(server, "53"))
	}}
	return resolver.LookupHost(ctx, name)
}
