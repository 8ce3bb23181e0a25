package stage

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/alive"
	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/build"
)

// Where the chart is installed.
const (
	Release         = "crispy-enigma"
	SystemNamespace = "crispy-enigma-system"
)

// Options of a stage.
type Options struct {
	// Name tells further clusters of one clone apart. Empty is the developer's own.
	Name string
	// Outbound are the host:port pairs that pods may reach outside the cluster, with
	// commas between them.
	Outbound string
	// Values of the chart, as name=value.
	Values []string
	// Out gets the lines for a person.
	Out io.Writer
}

// Stage is a running cluster with the product in it.
type Stage struct {
	Options
	root    string
	cluster string
	kubectl string
	helm    string
	config  string
	begin   time.Time
}

// Raise starts the cluster, or finds it, and installs the product as it is in the
// work tree.
func Raise(ctx context.Context, o Options) (*Stage, error) {
	s := &Stage{Options: o, begin: time.Now()}
	if err := s.tools(ctx); err != nil {
		return nil, err
	}
	s.step("cluster")
	up := []string{"up"}
	if o.Outbound != "" {
		up = append(up, "--outbound", o.Outbound)
	}
	if err := s.loud(ctx, "cluster", s.cluster, up...); err != nil {
		return nil, err
	}
	config, err := s.quiet(ctx, s.cluster, "kubeconfig")
	if err != nil {
		return nil, err
	}
	s.config = config
	if err := s.install(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Open lets pods reach these host:port pairs outside the cluster, with commas between
// them, and no others.
func (s *Stage) Open(ctx context.Context, outbound string) error {
	return s.loud(ctx, "cluster", s.cluster, "up", "--outbound", outbound)
}

// Strike ends the cluster and all that it made.
func (s *Stage) Strike(ctx context.Context) error {
	return s.loud(ctx, "cluster down", s.cluster, "down")
}

func (s *Stage) tools(ctx context.Context) error {
	root, err := build.Root()
	if err != nil {
		return err
	}
	s.root = root
	builder := build.Builder{Root: root, Out: s.Out}
	tools, err := build.Find("kubectl", "helm")
	if err != nil {
		return err
	}
	if err := builder.Ensure(ctx, tools); err != nil {
		return err
	}
	for _, t := range tools {
		path, err := build.Path(root, t)
		if err != nil {
			return err
		}
		if t.Name == "kubectl" {
			s.kubectl = path
		} else {
			s.helm = path
		}
	}
	s.cluster = filepath.Join(root, ".cache", "bin", "cluster-dev")
	return s.loud(ctx, "building hack/cluster", "go", "build", "-buildvcs=false", "-o", s.cluster, "./hack/cluster")
}

// Kubectl runs kubectl and returns what it printed.
func (s *Stage) Kubectl(ctx context.Context, args ...string) (string, error) {
	return s.quiet(ctx, s.kubectl, append([]string{"--kubeconfig", s.config}, args...)...)
}

// Kubeconfig is the path of a kubeconfig that works on the host.
func (s *Stage) Kubeconfig() string { return s.config }

// KubectlPath is the kubectl that the stage uses.
func (s *Stage) KubectlPath() string { return s.kubectl }

// Root is the repository's directory.
func (s *Stage) Root() string { return s.root }

// Apply applies a manifest to a namespace, which it makes if need be.
func (s *Stage) Apply(ctx context.Context, namespace, manifest string) error {
	if err := s.namespace(ctx, namespace); err != nil {
		return err
	}
	_, err := s.pipe(ctx, manifest, s.kubectl, "--kubeconfig", s.config, "apply", "-n", namespace, "-f", "-")
	return err
}

func (s *Stage) namespace(ctx context.Context, name string) error {
	if _, err := s.Kubectl(ctx, "get", "namespace", name); err == nil {
		return nil
	}
	_, err := s.Kubectl(ctx, "create", "namespace", name)
	return err
}

// Ready waits until a Tenant is Ready, telling its reason and message as they
// change.
func (s *Stage) Ready(ctx context.Context, namespace, tenant string, patience time.Duration) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	told := ""
	const state = `{.status.conditions[?(@.type=="Ready")].status}|{.status.conditions[?(@.type=="Ready")].reason}|{.status.conditions[?(@.type=="Ready")].message}`
	for {
		now, err := s.Kubectl(ctx, "get", "tenant", tenant, "-n", namespace, "-o", "jsonpath="+state)
		if err == nil && now != told {
			told = now
			status, why, _ := strings.Cut(now, "|")
			s.say("tenant %s/%s: Ready=%s %s", namespace, tenant, status, strings.Replace(why, "|", ": ", 1))
			if status == "True" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("tenant %s/%s was not Ready within %s: %s", namespace, tenant, patience, told)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Key reads one of a tenant's API keys from its Secret.
func (s *Stage) Key(ctx context.Context, namespace, tenant, key string) (string, error) {
	text, err := s.Kubectl(ctx, "get", "secret", "tenant-"+tenant+"-keys", "-n", namespace, "-o", "jsonpath={.data."+key+"}")
	if err != nil {
		return "", err
	}
	value, err := base64.StdEncoding.DecodeString(text)
	return string(value), err
}

// URL is an address on 127.0.0.1 that reaches a tenant's API from the host.
func (s *Stage) URL(ctx context.Context, namespace, tenant string) (string, error) {
	return s.Forward(ctx, namespace+"/tenant-"+tenant+":80")
}

// Forward is an address on 127.0.0.1 that reaches a Service, given as
// namespace/name:port.
func (s *Stage) Forward(ctx context.Context, service string) (string, error) {
	return s.quiet(ctx, s.cluster, "forward", "--service", service)
}

// Inside is a command that runs in the cluster's network, as a pod on the node's own
// network would.
func (s *Stage) Inside(ctx context.Context, command ...string) *exec.Cmd {
	return s.command(ctx, s.cluster, append([]string{"exec", "--"}, command...)...)
}

// Load puts an image archive into the cluster.
func (s *Stage) Load(ctx context.Context, archive string) error {
	return s.loud(ctx, "loading an image", s.cluster, "load", archive)
}

func (s *Stage) step(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Out, "==> %s\n", fmt.Sprintf(format, args...))
}

func (s *Stage) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Out, "%7.1fs  %s\n", time.Since(s.begin).Seconds(), fmt.Sprintf(format, args...))
}

// loud runs a command whose output is for the person who waits.
func (s *Stage) loud(ctx context.Context, name, command string, args ...string) error {
	if _, err := alive.Run(s.Out, name, alive.Silence, s.command(ctx, command, args...)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (s *Stage) command(ctx context.Context, command string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir = s.root
	// Images hold static programs, and nothing but them.
	cmd.Env = append(os.Environ(), "ENIGMA_CLUSTER="+s.Name, "CGO_ENABLED=0")
	return cmd
}

func (s *Stage) quiet(ctx context.Context, command string, args ...string) (string, error) {
	return s.pipe(ctx, "", command, args...)
}

// pipe runs a command and returns what it printed, trimmed; its error holds what it
// complained about.
func (s *Stage) pipe(ctx context.Context, in, command string, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := s.command(ctx, command, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w", filepath.Base(command), strings.Join(args, " "), errors.Join(err, errors.New(strings.TrimSpace(complaint.String()))))
	}
	return strings.TrimSpace(out.String()), nil
}
