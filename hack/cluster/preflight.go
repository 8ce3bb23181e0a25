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
	{Package: "containerd", File: "containerd", Why: "runs the containers"},
	{Package: "containerd", File: "ctr", Why: "loads images"},
	{Package: "runc", File: "runc", Why: "starts a container"},
	{Package: "containernetworking-plugins", File: cniDir + "/bridge", Why: "gives pods their addresses"},
	{Package: "containernetworking-plugins", File: cniDir + "/portmap", Why: "gives pods their addresses"},
	{Package: "iptables", File: "iptables", Why: "is called by the network plugins"},
	{Package: "nftables", File: "nft", Why: "routes Services and enforces NetworkPolicies"},
	{Package: "iproute2", File: "ip", Why: "sets up the cluster's network"},
	{Package: "util-linux", File: "nsenter", Why: "enters the cluster's namespaces"},
	{Package: "mount", File: "mount", Why: "is called by kubelet"},
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
