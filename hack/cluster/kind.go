package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/build"
)

// choose takes kind where it and a working container engine are present; ENIGMA_CLUSTER_PROVIDER=native or kind says
// otherwise.
func choose(ctx context.Context, p place) provider {
	switch os.Getenv("ENIGMA_CLUSTER_PROVIDER") {
	case "native":
		return native{p}
	case "kind":
		return kind{place: p, run: runCommand}
	}
	if _, running := p.running(); running {
		return native{p}
	}
	if _, err := exec.LookPath("kind"); err != nil {
		return native{p}
	}
	for _, engine := range []string{"docker", "podman"} {
		if exec.CommandContext(ctx, engine, "info").Run() == nil {
			return kind{place: p, run: runCommand}
		}
	}
	return native{p}
}

// kind is a cluster in containers, made by the program of that name.
type kind struct {
	place place
	run   func(ctx context.Context, name string, args ...string) (stdout string, err error)
}

// runCommand shows what the command says on standard error and returns what it says on standard output.
func runCommand(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

func (k kind) name() string { return k.place.cgroup() }

func (k kind) exists(ctx context.Context) (bool, error) {
	list, err := k.run(ctx, "kind", "get", "clusters")
	if err != nil {
		return false, err
	}
	for _, name := range strings.Fields(list) {
		if name == k.name() {
			return true, nil
		}
	}
	return false, nil
}

// Up creates the cluster where there is none. Its pods have the container engine's network: no way out needs opening.
func (k kind) Up(ctx context.Context, outbound []target) error {
	unlock, err := k.place.lock()
	if err != nil {
		return err
	}
	defer unlock()
	exists, err := k.exists(ctx)
	if err != nil {
		return err
	}
	if !exists {
		if _, err := k.run(ctx, "kind", "create", "cluster", "--name", k.name(), "--kubeconfig", k.place.hostConfig(), "--wait", "5m"); err != nil {
			return err
		}
	}
	for _, t := range outbound {
		if t.name() == hostAlias {
			return fmt.Errorf("outbound target %s: pods in kind don't reach the host's loopback; have the server listen on the container engine's bridge, and name that address", t)
		}
	}
	fmt.Printf("up, in kind; kubectl --kubeconfig %s\n", k.place.hostConfig())
	return nil
}

// Down deletes the cluster and ends the forwards.
func (k kind) Down(ctx context.Context) error {
	unlock, err := k.place.lock()
	if err != nil {
		return err
	}
	defer unlock()
	forwards, err := k.forwards()
	if err != nil {
		return err
	}
	for _, f := range forwards {
		f.Process.kill()
	}
	if _, err := k.run(ctx, "kind", "delete", "cluster", "--name", k.name(), "--kubeconfig", k.place.hostConfig()); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(k.forwardsFile()), os.RemoveAll(k.place.hostConfig()))
}

// Status is an error if there is no cluster.
func (k kind) Status(ctx context.Context) error {
	exists, err := k.exists(ctx)
	if err != nil {
		return err
	}
	if !exists {
		return errNotRunning
	}
	fmt.Printf("kind cluster %s; kubectl --kubeconfig %s\n", k.name(), k.place.hostConfig())
	return nil
}

// Kubeconfig returns the file's path.
func (k kind) Kubeconfig(ctx context.Context) (string, error) {
	exists, err := k.exists(ctx)
	if err == nil && !exists {
		err = errNotRunning
	}
	return k.place.hostConfig(), err
}

// Exec runs the command on the host with the cluster's kubeconfig: kind's network has no other inside.
func (k kind) Exec(ctx context.Context, command []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+k.place.hostConfig())
	return cmd.Run()
}

// Load puts archives into the node.
func (k kind) Load(ctx context.Context, archives []string) error {
	for _, archive := range archives {
		if _, err := k.run(ctx, "kind", "load", "image-archive", archive, "--name", k.name()); err != nil {
			return err
		}
	}
	return nil
}

// Images prints the references in the node's containerd.
func (k kind) Images(ctx context.Context) error {
	for _, engine := range []string{"docker", "podman"} {
		if _, err := exec.LookPath(engine); err != nil {
			continue
		}
		list, err := k.run(ctx, engine, "exec", k.name()+"-control-plane", "ctr", "--namespace", "k8s.io", "images", "list", "--quiet")
		fmt.Print(list)
		return err
	}
	return errors.New("listing images: no container engine on PATH")
}

type kindForward struct {
	Service string
	URL     string
	Process process
}

func (k kind) forwardsFile() string { return k.place.cached(k.place.ID + ".forwards.json") }

func (k kind) forwards() ([]kindForward, error) {
	text, err := os.ReadFile(k.forwardsFile())
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the forwards: %w", err)
	}
	var forwards []kindForward
	if err := json.Unmarshal(text, &forwards); err != nil {
		return nil, fmt.Errorf("reading the forwards: %w", err)
	}
	return forwards, nil
}

// Forward keeps one kubectl port-forward for each Service; it ends with down.
func (k kind) Forward(ctx context.Context, service serviceRef) (string, error) {
	unlock, err := k.place.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	forwards, err := k.forwards()
	if err != nil {
		return "", err
	}
	for _, f := range forwards {
		if f.Service == service.String() && f.Process.alive() {
			return f.URL, nil
		}
	}
	listener, err := listenStable(ctx, k.place.stablePort(service.String()))
	if err != nil {
		return "", err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close() // kubectl takes it
	kubectl, err := k.kubectl(ctx)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), kubectl, k.forwardArgs(service, port)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("forwarding to %s: %w", service, err)
	}
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	text, err := json.Marshal(append(forwards, kindForward{service.String(), url, newProcess(cmd.Process.Pid)}))
	if err != nil {
		return "", err
	}
	if err := replaceFile(k.forwardsFile(), text); err != nil {
		return "", fmt.Errorf("noting the forward: %w", err)
	}
	return url, poll(ctx, nil, func(ctx context.Context) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp4", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

func (k kind) forwardArgs(service serviceRef, port int) []string {
	return []string{"--kubeconfig", k.place.hostConfig(), "--namespace", service.Namespace, "port-forward", "service/" + service.Name, fmt.Sprintf("%d:%s", port, service.Port)}
}

func (k kind) kubectl(ctx context.Context) (string, error) {
	tools, err := build.Find("kubectl")
	if err != nil {
		return "", err
	}
	if err := (build.Builder{Root: k.place.Root, Out: os.Stderr}).Ensure(ctx, tools); err != nil {
		return "", err
	}
	return build.Path(k.place.Root, tools[0])
}
