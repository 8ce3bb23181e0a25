package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/pki"
)

// makePKI writes every certificate and kubeconfig of the cluster.
func makePKI(p place) error {
	dir := p.pki()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the certificates: %w", err)
	}
	ca, errCA := pki.NewAuthority(dir, "ca", "kubernetes-ca")
	etcd, errEtcd := pki.NewAuthority(dir, "etcd-ca", "etcd-ca")
	front, errFront := pki.NewAuthority(dir, "front-proxy-ca", "front-proxy-ca")
	if err := errors.Join(errCA, errEtcd, errFront); err != nil {
		return err
	}
	err := errors.Join(
		etcd.Server("etcd-server", "etcd", "localhost", "127.0.0.1"),
		etcd.Client("apiserver-etcd-client", "kube-apiserver-etcd-client"),
		ca.Server("apiserver", "kube-apiserver", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1", nodeIP, apiIP),
		ca.Client("apiserver-kubelet-client", kubeletClient),
		front.Client("front-proxy-client", "front-proxy-client"),
		ca.Server("kubelet-server", nodeName, nodeName, "localhost", "127.0.0.1", nodeIP),
		ca.Client("admin", "admin", "system:masters"),
		ca.Client("kube-controller-manager", "system:kube-controller-manager"),
		ca.Client("kube-scheduler", "system:kube-scheduler"),
		ca.Client("kube-proxy", "system:kube-proxy"),
		ca.Client("kubelet", "system:node:"+nodeName, "system:nodes"),
		pki.SigningKey(dir, "sa"),
	)
	if err != nil {
		return err
	}
	for _, client := range []string{"admin", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"} {
		if err := pki.Kubeconfig(filepath.Join(dir, client+".kubeconfig"), "https://"+apiAddress, dir, client, p.cgroup()); err != nil {
			return err
		}
	}
	return nil
}

// kubeletClient is the user as which the API server fetches logs and opens shells.
const kubeletClient = "kube-apiserver-kubelet-client"

func (n *node) startControlPlane(ctx context.Context) error {
	if err := n.startEtcd(ctx); err != nil {
		return err
	}
	api, err := n.startAPIServer(ctx)
	if err != nil {
		return err
	}
	err = api.await(ctx, func(ctx context.Context) error {
		return n.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	if err != nil {
		return err
	}
	n.done("kube-apiserver is ready")
	return n.startControllers(ctx)
}

// startEtcd trades durability for speed: the data do not outlive the cluster.
func (n *node) startEtcd(ctx context.Context) error {
	p := n.place
	const client, peer = "https://127.0.0.1:2379", "http://127.0.0.1:2380"
	_, err := p.start(ctx, "etcd", p.tool("etcd"), "--name", nodeName, "--data-dir", p.path("etcd"), "--unsafe-no-fsync",
		"--logger", "zap", "--log-level", "warn",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", nodeName+"="+peer,
		"--cert-file", p.path("pki", "etcd-server.crt"), "--key-file", p.path("pki", "etcd-server.key"),
		"--client-cert-auth", "--trusted-ca-file", p.path("pki", "etcd-ca.crt"))
	return err
}

func (n *node) startAPIServer(ctx context.Context) (*component, error) {
	p := n.place
	key := func(name string) string { return p.path("pki", name) }
	return p.start(ctx, "kube-apiserver", p.tool("kube-apiserver"), "--advertise-address="+nodeIP, "--secure-port=6443",
		"--etcd-servers=https://127.0.0.1:2379", "--etcd-cafile="+key("etcd-ca.crt"),
		"--etcd-certfile="+key("apiserver-etcd-client.crt"), "--etcd-keyfile="+key("apiserver-etcd-client.key"),
		"--client-ca-file="+key("ca.crt"), "--tls-cert-file="+key("apiserver.crt"), "--tls-private-key-file="+key("apiserver.key"),
		"--kubelet-client-certificate="+key("apiserver-kubelet-client.crt"), "--kubelet-client-key="+key("apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority="+key("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+key("sa.pub"), "--service-account-signing-key-file="+key("sa.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-cluster-ip-range="+serviceCIDR, "--allow-privileged=true",
		"--requestheader-client-ca-file="+key("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+key("front-proxy-client.crt"), "--proxy-client-key-file="+key("front-proxy-client.key"))
}

// startControllers raises the client limits: with the default 20 requests a second the default ServiceAccount, without
// which no pod starts, comes 6 s later.
func (n *node) startControllers(ctx context.Context) error {
	p := n.place
	key := func(name string) string { return p.path("pki", name) }
	shared := func(name string) []string {
		config := key(name + ".kubeconfig")
		return []string{"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
			"--bind-address=127.0.0.1", "--leader-elect=false", "--kube-api-qps=500", "--kube-api-burst=1000"}
	}
	manager := append(shared("kube-controller-manager"),
		"--use-service-account-credentials", "--service-account-private-key-file="+key("sa.key"), "--root-ca-file="+key("ca.crt"),
		"--cluster-signing-cert-file="+key("ca.crt"), "--cluster-signing-key-file="+key("ca.key"),
		"--client-ca-file="+key("ca.crt"), "--requestheader-client-ca-file="+key("front-proxy-ca.crt"),
		"--allocate-node-cidrs", "--cluster-cidr="+podCIDR, "--node-cidr-mask-size=24", "--service-cluster-ip-range="+serviceCIDR,
		"--flex-volume-plugin-dir="+p.path("volumeplugins")) // it would else be made on the host
	if _, err := p.start(ctx, "kube-controller-manager", p.tool("kube-controller-manager"), manager...); err != nil {
		return err
	}
	_, err := p.start(ctx, "kube-scheduler", p.tool("kube-scheduler"), shared("kube-scheduler")...)
	return err
}
