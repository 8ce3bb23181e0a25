package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/crispy-enigma/crispy-enigma/hack/cloudflaretypes"
)

// generate makes every generated file of the repository at root anew, below out.
func generate(ctx context.Context, root, out string) error {
	gen, err := controllerGen(ctx, root)
	if err != nil {
		return err
	}
	steps := [][]string{
		{"object", "paths=./api/v1alpha1", "output:object:dir=" + filepath.Join(out, "api", "v1alpha1")},
		// temperature is a float: 0.7 is what every model server takes.
		{"crd:allowDangerousTypes=true", "paths=./api/v1alpha1", "output:crd:dir=" + filepath.Join(out, "config", "crd")},
		{"rbac:roleName=crispy-enigma-operator", "paths=./controllers/...", "output:rbac:dir=" + filepath.Join(out, "config", "rbac")},
	}
	for _, args := range steps {
		cmd := exec.CommandContext(ctx, gen, args...)
		cmd.Dir = root
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("controller-gen %s: %w\n%s", args[0], err, text)
		}
	}
	crds, err := filepath.Glob(filepath.Join(out, "config", "crd", "*.yaml"))
	if err != nil {
		return err
	}
	if len(crds) == 0 {
		return errors.New("controller-gen wrote no CRD")
	}
	if err := copyToChart(root, out, crds); err != nil {
		return err
	}
	wire, err := cloudflaretypes.Generate(root)
	if err != nil {
		return err
	}
	if err := write(out, cloudflaretypes.Target, wire); err != nil {
		return err
	}
	return writeReference(out, crds)
}

func controllerGen(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "run", "./hack/toolbox", "path", "controller-gen")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("finding controller-gen: %w", err)
	}
	return string(bytes.TrimSpace(path)), nil
}

func readCRD(path string) (*apiextensions.CustomResourceDefinition, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	crd := &apiextensions.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, crd); err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	return crd, nil
}
