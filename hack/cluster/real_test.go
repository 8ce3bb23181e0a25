package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// real drives the program as people do: as a program.
type real struct {
	t      *testing.T
	place  place
	binary string
}

func newReal(t *testing.T) real {
	place, err := findPlace()
	if err != nil {
		t.Fatal(err)
	}
	c := real{t: t, place: place, binary: filepath.Join(t.TempDir(), "cluster")}
	gobuild(t, c.binary, ".")
	return c
}

func gobuild(t *testing.T, out, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

func (c real) try(args ...string) (string, error) {
	said, err := exec.CommandContext(context.WithoutCancel(c.t.Context()), c.binary, args...).CombinedOutput()
	return strings.TrimSpace(string(said)), err
}

func (c real) run(args ...string) string {
	c.t.Helper()
	said, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%v: %v: %s", args, err, said)
	}
	return said
}

func (c real) timed(what string, args ...string) {
	c.t.Helper()
	start := time.Now()
	said := c.run(args...)
	c.t.Logf("%s: %.1fs\n%s", what, time.Since(start).Seconds(), said)
}

func (c real) load(ref string) string {
	c.t.Helper()
	dir := c.t.TempDir()
	gobuild(c.t, filepath.Join(dir, "probe"), "./testdata/probe")
	c.t.Log(c.run("image", "--ref", ref, "--binary", filepath.Join(dir, "probe"), "--out", filepath.Join(dir, "probe.tar")))
	return c.run("load", filepath.Join(dir, "probe.tar"))
}

// kubectl runs on the host, with the kubeconfig for the host.
func (c real) kubectl(args ...string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), c.place.tool("kubectl"), append([]string{"--kubeconfig", c.run("kubeconfig")}, args...)...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("kubectl %v: %v: %s", args, err, said)
	}
	return strings.TrimSpace(string(said))
}

func (c real) forward(service string) string {
	c.t.Helper()
	return c.run("forward", "--service", service)
}

func fetch(t *testing.T, from, address string) string {
	t.Helper()
	return get(t, from+"/fetch?q="+url.QueryEscape(address))
}

// get returns the body whatever the status.
func get(t *testing.T, address string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func eventually(t *testing.T, observe func() string, want string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = observe(); got == want {
			return
		}
	}
	t.Errorf("after 30 s: %s, want %q", got, want)
}

// hostAddress is one of the host's own, other than loopback.
func hostAddress(t *testing.T) string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			return ip.IP.String()
		}
	}
	return "192.0.2.1"
}

// networks are the network namespaces of the cluster: its own and its pods'.
func (c real) networks(t *testing.T) map[string]bool {
	t.Helper()
	rec, _ := c.place.readRecord()
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for process, network := range networkOf(t) {
		group, _ := os.ReadFile("/proc/" + process + "/cgroup")
		if network != host && (process == fmt.Sprint(rec.Init.PID) || strings.Contains(string(group), "/"+c.place.cgroup()+"/")) {
			found[network] = true
		}
	}
	return found
}

// networkOf gives each process's network namespace.
func networkOf(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		if network, err := os.Readlink(process + "/ns/net"); err == nil {
			found[filepath.Base(process)] = network
		}
	}
	return found
}

// snapshot is what a cluster could leave behind: processes, mounts, control groups, kernel settings, folders in the
// places where its components write. What another cluster on the machine has, now or later, is not in it.
func snapshot(t *testing.T) map[string][]string {
	t.Helper()
	seen := map[string][]string{}
	place, err := findPlace()
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	seen["mounts"] = strings.Split(string(mounts), "\n")
	for _, h := range hierarchies(string(mounts)) {
		groups, _ := filepath.Glob(filepath.Join(h.dir, place.cgroup()))
		seen["groups"] = append(seen["groups"], groups...)
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		line, _ := os.ReadFile(process + "/cmdline")
		for _, mark := range []string{place.Dir, "\x00" + place.Root + "\x00test\x00"} {
			if strings.Contains(string(line), mark) {
				seen["processes"] = append(seen["processes"], strings.ReplaceAll(string(line), "\x00", " "))
			}
		}
	}
	for name := range kernelSettings {
		value, _ := os.ReadFile("/proc/sys/" + name)
		seen["kernel settings"] = append(seen["kernel settings"], name+"="+strings.TrimSpace(string(value)))
	}
	slices.Sort(seen["kernel settings"])
	for _, pattern := range []string{"/var/lib/*", "/var/log/*", "/run/*", "/opt/*", "/etc/*", "/etc/cni/*", "/usr/libexec/*", "/sys/class/net/*", "/tmp/containerd*", "/tmp/kube*", place.Dir} {
		found, _ := filepath.Glob(pattern)
		for _, path := range found {
			if len(place.others()) == 0 || !slices.Contains(hidden, path) {
				seen["folders"] = append(seen["folders"], path)
			}
		}
	}
	return seen
}
