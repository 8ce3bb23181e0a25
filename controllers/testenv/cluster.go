package testenv

import (
	"context"
	"fmt"
	"os"
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
)

// Cluster is a real API server without nodes.
type Cluster struct {
	Config *rest.Config
	Scheme *runtime.Scheme
	// Client reads and writes as an administrator, past every gate.
	Client client.WithWatch

	env    *envtest.Environment
	assets string
}

// Start runs etcd and kube-apiserver with this project's CRDs. The caller must Stop it.
func Start(ctx context.Context) (*Cluster, error) {
	assets, err := findAssets(ctx)
	if err != nil {
		return nil, err
	}
	scheme, err := controllers.Scheme()
	if err != nil {
		return nil, err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	env := &envtest.Environment{
		BinaryAssetsDirectory:    assets,
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	config, err := env.Start()
	if err != nil {
		return nil, fmt.Errorf("starting the API server: %w", err)
	}
	config.QPS = -1
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &Cluster{Config: config, Scheme: scheme, Client: c, env: env, assets: assets}, nil
}

// Stop ends the API server and etcd.
func (c *Cluster) Stop() error { return c.env.Stop() }

// AddUser gives the configuration of another user, who has no rights yet.
func (c *Cluster) AddUser(user envtest.User) (*rest.Config, error) {
	added, err := c.env.AddUser(user, nil)
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

// findAssets takes KUBEBUILDER_ASSETS, else what the toolbox has built.
func findAssets(ctx context.Context) (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	toolbox := exec.CommandContext(ctx, "go", "run", "./hack/toolbox", "assets")
	toolbox.Dir, toolbox.Stderr = root, os.Stderr
	dir, err := toolbox.Output()
	if err != nil {
		return "", fmt.Errorf("finding the API server's binaries: %w", err)
	}
	return strings.TrimSpace(string(dir)), nil
}

func moduleRoot(ctx context.Context) (string, error) {
	file, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(file))), nil
}
