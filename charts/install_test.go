package charts_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// A whole life in a cluster that has never seen the CRDs: the class must come after its
// kind at the first install, be taken over by an upgrade without being made anew (every
// tenant would fall back to the built-in defaults meanwhile), and outlive the release as
// the CRDs and the Tenants do.
func TestInstallUpgradeUninstallInstallAgain(t *testing.T) {
	removeCRDs(t)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, server.Kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(args ...string) {
		t.Helper()
		if _, err := helm(t, append(args, "--kubeconfig", kubeconfig, "-n", "enigma-lives")...); err != nil {
			t.Fatal(err)
		}
	}

	do("install", "enigma", "crispy-enigma", "--create-namespace")
	first := class(t)
	tenant := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"deletionProtection": false}}}
	tenant.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Tenant"))
	tenant.SetNamespace("default")
	tenant.SetName("acme")
	if err := server.Client.Create(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}

	do("upgrade", "enigma", "crispy-enigma", "--set", "tenantClass.spec.maxReplicas=3")
	upgraded := class(t)
	if upgraded.GetUID() != first.GetUID() {
		t.Error("the upgrade made the class anew")
	}
	if n, _, _ := unstructured.NestedInt64(upgraded.Object, "spec", "maxReplicas"); n != 3 {
		t.Errorf("the upgraded class has maxReplicas %d, want 3", n)
	}

	do("uninstall", "enigma", "--wait")
	if class(t).GetUID() != first.GetUID() {
		t.Error("the class did not outlive the release")
	}
	if err := server.Client.Get(t.Context(), client.ObjectKeyFromObject(tenant), tenant); err != nil {
		t.Errorf("the Tenant did not outlive the release: %v", err)
	}

	do("install", "enigma", "crispy-enigma")
	if class(t).GetUID() != first.GetUID() {
		t.Error("the second install made the class anew")
	}
	do("uninstall", "enigma", "--wait")
}

func class(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TenantClass"))
	if err := server.Client.Get(t.Context(), client.ObjectKey{Name: "default"}, u); err != nil {
		t.Fatal(err)
	}
	return u
}

func removeCRDs(t *testing.T) {
	t.Helper()
	if err := apiextensions.AddToScheme(server.Client.Scheme()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tenants", "tenantclasses", "cloudflareaccounts", "cloudflarebindings"} {
		crd := &apiextensions.CustomResourceDefinition{}
		crd.Name = name + ".ai.crispy-enigma.dev"
		if err := server.Client.Delete(t.Context(), crd); err != nil {
			t.Fatal(err)
		}
		err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
			err := server.Client.Get(ctx, client.ObjectKeyFromObject(crd), crd)
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
