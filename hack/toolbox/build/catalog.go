package build

import (
	"fmt"
	"slices"
	"strings"
)

// Tool is one program that can be built.
type Tool struct {
	Name    string
	Modfile string // file in hack/tools; empty: the project's own go.mod
	Module  string // the module whose required version is the tool's; empty: built from this repository, version "dev"
	Package string // import path, or a path in this repository starting with ./
	Ldflags func(version string) string
}

func plain(string) string { return "-s -w" }

// Without these the Kubernetes programs call themselves v0.0.0-master, which clients and admission take for v0.0.
func kubernetesVersion(version string) string {
	const v = "k8s.io/component-base/version."
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return "-s -w"
	}
	return fmt.Sprintf("-s -w -X %sgitVersion=%s -X %sgitMajor=%s -X %sgitMinor=%s", v, version, v, parts[0], v, parts[1])
}

func kubernetes(name string) Tool {
	return Tool{Name: name, Modfile: "kubernetes.mod", Module: "k8s.io/kubernetes", Package: "k8s.io/kubernetes/cmd/" + name, Ldflags: kubernetesVersion}
}

// Catalog is every tool, in the order in which a build of several runs: those that much else waits for come first.
var Catalog = []Tool{
	{Name: "controller-gen", Modfile: "controller-gen.mod", Module: "sigs.k8s.io/controller-tools", Package: "sigs.k8s.io/controller-tools/cmd/controller-gen", Ldflags: plain},
	{Name: "etcd", Modfile: "etcd.mod", Module: "go.etcd.io/etcd/server/v3", Package: "go.etcd.io/etcd/server/v3", Ldflags: plain},
	kubernetes("kube-apiserver"),
	kubernetes("kubectl"),
	kubernetes("kube-controller-manager"),
	kubernetes("kube-scheduler"),
	kubernetes("kubelet"),
	kubernetes("kube-proxy"),
	{Name: "coredns", Modfile: "coredns.mod", Module: "github.com/coredns/coredns", Package: "./hack/cluster/_coredns", Ldflags: plain},
	{Name: "pause", Package: "./hack/cluster/pause", Ldflags: plain},
	{Name: "helm", Modfile: "helm.mod", Module: "helm.sh/helm/v4", Package: "helm.sh/helm/v4/cmd/helm", Ldflags: plain},
	{Name: "golangci-lint", Modfile: "golangci-lint.mod", Module: "github.com/golangci/golangci-lint/v2", Package: "github.com/golangci/golangci-lint/v2/cmd/golangci-lint", Ldflags: plain},
}

// Names of tools that are wanted together.
var (
	// Envtest is what tests against a real API server and controller-manager start.
	Envtest = []string{"etcd", "kube-apiserver", "kubectl", "kube-controller-manager"}
	// Cluster is what the local cluster runs.
	Cluster = []string{"etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns", "pause"}
)

// Find returns the named tools in catalog order, each once. The group names "envtest" and "cluster" stand for their
// members. An unknown name is an error that lists the known ones.
func Find(names ...string) ([]Tool, error) {
	var want []string
	for _, name := range names {
		switch name {
		case "envtest":
			want = append(want, Envtest...)
		case "cluster":
			want = append(want, Cluster...)
		default:
			want = append(want, name)
		}
	}
	var known []string
	var found []Tool
	for _, tool := range Catalog {
		known = append(known, tool.Name)
		if slices.Contains(want, tool.Name) {
			found = append(found, tool)
		}
	}
	for _, name := range want {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no tool is called %q; known: %s, and the groups envtest and cluster", name, strings.Join(known, ", "))
		}
	}
	return found, nil
}
