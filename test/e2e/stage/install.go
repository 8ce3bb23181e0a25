package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/image"
)

// Where the images are said to come from; they are loaded, never pulled.
const (
	operatorRepository = "localhost/crispy-enigma-operator"
	runtimeRepository  = "localhost/crispy-enigma-runtime"
)

// install builds both images, loads those that are new, and installs the chart.
func (s *Stage) install(ctx context.Context) error {
	operator, err := s.Image(ctx, "./cmd/operator", operatorRepository)
	if err != nil {
		return err
	}
	runtime, err := s.Image(ctx, "./cmd/runtime", runtimeRepository)
	if err != nil {
		return err
	}
	s.step("chart")
	args := []string{"upgrade", "--install", Release, filepath.Join(s.root, "charts", "crispy-enigma"),
		"--kubeconfig", s.config, "--namespace", SystemNamespace, "--create-namespace",
		"--set", "image.repository=" + operatorRepository, "--set", "image.tag=" + operator,
		"--set", "runtimeImage.repository=" + runtimeRepository, "--set", "runtimeImage.tag=" + runtime,
		"--wait", "--timeout", "3m", "--hide-notes"}
	for _, v := range s.Values {
		args = append(args, "--set", v)
	}
	return s.loud(ctx, "helm", s.helm, args...)
}

// Image builds a command of this module, packs it and puts it into the cluster. The
// tag is the content's digest, so that a changed program rolls its pods and an
// unchanged one doesn't.
func (s *Stage) Image(ctx context.Context, pkg, repository string) (tag string, err error) {
	s.step("image %s", repository)
	dir := filepath.Join(s.root, ".cache", "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	name := filepath.Base(pkg)
	binary := filepath.Join(dir, name)
	if err := s.loud(ctx, "building "+pkg, "go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", binary, pkg); err != nil {
		return "", err
	}
	bundle, err := image.SystemCABundle()
	if err != nil {
		return "", err
	}
	archive := filepath.Join(dir, name+".tar")
	// The first build tells the digest, the second carries it as its tag.
	first, err := image.Build(image.Spec{Ref: repository + ":dev", Binary: binary, CABundle: bundle}, archive)
	if err != nil {
		return "", err
	}
	tag = first.Digest[len("sha256:"):][:12]
	built, err := image.Build(image.Spec{Ref: repository + ":" + tag, Binary: binary, CABundle: bundle}, archive)
	if err != nil {
		return "", err
	}
	s.say("%s, %.1f MiB compressed", built.Ref, float64(built.Compressed)/(1<<20))
	if err := s.Load(ctx, archive); err != nil {
		return "", fmt.Errorf("loading %s: %w", built.Ref, err)
	}
	return tag, nil
}
