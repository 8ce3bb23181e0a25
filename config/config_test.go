// Package config_test applies what this folder ships to a real API server.
package config_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/hack/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if server, err = apiserver.Start(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

func decode(t *testing.T, manifest []byte) []*unstructured.Unstructured {
	t.Helper()
	objects, err := apiserver.Decode(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) == 0 {
		t.Fatal("the manifest holds no object")
	}
	return objects
}

// apply is kubectl's server-side apply, which refuses fields that the schema hasn't.
func apply(ctx context.Context, u *unstructured.Unstructured, more ...client.ApplyOption) error {
	return server.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u),
		append(more, client.FieldOwner("test"))...)
}

// clusterScoped kinds of the samples; of all others each is applied to one namespace.
var clusterScoped = map[string]bool{"TenantClass": true, "Namespace": true}

// The sample of a tenant with its own account is one namespace that nobody else may use
// the account from: what it names lies in it.
func TestATenantsOwnAccountIsItsNamespacesAlone(t *testing.T) {
	manifest, err := os.ReadFile("samples/tenant-own-account.yaml")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]*unstructured.Unstructured{}
	for _, u := range decode(t, manifest) {
		have[u.GetKind()] = u
	}
	namespace := have["Namespace"].GetName()
	for kind, u := range have {
		if kind != "Namespace" && u.GetNamespace() != namespace {
			t.Errorf("%s %s lies in namespace %q, want %q", kind, u.GetName(), u.GetNamespace(), namespace)
		}
	}
	at := func(kind string, path ...string) string {
		s, _, err := unstructured.NestedString(have[kind].Object, path...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for what, c := range map[string][2]string{
		"whose account":        {at("Tenant", "spec", "upstream", "accountRef", "name"), have["CloudflareAccount"].GetName()},
		"in another namespace": {at("Tenant", "spec", "upstream", "accountRef", "namespace"), ""},
		"whose Secret":         {at("CloudflareAccount", "spec", "credentials", "secretRef", "name"), have["Secret"].GetName()},
		"who may use it":       {at("CloudflareAccount", "spec", "allowedNamespaces", "from"), "Same"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %q, want %q", what, c[0], c[1])
		}
	}
}

func TestEverySampleApplies(t *testing.T) {
	files, err := filepath.Glob("samples/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d samples (%v)", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			manifest, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range decode(t, manifest) {
				if !clusterScoped[u.GetKind()] {
					u.SetNamespace("default")
				}
				if err := apply(t.Context(), u, client.DryRunAll); err != nil {
					t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
				}
			}
		})
	}
}

func kustomize(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	manifest, err := exec.CommandContext(t.Context(), filepath.Join(server.Assets, "kubectl"), "kustomize", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, manifest)
}

// The whole of config/default goes in, and the operator's pod may run where the
// restricted Pod Security Standard is enforced, which its own namespace demands.
func TestTheOperatorInstallsWithKustomize(t *testing.T) {
	ctx := t.Context()
	var operator *unstructured.Unstructured
	for _, u := range kustomize(t, "default") {
		options := []client.ApplyOption{client.DryRunAll}
		switch u.GetKind() {
		case "Namespace":
			options = nil
		case "CustomResourceDefinition":
			options = append(options, client.ForceOwnership)
		case "Deployment":
			operator = u
		}
		if err := apply(ctx, u, options...); err != nil {
			t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
	if operator == nil {
		t.Fatal("config/default holds no Deployment")
	}
	pod, _, _ := unstructured.NestedMap(operator.Object, "spec", "template")
	u := &unstructured.Unstructured{Object: pod}
	u.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	u.SetNamespace(operator.GetNamespace())
	u.SetName("operator")
	if err := server.Client.Create(ctx, u.DeepCopy(), client.DryRunAll); err != nil {
		t.Errorf("the operator's pod: %v", err)
	}
	// The same pod as root shows that the namespace does enforce it.
	if err := unstructured.SetNestedField(u.Object, map[string]any{}, "spec", "securityContext"); err != nil {
		t.Fatal(err)
	}
	if err := server.Client.Create(ctx, u, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "restricted") {
		t.Errorf("a pod without runAsNonRoot: %v, want a refusal by PodSecurity", err)
	}
}
