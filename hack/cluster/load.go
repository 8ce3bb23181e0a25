package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// ctr talks to the cluster's containerd; the images of pods are in the namespace k8s.io.
func (p place) ctr(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"--address", p.containerd(), "--namespace", "k8s.io"}, args...)...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", args[0], err, strings.TrimSpace(string(said)))
	}
	return string(said), nil
}

// importImage puts a docker-archive into the cluster and makes sure that it is there: ctr passes over images of
// another platform and calls it success.
func (p place) importImage(ctx context.Context, archive string) error {
	refs, err := references(archive)
	if err != nil {
		return err
	}
	if _, err := p.ctr(ctx, "images", "import", archive); err != nil {
		return fmt.Errorf("loading %s: %w", archive, err)
	}
	have, err := p.imageRefs(ctx)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if !slices.Contains(have, ref) {
			return fmt.Errorf("loading %s: containerd took the file but has no image %s: is it built for this machine's architecture?", archive, ref)
		}
	}
	return nil
}

func (p place) imageRefs(ctx context.Context) ([]string, error) {
	list, err := p.ctr(ctx, "images", "list", "--quiet")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(strings.Fields(list), func(ref string) bool { return strings.HasPrefix(ref, "sha256:") }), nil
}

// references reads the names of the images in a docker-archive.
func references(archive string) ([]string, error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, fmt.Errorf("reading an image: %w", err)
	}
	defer func() { _ = file.Close() }()
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s is no docker-archive: it has no manifest.json (build one with `go run ./hack/cluster image`)", archive)
		}
		if err != nil {
			return nil, fmt.Errorf("%s is no tar file: %w", archive, err)
		}
		if header.Name != "manifest.json" {
			continue
		}
		var manifest []struct{ RepoTags []string }
		if err := json.NewDecoder(reader).Decode(&manifest); err != nil {
			return nil, fmt.Errorf("reading manifest.json of %s: %w", archive, err)
		}
		var refs []string
		for _, image := range manifest {
			refs = append(refs, image.RepoTags...)
		}
		if len(refs) == 0 {
			return nil, fmt.Errorf("%s names no image", archive)
		}
		return refs, nil
	}
}

// Load puts archives into the cluster, passing over those that it has taken already, byte for byte.
func (c native) Load(ctx context.Context, archives []string) error {
	if _, running := c.place.running(); !running {
		return errNotRunning
	}
	unlock, err := c.place.lock()
	if err != nil {
		return err
	}
	defer unlock()
	loaded, err := c.place.loadedImages()
	if err != nil {
		return err
	}
	for _, archive := range archives {
		refs, err := references(archive)
		if err != nil {
			return err
		}
		sum, err := digest(archive)
		if err != nil {
			return err
		}
		names := strings.Join(refs, " ")
		if loaded[names] == sum {
			fmt.Printf("%s is loaded already\n", names)
			continue
		}
		if err := c.place.importImage(ctx, archive); err != nil {
			return err
		}
		loaded[names] = sum
		text, err := json.Marshal(loaded)
		if err != nil {
			return err
		}
		if err := replaceFile(c.place.path("images.json"), text); err != nil {
			return fmt.Errorf("noting what is loaded: %w", err)
		}
		fmt.Printf("loaded %s\n", names)
	}
	return nil
}

// Images prints the references in the cluster's containerd.
func (c native) Images(ctx context.Context) error {
	if _, running := c.place.running(); !running {
		return errNotRunning
	}
	refs, err := c.place.imageRefs(ctx)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		fmt.Println(ref)
	}
	return nil
}

func (p place) loadedImages() (map[string]string, error) {
	loaded := map[string]string{}
	text, err := os.ReadFile(p.path("images.json"))
	if os.IsNotExist(err) {
		return loaded, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is loaded: %w", err)
	}
	if err := json.Unmarshal(text, &loaded); err != nil {
		return nil, fmt.Errorf("reading what is loaded: %w", err)
	}
	return loaded, nil
}

func digest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading an image: %w", err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", fmt.Errorf("reading an image: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
