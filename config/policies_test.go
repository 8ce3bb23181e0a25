package config_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// policies installs config/policies; they stay for the tests that follow.
func policies(t *testing.T) {
	t.Helper()
	for _, u := range kustomize(t, "policies") {
		if err := apply(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
}

func tenant(namespace, name string, protected bool) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"deletionProtection": protected}}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Tenant"))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// namespace makes one with a name of its own: no controller runs that would end it.
func namespace(t *testing.T) *corev1.Namespace {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	create(t, n)
	return n
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := server.Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// refused waits until the API server has taken up the policy, and gives the sentence
// with which it refuses the deletion.
func refused(t *testing.T, o client.Object) string {
	t.Helper()
	var sentence string
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := server.Client.Delete(ctx, o, client.DryRunAll)
		if apierrors.IsForbidden(err) {
			sentence = err.Error()
			return true, nil
		}
		return false, err
	})
	if err != nil {
		t.Fatalf("deleting %s was never refused: %v", o.GetName(), err)
	}
	return sentence
}

func contains(t *testing.T, sentence string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(sentence, p) {
			t.Errorf("%q doesn't say %q", sentence, p)
		}
	}
}

func protect(t *testing.T, u *unstructured.Unstructured, on bool) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"deletionProtection":%t}}`, on)
	if err := server.Client.Patch(t.Context(), u, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
}

func TestAProtectedTenantIsDeletedOnlyAfterItsProtectionIsOff(t *testing.T) {
	policies(t)
	safe, loose := tenant("default", "safe", true), tenant("default", "loose", false)
	create(t, safe, loose)
	contains(t, refused(t, safe), "Tenant safe is protected from deletion",
		`kubectl -n default patch tenant safe --type merge -p '{"spec":{"deletionProtection":false}}'`)
	if err := server.Client.Delete(t.Context(), loose); err != nil {
		t.Errorf("an unprotected Tenant: %v", err)
	}
	protect(t, safe, false)
	if err := server.Client.Delete(t.Context(), safe); err != nil {
		t.Errorf("after its protection was turned off: %v", err)
	}
}

// A namespace full of data is refused while one Tenant in it is protected. Had it begun
// to go (the policies came later, or failed), the Tenant goes with it: its Pods and
// volumes go anyway, and a Tenant held back would leave the namespace Terminating.
func TestANamespaceIsDeletedOnlyWithoutAProtectedTenant(t *testing.T) {
	policies(t)
	held, empty := namespace(t), namespace(t)
	safe := tenant(held.Name, "safe", true)
	create(t, tenant(held.Name, "loose", false), safe)
	contains(t, refused(t, held), "namespace "+held.Name+" holds the protected Tenant safe", "kubectl -n "+held.Name+" patch tenant safe")
	if err := server.Client.Delete(t.Context(), empty); err != nil {
		t.Errorf("a namespace without Tenants: %v", err)
	}
	protect(t, safe, false)
	passes(t, held)
}

// passes deletes the namespace, waiting until the policy has seen the last change.
func passes(t *testing.T, o client.Object) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := server.Client.Delete(ctx, o)
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		t.Fatalf("deleting %s: %v", o.GetName(), err)
	}
}

func TestANamespaceThatIsGoingTakesItsTenantsAlong(t *testing.T) {
	policies(t)
	going := namespace(t)
	caught, witness := tenant(going.Name, "caught", false), tenant("default", "witness", true)
	create(t, caught, witness)
	refused(t, witness) // the policies are in force
	passes(t, going)
	protect(t, caught, true)
	if err := server.Client.Delete(t.Context(), caught); err != nil {
		t.Errorf("in a namespace that is being deleted: %v", err)
	}
	protect(t, witness, false)
	passes(t, witness)
}

func TestACRDIsDeletedOnlyWithTheAnnotation(t *testing.T) {
	policies(t)
	crd := &apiextensions.CustomResourceDefinition{}
	if err := apiextensions.AddToScheme(server.Client.Scheme()); err != nil {
		t.Fatal(err)
	}
	if err := server.Client.Get(t.Context(), client.ObjectKey{Name: "tenants.ai.crispy-enigma.dev"}, crd); err != nil {
		t.Fatal(err)
	}
	contains(t, refused(t, crd), "deletes every Tenant of the cluster",
		"kubectl annotate crd tenants.ai.crispy-enigma.dev ai.crispy-enigma.dev/allow-deletion=true")

	foreign := crd.DeepCopy()
	foreign.ObjectMeta = metav1.ObjectMeta{Name: "tenants.other.example"}
	foreign.Spec.Group = "other.example"
	foreign.Status = apiextensions.CustomResourceDefinitionStatus{}
	create(t, foreign)
	if err := server.Client.Delete(t.Context(), foreign); err != nil {
		t.Errorf("another group's CRD: %v", err)
	}

	crd.Annotations["ai.crispy-enigma.dev/allow-deletion"] = "true"
	if err := server.Client.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	if err := server.Client.Delete(t.Context(), crd, client.DryRunAll); err != nil {
		t.Errorf("with the annotation: %v", err)
	}
	delete(crd.Annotations, "ai.crispy-enigma.dev/allow-deletion")
	if err := server.Client.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
}
