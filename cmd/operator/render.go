package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/cmd/operator/manifest"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
)

// renderFlags of the subcommand render.
type renderFlags struct {
	files    []string
	name     string
	out      string
	keysFile string
	stateDir string
	ownerID  string
}

func parseRenderFlags(args []string, notes io.Writer) (renderFlags, error) {
	var f renderFlags
	set := flag.NewFlagSet("operator render", flag.ContinueOnError)
	set.SetOutput(notes)
	add := func(path string) error { f.files = append(f.files, path); return nil }
	set.Func("f", "manifest with the Tenant and, if it names them, its TenantClass, CloudflareAccount, CloudflareBindings and Secrets; - is standard input; may be repeated", add)
	set.Func("class", "manifest with the TenantClass, the same as another -f", add)
	set.StringVar(&f.name, "tenant", "", "name of the Tenant, where the manifests hold several")
	set.StringVar(&f.out, "o", "", "directory to write to, made if need be; default: print the document")
	set.StringVar(&f.keysFile, "keys-file", "", "file that keeps generated keys, read if it exists; default: new keys each time, printed once")
	set.StringVar(&f.stateDir, "state-dir", "", "absolute directory of persistent state; default: the pod's")
	set.StringVar(&f.ownerID, "owner-id", "local", "mark in the tenant's storage identity")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if len(f.files) == 0 || set.NArg() > 0 {
		return f, fmt.Errorf("render takes flags, and at least -f\n%s", usage)
	}
	return f, nil
}

// render writes what one Tenant's runtime reads, from manifests alone.
func render(ctx context.Context, args []string, out, notes io.Writer) error {
	f, err := parseRenderFlags(args, notes)
	if err != nil {
		return err
	}
	objects, err := readManifests(ctx, f.files)
	if err != nil {
		return err
	}
	t, err := pickTenant(objects, f.name)
	if err != nil {
		return err
	}
	rendering := tenant.Rendering{
		Tenant: t, Class: pickClass(objects, t), OwnerID: f.ownerID, Reader: objects,
		StateDir: f.stateDir, Random: rand.Reader, Now: time.Now(),
	}
	if rendering.Keys, err = readKeys(f.keysFile); err != nil {
		return err
	}
	if f.out != "" {
		token, err := os.ReadFile(filepath.Join(f.out, tenantconfig.StatusTokenFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("reading the earlier rendering: %w", err)
		}
		rendering.StatusToken = string(token)
	}
	rendered, err := tenant.Render(ctx, rendering)
	if err != nil {
		return fmt.Errorf("rendering Tenant %s/%s: %w", t.Namespace, t.Name, err)
	}
	if rendered.Lacks != "" {
		if _, err := fmt.Fprintf(notes, "a tool can't be used: %s\n", rendered.Lacks); err != nil {
			return err
		}
	}
	if f.out == "" {
		_, err := fmt.Fprintln(out, string(rendered.Files[tenantconfig.DocumentFile]))
		return err
	}
	if err := writeFiles(f.out, rendered.Files); err != nil {
		return err
	}
	return tellKeys(f.keysFile, rendered.Keys, notes)
}

func readManifests(ctx context.Context, paths []string) (*manifest.Objects, error) {
	objects := &manifest.Objects{}
	for _, path := range paths {
		if err := readManifest(ctx, objects, path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return objects, nil
}

func readManifest(ctx context.Context, into *manifest.Objects, path string) error {
	if path == "-" {
		return into.Read(ctx, os.Stdin)
	}
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return into.Read(ctx, file)
}

func pickTenant(objects *manifest.Objects, name string) (*v1alpha1.Tenant, error) {
	var found []*v1alpha1.Tenant
	for i := range objects.Tenants {
		if t := &objects.Tenants[i]; name == "" || t.Name == name {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case name != "":
		return nil, fmt.Errorf("the manifests hold %d Tenants called %q, not one", len(found), name)
	}
	return nil, fmt.Errorf("the manifests hold %d Tenants, not one; name it with --tenant", len(found))
}

// pickClass is the class that the Tenant names, else the first default, else none.
func pickClass(objects *manifest.Objects, t *v1alpha1.Tenant) *v1alpha1.TenantClass {
	for i := range objects.Classes {
		class := &objects.Classes[i]
		if t.Spec.ClassRef != nil && class.Name == t.Spec.ClassRef.Name || t.Spec.ClassRef == nil && class.Spec.Default {
			return class
		}
	}
	return nil
}

func readKeys(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kept keys: %w", err)
	}
	var keys map[string]string
	if json.Unmarshal(b, &keys) != nil { // its error would quote the file
		return nil, fmt.Errorf("reading the kept keys: %s isn't a JSON object of strings", path)
	}
	return keys, nil
}

// writeFiles puts each file in its place whole: a runtime may be watching.
func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("writing the rendering: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(filepath.Join(dir, name), files[name]); err != nil {
			return fmt.Errorf("writing the rendering: %w", err)
		}
	}
	if _, wanted := files[tenantconfig.UpstreamTokenFile]; !wanted {
		// An earlier rendering's credential isn't left lying about.
		if err := os.Remove(filepath.Join(dir, tenantconfig.UpstreamTokenFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the earlier credential: %w", err)
		}
	}
	return nil
}

func writeFile(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// tellKeys keeps the generated keys in the file, or says them once.
func tellKeys(path string, keys map[string]string, notes io.Writer) error {
	if path == "" {
		for _, name := range slices.Sorted(maps.Keys(keys)) {
			fmt.Fprintf(notes, "key %s: %s\n", name, keys[name])
		}
		return nil
	}
	b, err := json.MarshalIndent(keys, "", "  ")
	if err == nil {
		err = writeFile(path, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keeping the keys: %w", err)
	}
	return nil
}
