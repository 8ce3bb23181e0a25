package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// hidden are the fixed paths to which kubelet, the network plugins and the runtime write; inside the cluster each is
// an empty file system of its own.
var hidden = []string{"/run", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods"}

// kernelSettings are the machine-wide values that kubelet insists on. Inside, files with the value cover the real
// ones: kubelet finds what it wants and the host's settings stay as they are, with nothing to be put back.
var kernelSettings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// insideInit is PID 1 of the cluster: it makes the namespaces habitable, starts the node and reaps orphans (the
// containers' shims are such). When it dies the kernel kills all the rest.
func insideInit(args []string) error {
	place, err := placeFromArgs(args)
	if err != nil {
		return err
	}
	if err := furnish(context.Background()); err != nil {
		return reportFailure(err)
	}
	node, err := startInsider("inside-node", place, nil)
	if err != nil {
		return reportFailure(err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for the node: %w", err)
		}
		if pid == node.Pid {
			return fmt.Errorf("the node ended (%v): its log is %s", status, place.log("node"))
		}
	}
}

func furnish(ctx context.Context) error {
	// Private first: nothing that happens here may travel to the host. Then shared, which kubelet needs for volumes.
	for _, flag := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|flag, ""); err != nil {
			return fmt.Errorf("parting from the host's mounts: %w", err)
		}
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, dir := range hidden {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("covering %s: %w", dir, err)
		}
	}
	if err := coverKernelSettings(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(nodeName)); err != nil {
		return fmt.Errorf("naming the node: %w", err)
	}
	return makeNetwork(ctx)
}

func coverKernelSettings() error {
	for name, value := range kernelSettings {
		real := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(real); err != nil {
			continue // this kernel has no such setting
		}
		cover := filepath.Join("/run/kernel-settings", strings.ReplaceAll(name, "/", "."))
		if err := os.MkdirAll(filepath.Dir(cover), 0o755); err != nil {
			return fmt.Errorf("covering %s: %w", real, err)
		}
		if err := os.WriteFile(cover, []byte(value+"\n"), 0o600); err != nil {
			return fmt.Errorf("covering %s: %w", real, err)
		}
		if err := unix.Mount(cover, real, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("covering %s: %w", real, err)
		}
	}
	return nil
}

// makeNetwork gives the node its address on a bridge without ports. The default route leads there too, so that every
// packet for the outside ends here.
func makeNetwork(ctx context.Context) error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "node0", "type", "bridge"},
		{"addr", "add", nodeIP + "/24", "dev", "node0"},
		{"link", "set", "node0", "up"},
		{"route", "add", "default", "dev", "node0"},
	} {
		if said, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, said)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600); err != nil {
		return fmt.Errorf("enabling forwarding: %w", err)
	}
	// Makes traffic between pods on the bridge visible to Services and NetworkPolicies.
	const bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if _, err := os.Stat(bridged); err != nil {
		return errors.New("the kernel's br_netfilter is not there: run modprobe br_netfilter on the host and try again")
	}
	if err := os.WriteFile(bridged, []byte("1"), 0o600); err != nil {
		return fmt.Errorf("making bridged traffic visible: %w", err)
	}
	return nil
}
