package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// requirement is a program of the distribution and why the cluster needs it.
type requirement struct {
	pkg  string
	file string // a name looked for on PATH, or an absolute path
	why  string
}

var requirements = []requirement{
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

// missing returns the requirements that are not met, where found tells whether a file is there.
func missing(found func(file string) bool) []requirement {
	var absent []requirement
	for _, r := range requirements {
		if !found(r.file) {
			absent = append(absent, r)
		}
	}
	return absent
}

func onThisMachine(file string) bool {
	if strings.HasPrefix(file, "/") {
		_, err := os.Stat(file)
		return err == nil
	}
	_, err := exec.LookPath(file)
	return err == nil
}

// preflight makes sure that the machine can carry a cluster, installing from the distribution what is missing.
func preflight(ctx context.Context) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a local cluster needs Linux, this is %s: use kind with a container engine", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("a local cluster needs root (namespaces, cgroups, network): run the same command with sudo -E env PATH=\"$PATH\"")
	}
	absent := missing(onThisMachine)
	if len(absent) == 0 {
		return nil
	}
	var packages []string
	for _, r := range absent {
		fmt.Printf("missing: %s, which %s (package %s)\n", r.file, r.why, r.pkg)
		if len(packages) == 0 || packages[len(packages)-1] != r.pkg {
			packages = append(packages, r.pkg)
		}
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this is no Debian or Ubuntu (no apt-get): install %s, or kind with a container engine, and try again", strings.Join(packages, ", "))
	}
	if err := install(ctx, packages); err != nil {
		return err
	}
	if absent = missing(onThisMachine); len(absent) > 0 {
		return fmt.Errorf("package %s is installed but has no %s: install a newer one by hand and try again", absent[0].pkg, absent[0].file)
	}
	return nil
}

func install(ctx context.Context, packages []string) error {
	fmt.Printf("installing %s with apt-get; they stay installed after down\n", strings.Join(packages, " "))
	restore, err := forbidServices()
	if err != nil {
		return err
	}
	defer restore()
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("running apt-get %s: %w", strings.Join(args, " "), err)
		}
	}
	return nil
}

// forbidServices keeps the packages from starting daemons on the host (containerd's would): the cluster starts its own.
func forbidServices() (restore func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	if _, err := os.Stat(policy); err == nil {
		return func() {}, nil // the machine has a policy of its own
	}
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return nil, fmt.Errorf("keeping packages from starting services: %w", err)
	}
	return func() { _ = os.Remove(policy) }, nil
}
