package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/image"
	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/build"
)

// native is a cluster on this machine's own kernel.
type native struct{ place place }

// silence is the longest time without a line while something is under way.
const silence = 10 * time.Second

// Up starts the cluster, or changes only its ways out where it runs already. What a dead one left is removed first.
func (c native) Up(ctx context.Context, outbound []target) error {
	start := time.Now()
	unlock, err := c.place.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if rec, running := c.place.running(); running {
		fmt.Printf("the cluster runs already (API server https://127.0.0.1:%d)\n", rec.APIPort)
		if err := c.checkHealth(ctx); err != nil {
			return err
		}
	} else if err := c.startNew(ctx); err != nil {
		return err
	}
	exits, err := ask[[]exit](ctx, c.place, "outbound", outbound)
	if err != nil {
		return err
	}
	printOutbound(exits)
	kubectl, err := os.Readlink(c.place.tool("kubectl"))
	if err != nil {
		return err
	}
	fmt.Printf("up in %.1fs; %s --kubeconfig %s\n", time.Since(start).Seconds(), kubectl, c.place.hostConfig())
	return nil
}

// checkHealth gives a component that is just being started again a while to come back.
func (c native) checkHealth(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	n := node{place: c.place, client: client}
	if err := poll(ctx, nil, n.nodeReady); err != nil {
		return fmt.Errorf("the cluster runs but is not well (%w): see `status` and the logs in %s, or begin anew with `down` and `up`", err, c.place.path("log"))
	}
	return nil
}

// client reaches the API server from the host.
func (c native) client() (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.place.hostConfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.Timeout = 10 * time.Second
	config.QPS = -1 // every forwarded connection asks once
	return kubernetes.NewForConfig(config)
}

func printOutbound(exits []exit) {
	if len(exits) == 0 {
		fmt.Println("pods reach nothing outside the cluster; open ways out with up --outbound HOST:PORT,…")
	}
	for _, e := range exits {
		fmt.Printf("pods reach %s as %s:%d, for example http(s)://%s:%d/v1 as a Tenant's base URL\n", e.Target, e.Name, e.Target.Port, e.Name, e.Target.Port)
	}
}

func (c native) startNew(ctx context.Context) error {
	if err := preflight(ctx); err != nil {
		return err
	}
	if err := c.clean(); err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	err := c.launch(ctx)
	if ctx.Err() != nil {
		fmt.Println("interrupted: removing what was started")
		return errors.Join(errors.New("interrupted"), c.remove())
	}
	return err
}

// prepare makes all that needs no namespaces: programs, images, certificates, configuration.
func (c native) prepare(ctx context.Context) error {
	tools, err := build.Find("cluster")
	if err != nil {
		return err
	}
	if err := (build.Builder{Root: c.place.Root, Out: os.Stdout}).Ensure(ctx, tools); err != nil {
		return err
	}
	if err := c.makeDir(); err != nil {
		return err
	}
	if err := build.Link(c.place.Root, c.place.path("bin"), tools); err != nil {
		return err
	}
	for name, ref := range map[string]string{"pause": pauseImage, "coredns": corednsImage} {
		if err := c.ownImage(name, ref); err != nil {
			return err
		}
	}
	if err := makePKI(c.place); err != nil {
		return err
	}
	if err := prepareDNS(c.place); err != nil {
		return err
	}
	// Modules that the kernel doesn't load by itself; where they are built in, or missing, the node finds out.
	_ = exec.CommandContext(ctx, "modprobe", "-a", "br_netfilter", "overlay").Run()
	return nil
}

func (c native) makeDir() error {
	if err := os.Mkdir(c.place.Dir, 0o700); err != nil {
		return fmt.Errorf("making the cluster's folder: %w", err)
	}
	if err := os.Mkdir(c.place.path("log"), 0o700); err != nil {
		return fmt.Errorf("making the cluster's folder: %w", err)
	}
	return nil
}

// ownImage packs one of the cluster's own programs, unless its image is newer than the program.
func (c native) ownImage(name, ref string) error {
	binary, err := os.Stat(c.place.tool(name))
	if err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	archive := c.place.cached(name + ".tar")
	if have, err := os.Stat(archive); err == nil && have.ModTime().After(binary.ModTime()) {
		return nil
	}
	_, err = image.Build(image.Spec{Ref: ref, Binary: c.place.tool(name), Name: name}, archive)
	return err
}

// tool is the path of a tool that prepare has linked.
func (p place) tool(name string) string { return p.path("bin", name) }

// launch starts the host process, which outlives us, and shows what it and the roles inside say until all is ready.
func (c native) launch(ctx context.Context) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	defer func() { _ = reader.Close() }()
	out, err := os.OpenFile(c.place.log("host"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		_ = writer.Close()
		return fmt.Errorf("starting the cluster: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd := insiderCommand(context.WithoutCancel(ctx), "inside-host", c.place)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{writer}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the end of our terminal is not its end
	err = cmd.Start()
	_ = writer.Close()
	if err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := c.follow(reader); err != nil {
		return err
	}
	return cmd.Process.Release()
}

func (c native) follow(reader *os.File) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	start, last := time.Now(), "the start of etcd and kube-apiserver"
	tick := time.NewTicker(silence)
	defer tick.Stop()
	var failure []string
	for {
		select {
		case line, open := <-lines:
			text, failed := strings.CutPrefix(line, saidFailed)
			switch {
			case !open && len(failure) > 0:
				return fmt.Errorf("the cluster did not start: %s\nall logs are in %s", strings.Join(failure, "\n"), c.place.path("log"))
			case !open:
				return fmt.Errorf("the cluster died while it started; the last lines of %s:\n%s", c.place.log("host"), tail(c.place.log("host")))
			case line == saidReady:
				return nil
			case failed:
				failure = append(failure, text)
			default:
				fmt.Println(line)
				last = strings.TrimLeft(line, " 0123456789.s")
			}
			tick.Reset(silence)
		case <-tick.C:
			fmt.Printf("%6.1fs  still starting; the last step was: %s\n", time.Since(start).Seconds(), last)
		}
	}
}

// Kubeconfig returns the file's path. It asks for nothing that only root can see: the file is the user's.
func (c native) Kubeconfig(context.Context) (string, error) {
	if _, err := os.Stat(c.place.hostConfig()); err != nil {
		return "", errNotRunning
	}
	return c.place.hostConfig(), nil
}

// Forward returns the URL on the host under which the Service answers.
func (c native) Forward(ctx context.Context, service serviceRef) (string, error) {
	if _, running := c.place.running(); !running {
		return "", errNotRunning
	}
	return ask[string](ctx, c.place, "forward", service)
}

// Exec becomes the command, inside the cluster's namespaces, in the same folder, with kubectl and ctr ready to use.
func (c native) Exec(_ context.Context, command []string) error {
	rec, running := c.place.running()
	if !running {
		return errNotRunning
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return fmt.Errorf("entering the cluster: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("entering the cluster: %w", err)
	}
	env := append(os.Environ(), "KUBECONFIG="+c.place.adminConfig(), "CONTAINERD_ADDRESS="+c.place.containerd(), "CONTAINERD_NAMESPACE=k8s.io",
		"PATH="+c.place.path("bin")+":"+os.Getenv("PATH"))
	args := append([]string{"nsenter", "-t", fmt.Sprint(rec.Init.PID), "-n", "-m", "-p", "-i", "-u", "--", "env", "-C", dir}, command...)
	return syscall.Exec(nsenter, args, env)
}

// clean removes what is left of a cluster of this place, alive or dead.
func (c native) clean() error {
	if _, err := os.Stat(c.place.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	fmt.Printf("removing what an earlier cluster left in %s\n", filepath.Base(c.place.Dir))
	return c.remove()
}
