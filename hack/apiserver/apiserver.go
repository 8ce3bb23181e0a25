package apiserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/build"
)

// Server is a running API server.
type Server struct {
	env *envtest.Environment
	// Config connects to it as a cluster administrator, without a limit of requests.
	Config *rest.Config
	// Client reads and writes it without a cache, as a cluster administrator.
	Client client.Client
	// Assets is the folder of the binaries, kubectl among them.
	Assets string
	// Kubeconfig is the text of a file for other programs, as the same administrator.
	Kubeconfig []byte
}

// Start runs etcd and the API server on free loopback ports and installs the CRDs of
// config/crd. The first start on a machine builds the binaries, which takes minutes and
// says so on stderr. The caller must Stop it.
func Start(ctx context.Context) (*Server, error) {
	root, err := build.Root()
	if err != nil {
		return nil, err
	}
	assets := exec.CommandContext(ctx, "go", "run", "./hack/toolbox", "assets")
	assets.Dir, assets.Stderr = root, os.Stderr
	dir, err := assets.Output()
	if err != nil {
		return nil, fmt.Errorf("finding the API server's binaries: %w", err)
	}
	env := &envtest.Environment{
		BinaryAssetsDirectory:    strings.TrimSpace(string(dir)),
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
	c, err := client.New(config, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	return &Server{env: env, Config: config, Client: c, Assets: env.BinaryAssetsDirectory, Kubeconfig: env.KubeConfig}, nil
}

// AddUser makes another user, who has no rights but those of its groups.
func (s *Server) AddUser(user envtest.User) (*envtest.AuthenticatedUser, error) {
	return s.env.AddUser(user, nil)
}

// Stop ends the API server and etcd and removes their files.
func (s *Server) Stop() error { return s.env.Stop() }
