package testenv

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crispy-enigma/crispy-enigma/controllers"
	"github.com/crispy-enigma/crispy-enigma/hack/apiserver"
)

// Cluster is a real API server without nodes.
type Cluster struct {
	Config *rest.Config
	Scheme *runtime.Scheme
	// Client reads and writes as an administrator, past every gate.
	Client client.WithWatch

	server *apiserver.Server
}

// Start runs etcd and kube-apiserver with this project's CRDs. The caller must Stop it.
func Start(ctx context.Context) (*Cluster, error) {
	scheme, err := controllers.Scheme()
	if err != nil {
		return nil, err
	}
	server, err := apiserver.Start(ctx)
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to the API server: %w", err), server.Stop())
	}
	return &Cluster{Config: server.Config, Scheme: scheme, Client: c, server: server}, nil
}

// Stop ends the API server and etcd.
func (c *Cluster) Stop() error { return c.server.Stop() }

// AddUser gives the configuration of another user, who has no rights yet.
func (c *Cluster) AddUser(user envtest.User) (*rest.Config, error) {
	added, err := c.server.AddUser(user)
	if err != nil {
		return nil, fmt.Errorf("adding user %s: %w", user.Name, err)
	}
	return added.Config(), nil
}

// InstallGatewayAPI puts the HTTPRoute of the Gateway API into the cluster, until remove
// is called.
func (c *Cluster) InstallGatewayAPI(ctx context.Context) (remove func() error, err error) {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		return nil, fmt.Errorf("finding the Gateway API's module: %w", err)
	}
	options := envtest.CRDInstallOptions{
		Paths:              []string{filepath.Join(strings.TrimSpace(string(dir)), "config", "crd", "standard", "gateway.networking.k8s.io_httproutes.yaml")},
		ErrorIfPathMissing: true,
	}
	if _, err := envtest.InstallCRDs(c.Config, options); err != nil {
		return nil, fmt.Errorf("installing the Gateway API: %w", err)
	}
	return func() error { return c.uninstall(options) }, nil
}

// uninstall returns when the API server has forgotten the kind.
func (c *Cluster) uninstall(options envtest.CRDInstallOptions) error {
	if err := envtest.UninstallCRDs(c.Config, options); err != nil {
		return err
	}
	served, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		_, err := served.ServerResourcesForGroupVersion(gatewayv1.GroupVersion.String())
		return apierrors.IsNotFound(err), nil
	})
}
