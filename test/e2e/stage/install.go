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
	binary := filepath.Join(s.root, ".cache", "images", filepath.Base(pkg))
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
	}
	if err := s.loud(ctx, "building "+pkg, "go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", binary, pkg); err != nil {
		return "", err
	}
	bundle, err := image.SystemCABundle()
	if err != nil {
		return "", err
	}
	return s.pack(ctx, image.Spec{Binary: binary, CABundle: bundle}, repository)
}

// pack makes an image of a program and puts it into the cluster.
func (s *Stage) pack(ctx context.Context, spec image.Spec, repository string) (tag string, err error) {
	archive := filepath.Join(s.root, ".cache", "images", filepath.Base(repository)+".tar")
	// The first build tells the digest, the second carries it as its tag.
	spec.Ref = repository + ":dev"
	first, err := image.Build(spec, archive)
	if err != nil {
		return "", err
	}
	tag = first.Digest[len("sha256:"):][:12]
	spec.Ref = repository + ":" + tag
	built, err := image.Build(spec, archive)
	if err != nil {
		return "", err
	}
	s.say("%s, %.1f MiB compressed", built.Ref, float64(built.Compressed)/(1<<20))
	if err := s.Load(ctx, archive); err != nil {
		return "", fmt.Errorf("loading %s: %w", built.Ref, err)
	}
	return tag, nil
}
