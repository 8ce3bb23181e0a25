package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/distro"
)

var requirements = []distro.Requirement{
	{"containerd", "containerd", "runs the containers"},
	{"containerd", "ctr", "loads images"},
	{"runc", "runc", "starts a container"},
	{"containernetworking-plugins", cniDir + "/bridge", "gives pods their addresses"},
	{"containernetworking-plugins", cniDir + "/portmap", "gives pods their addresses"},
	{"iptables", "iptables", "is called by the network plugins"},
	{"nftables", "nft", "routes Services and enforces NetworkPolicies"},
	{"iproute2", "ip", "sets up the cluster's network"},
	{"util-linux", "nsenter", "enters the cluster's namespaces"},
	{"mount", "mount", "is called by kubelet"},
}

// preflight makes sure that the machine can carry a cluster, installing from the distribution what is missing.
func preflight(ctx context.Context) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a local cluster needs Linux, this is %s: use kind with a container engine", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("a local cluster needs root (namespaces, cgroups, network): run the same command with sudo -E env PATH=\"$PATH\"")
	}
	return distro.Ensure(ctx, os.Stdout, requirements)
}
