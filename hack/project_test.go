// Package hack_test guards the shape of the whole repository.
package hack_test

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// project is the file PROJECT in kubebuilder's version 3, which the layout go v4 uses.
type project struct {
	Domain      string                       `json:"domain"`
	Layout      []string                     `json:"layout"`
	Plugins     map[string]map[string]string `json:"plugins"`
	ProjectName string                       `json:"projectName"`
	Repo        string                       `json:"repo"`
	Resources   []resource                   `json:"resources"`
	Version     string                       `json:"version"`
}

type resource struct {
	API struct {
		CRDVersion string `json:"crdVersion"`
		Namespaced bool   `json:"namespaced"`
	} `json:"api"`
	Controller bool   `json:"controller"`
	Domain     string `json:"domain"`
	Group      string `json:"group"`
	Kind       string `json:"kind"`
	Path       string `json:"path"`
	Version    string `json:"version"`
}

// root is the repository seen from this folder.
const root = ".."

func readProject(t *testing.T) project {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "PROJECT"))
	if err != nil {
		t.Fatal(err)
	}
	var p project
	if err := yaml.UnmarshalStrict(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func module(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimPrefix(line, "module ")
}

func TestProjectIsInTheV4Layout(t *testing.T) {
	p := readProject(t)
	if p.Version != "3" || len(p.Layout) != 1 || p.Layout[0] != "go.kubebuilder.io/v4" {
		t.Errorf("version %q, layout %v: want 3 and go.kubebuilder.io/v4", p.Version, p.Layout)
	}
	if m := module(t); p.Repo != m || p.ProjectName != path.Base(m) {
		t.Errorf("repo %q, project %q: go.mod says %q", p.Repo, p.ProjectName, m)
	}
	for _, dir := range []string{"api/v1alpha1", "cmd/operator", "config/crd", "config/rbac", "config/manager", "config/default", "config/samples", p.Plugins["layout.crispy-enigma.dev/v1"]["controllers"]} {
		if info, err := os.Stat(filepath.Join(root, dir)); err != nil || !info.IsDir() {
			t.Errorf("the layout wants the folder %q: %v", dir, err)
		}
	}
}

// Each resource has its type, its CRD and, if it says so, its controller; and each type
// and CRD is a resource.
func TestProjectResourcesAreTheTreesOwn(t *testing.T) {
	p := readProject(t)
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	crds := readCRDs(t)
	known := map[string]bool{}
	for _, r := range p.Resources {
		known[r.Kind] = true
		group := r.Group + "." + r.Domain
		if group != v1alpha1.GroupVersion.Group || r.Version != v1alpha1.GroupVersion.Version || r.Path != p.Repo+"/api/"+r.Version {
			t.Errorf("%s: %s/%s in %s is not the group of api/v1alpha1", r.Kind, group, r.Version, r.Path)
		}
		if !scheme.Recognizes(v1alpha1.GroupVersion.WithKind(r.Kind)) {
			t.Errorf("%s: api/v1alpha1 registers no such type", r.Kind)
		}
		crd, ok := crds[r.Kind]
		if !ok {
			t.Errorf("%s: config/crd holds no CRD", r.Kind)
			continue
		}
		if namespaced := crd.Spec.Scope == apiextensions.NamespaceScoped; namespaced != r.API.Namespaced || r.API.CRDVersion != "v1" {
			t.Errorf("%s: PROJECT says namespaced %t, crdVersion %q; the CRD is %s, v1", r.Kind, r.API.Namespaced, r.API.CRDVersion, crd.Spec.Scope)
		}
		folder := filepath.Join(root, p.Plugins["layout.crispy-enigma.dev/v1"]["controllers"], strings.TrimPrefix(strings.ToLower(r.Kind), "cloudflare"))
		if _, err := os.Stat(folder); (err == nil) != r.Controller {
			t.Errorf("%s: PROJECT says controller %t; %s: %v", r.Kind, r.Controller, folder, err)
		}
	}
	for kind := range crds {
		if !known[kind] {
			t.Errorf("the CRD %s is missing in PROJECT", kind)
		}
	}
	for kind := range scheme.KnownTypes(v1alpha1.GroupVersion) {
		if _, ours := scheme.KnownTypes(v1alpha1.GroupVersion)[kind+"List"]; ours && !known[kind] {
			t.Errorf("the type %s is missing in PROJECT", kind)
		}
	}
}

func readCRDs(t *testing.T) map[string]*apiextensions.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config", "crd", "ai.*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d CRDs (%v)", len(files), err)
	}
	crds := map[string]*apiextensions.CustomResourceDefinition{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensions.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		crds[crd.Spec.Names.Kind] = crd
	}
	return crds
}
