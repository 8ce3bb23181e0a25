package image_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/cluster/image"
)

func TestSameInputSameImage(t *testing.T) {
	binary := buildHello(t)
	bundle := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(bundle, []byte("-----BEGIN CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := image.Spec{Ref: "localhost/hello:v1", Binary: binary, Args: []string{"--x"}, CABundle: bundle}
	first, second := build(t, spec, "a.tar"), build(t, spec, "b.tar")
	if err := os.Chtimes(binary, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	third := build(t, spec, "c.tar")
	if !bytes.Equal(first.archive, second.archive) || !bytes.Equal(first.archive, third.archive) {
		t.Error("the archives differ")
	}
	spec.Args = nil
	if other := build(t, spec, "d.tar"); other.Digest == first.Digest {
		t.Error("another entrypoint has the same digest")
	}
	if first.Compressed <= 0 || first.Compressed >= first.Size {
		t.Errorf("compressed %d of %d bytes", first.Compressed, first.Size)
	}
}

func TestImageHoldsBinaryAndCertificatesForANonRootUser(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(bundle, []byte("-----BEGIN CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	built := build(t, image.Spec{Ref: "localhost/hello:v1", Binary: buildHello(t), Name: "greet", Args: []string{"--loud"}, CABundle: bundle}, "a.tar")
	outer := untar(t, built.archive)
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(outer["manifest.json"].data, &manifest); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"localhost/hello:v1"}, manifest[0].RepoTags); diff != "" {
		t.Error(diff)
	}
	var config struct {
		OS, Architecture string
		Config           struct {
			User       string
			Entrypoint []string
		}
	}
	if err := json.Unmarshal(outer[manifest[0].Config].data, &config); err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture == "" || config.Config.User != "65532:65532" {
		t.Errorf("configuration %+v", config)
	}
	if diff := cmp.Diff([]string{"/greet", "--loud"}, config.Config.Entrypoint); diff != "" {
		t.Error(diff)
	}
	layer := untar(t, outer[manifest[0].Layers[0]].data)
	var names []string
	for name := range layer {
		names = append(names, name)
	}
	if len(names) != 5 || layer["greet"].mode != 0o555 || layer["etc/ssl/certs/ca-certificates.crt"].mode != 0o444 {
		t.Errorf("the layer holds %v", names)
	}
}

func TestRefusesWhatCouldNotRun(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hello := buildHello(t)
	tests := map[string]struct {
		spec image.Spec
		want string
	}{
		"script":         {image.Spec{Ref: "localhost/a:b", Binary: script}, "not a Linux executable"},
		"dynamic":        {image.Spec{Ref: "localhost/a:b", Binary: "/bin/sh"}, "CGO_ENABLED=0"},
		"absent":         {image.Spec{Ref: "localhost/a:b", Binary: dir + "/none"}, "no such file"},
		"no tag":         {image.Spec{Ref: "localhost/a", Binary: hello}, "localhost/name:tag"},
		"no registry":    {image.Spec{Ref: "a:b", Binary: hello}, "localhost/name:tag"},
		"empty":          {image.Spec{Binary: hello}, "localhost/name:tag"},
		"no libraries":   {image.Spec{Ref: "localhost/a:b", Binary: hello, Libraries: true}, "linked statically"},
		"no certificate": {image.Spec{Ref: "localhost/a:b", Binary: hello, CABundle: script}, "no PEM certificate"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.tar")
			_, err := image.Build(test.spec, out)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("a refused image was written")
			}
		})
	}
}

// A program of the distribution starts in a folder that holds nothing but the image.
func TestAProgramOfTheDistributionRunsInItsImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chroot takes root")
	}
	spec := image.Spec{Ref: "localhost/ls:v1", Binary: "/bin/ls", Name: "list", Libraries: true}
	first, second := build(t, spec, "a.tar"), build(t, spec, "b.tar")
	if !bytes.Equal(first.archive, second.archive) {
		t.Error("the archives differ")
	}
	root := t.TempDir()
	for name, e := range untar(t, untar(t, first.archive)["layer.tar"].data) {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, e.data, os.FileMode(e.mode)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/list", "/")
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
	if said, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(said), "list") {
		t.Errorf("%v: %s", err, said)
	}
}

type built struct {
	image.Result
	archive []byte
}

func build(t *testing.T, spec image.Spec, name string) built {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	result, err := image.Build(spec, out)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return built{result, archive}
}

func buildHello(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "hello.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "hello"), source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return filepath.Join(dir, "hello")
}

type entry struct {
	data []byte
	mode int64
}

func untar(t *testing.T, archive []byte) map[string]entry {
	t.Helper()
	entries := map[string]entry{}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if header.ModTime.Unix() != 0 || header.Uid != 0 || header.Uname != "" {
			t.Errorf("%s carries a time or an owner", header.Name)
		}
		entries[header.Name] = entry{data, header.Mode}
	}
}
