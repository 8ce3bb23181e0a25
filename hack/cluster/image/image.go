// Package image packs one binary into a container image without a container engine.
//
// It promises: the same binary and the same Spec give the same bytes, so an unchanged program is known by its
// digest and not loaded again; the image holds the binary, what the Spec asks for beside it, and nothing else, and
// runs as a numeric non-root user. It writes the docker-archive format, which containerd, docker, podman and kind load.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Spec says what goes into an image.
type Spec struct {
	Ref    string   // repository:tag, such as localhost/runtime:dev
	Binary string   // file of a static executable for this machine's architecture; it becomes /<its base name>
	Name   string   // name of the binary inside, if it shall differ from its file's
	Args   []string // arguments that the entrypoint always gets
	// CABundle is a PEM file that becomes /etc/ssl/certs/ca-certificates.crt. Empty: none is put in.
	CABundle string
	// Libraries puts in what a program of the distribution needs of it: the loader and the shared libraries. The binary
	// must be linked dynamically then, and statically without.
	Libraries bool
}

// Result describes a written image.
type Result struct {
	Ref        string
	Digest     string // sha256:… of the image's configuration: its image id
	Size       int64  // bytes of the layer, unpacked
	Compressed int64  // bytes of the layer as a registry would store it (gzip, default level)
}

// user is the customary "nonroot" of images without a user database; numeric, or kubelet can't check runAsNonRoot.
const user = "65532:65532"

// Build writes the image to out, replacing it whole or not at all.
func Build(spec Spec, out string) (Result, error) {
	result, err := write(spec, out)
	if err != nil {
		return Result{}, fmt.Errorf("building image %s: %w", spec.Ref, err)
	}
	return result, nil
}

func write(spec Spec, out string) (Result, error) {
	if err := checkRef(spec.Ref); err != nil {
		return Result{}, err
	}
	layer, entrypoint, err := layerOf(spec)
	if err != nil {
		return Result{}, err
	}
	sum := sha256.Sum256(layer)
	config, err := json.Marshal(configuration(append([]string{entrypoint}, spec.Args...), "sha256:"+hex.EncodeToString(sum[:])))
	if err != nil {
		return Result{}, err
	}
	id := sha256.Sum256(config)
	configName := hex.EncodeToString(id[:]) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{spec.Ref}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return Result{}, err
	}
	var archive bytes.Buffer
	files := []file{{name: "manifest.json", data: manifest}, {name: configName, data: config}, {name: "layer.tar", data: layer}}
	if err := writeTar(&archive, files); err != nil {
		return Result{}, err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return Result{}, err
	}
	next := out + ".next"
	if err := os.WriteFile(next, archive.Bytes(), 0o600); err != nil {
		return Result{}, err
	}
	if err := os.Rename(next, out); err != nil {
		return Result{}, err
	}
	return Result{Ref: spec.Ref, Digest: "sha256:" + hex.EncodeToString(id[:]), Size: int64(len(layer)), Compressed: compressed(layer)}, nil
}

// checkRef refuses references that a loader would silently rename or drop: no tag, or a registry that is not spelled out.
func checkRef(ref string) error {
	name, tag, tagged := strings.Cut(ref[strings.LastIndex(ref, "/")+1:], ":")
	if !strings.Contains(ref, "/") || !tagged || name == "" || tag == "" || strings.ContainsAny(ref, "@ \t") {
		return fmt.Errorf("reference %q is not of the form localhost/name:tag", ref)
	}
	return nil
}

func layerOf(spec Spec) (layer []byte, entrypoint string, err error) {
	binary, err := os.ReadFile(spec.Binary)
	if err != nil {
		return nil, "", err
	}
	beside, err := besideOf(spec, binary)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", spec.Binary, err)
	}
	name := spec.Name
	if name == "" {
		name = filepath.Base(spec.Binary)
	}
	entrypoint = "/" + name
	files := append(beside, file{name: name, data: binary, mode: 0o555})
	if spec.CABundle != "" {
		bundle, err := os.ReadFile(spec.CABundle)
		if err != nil {
			return nil, "", err
		}
		if !bytes.Contains(bundle, []byte("-----BEGIN CERTIFICATE-----")) {
			return nil, "", fmt.Errorf("%s holds no PEM certificate", spec.CABundle)
		}
		files = append([]file{
			{name: "etc/", mode: 0o755}, {name: "etc/ssl/", mode: 0o755}, {name: "etc/ssl/certs/", mode: 0o755},
			{name: "etc/ssl/certs/ca-certificates.crt", data: bundle, mode: 0o444},
		}, files...)
	}
	var out bytes.Buffer
	if err := writeTar(&out, files); err != nil {
		return nil, "", err
	}
	return out.Bytes(), entrypoint, nil
}

// besideOf are the files that the binary can't run without.
func besideOf(spec Spec, binary []byte) ([]file, error) {
	if !spec.Libraries {
		return nil, checkStatic(binary)
	}
	return libraries(binary)
}

type file struct {
	name string // a folder's name ends in a slash
	data []byte
	mode int64
}

// writeTar leaves out all that differs between two builds of the same content: times, owners, names of users.
func writeTar(w io.Writer, files []file) error {
	out := tar.NewWriter(w)
	for _, f := range files {
		header := &tar.Header{Name: path.Clean(f.name), Mode: f.mode, Size: int64(len(f.data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag, header.Name = tar.TypeDir, f.name
		}
		if header.Mode == 0 {
			header.Mode = 0o444
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := out.Write(f.data); err != nil {
			return err
		}
	}
	return out.Close()
}

func configuration(entrypoint []string, diffID string) map[string]any {
	const epoch = "1970-01-01T00:00:00Z"
	return map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"created":      epoch,
		"config":       map[string]any{"Entrypoint": entrypoint, "User": user, "WorkingDir": "/"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{diffID}},
		"history":      []map[string]any{{"created": epoch, "created_by": "crispy-enigma hack/cluster image"}},
	}
}

func compressed(data []byte) int64 {
	var count counter
	zip := gzip.NewWriter(&count)
	_, _ = zip.Write(data) // a counter does not fail
	_ = zip.Close()
	return int64(count)
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// SystemCABundle is the build machine's bundle of trusted certificates. It is preferred to one compiled into the
// binary because it follows the system's updates and carries a company's own CA, without which a developer behind a
// TLS-inspecting proxy reaches no model.
func SystemCABundle() (string, error) {
	for _, file := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"} {
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", errors.New("no bundle of CA certificates on this machine: install the package ca-certificates")
}
