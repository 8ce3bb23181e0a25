package tenant_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

// mintingAccount has a gateway already, and gives each Tenant a token of its own. Its own
// token isn't there: no Tenant may need it.
func mintingAccount(ctx SpecContext, w *testenv.World) *v1alpha1.CloudflareAccount {
	GinkgoHelper()
	a := account(w, v1alpha1.AllowedNamespaces{})
	a.Spec.TenantTokens, a.Spec.GatewayID = v1alpha1.TokensMint, ""
	create(ctx, w, a)
	a.Status.GatewayID = "ce-shared"
	Expect(w.Client.Status().Update(ctx, a)).To(Succeed())
	return a
}

func withDocuments(t *v1alpha1.Tenant) {
	t.Spec.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsVectorize, Vectorize: &v1alpha1.VectorizeUse{
		Index: &v1alpha1.VectorizeSettings{Dimensions: 768, Replacement: v1alpha1.ReplaceBlueGreen, MetadataIndexes: []v1alpha1.MetadataIndex{{Property: "lang"}}},
	}}
}

func withNamedIndex(name string) testenv.Option {
	return func(t *v1alpha1.Tenant) {
		t.Spec.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsVectorize, Vectorize: &v1alpha1.VectorizeUse{BindingRef: &v1alpha1.BindingReference{Name: name}}}
	}
}

func using(use v1alpha1.CloudflareUse) testenv.Option {
	return func(t *v1alpha1.Tenant) { t.Spec.Cloudflare = &use }
}

// boundTo is the CloudflareBinding of a name as it is.
func boundTo(ctx SpecContext, w *testenv.World, name string) *v1alpha1.CloudflareBinding {
	GinkgoHelper()
	b := &v1alpha1.CloudflareBinding{}
	Expect(w.Client.Get(ctx, key(w, name), b)).To(Succeed())
	return b
}

// play is the controller of bindings, as far as a Tenant sees it: the thing is there under
// this id.
func play(ctx SpecContext, w *testenv.World, name, id string, more ...func(*v1alpha1.CloudflareBinding)) *v1alpha1.CloudflareBinding {
	GinkgoHelper()
	b := boundTo(ctx, w, name)
	b.Status.ID, b.Status.ObservedGeneration = id, b.Generation
	b.Marks().Ready("it is there")
	for _, edit := range more {
		edit(b)
	}
	Expect(w.Client.Status().Update(ctx, b)).To(Succeed())
	return b
}

// playToken mints a token, or another one in its place.
func playToken(ctx SpecContext, w *testenv.World, name, id, value string) {
	GinkgoHelper()
	b := play(ctx, w, name, id, func(b *v1alpha1.CloudflareBinding) { b.Status.Token = &v1alpha1.TokenStatus{SecretName: name} })
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
	Expect(client.IgnoreNotFound(w.Client.Delete(ctx, s))).To(Succeed())
	s.Data = map[string][]byte{"token": []byte(value), "id": []byte(id)}
	s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(b, v1alpha1.GroupVersion.WithKind("CloudflareBinding"))}
	create(ctx, w, s)
}

// failing is a binding that isn't as it should be any more.
func failing(reason, message string, stalled bool) func(*v1alpha1.CloudflareBinding) {
	return func(b *v1alpha1.CloudflareBinding) {
		if stalled {
			b.Marks().Stalled(reason, message)
		} else {
			b.Marks().Reconciling(reason, message)
		}
	}
}

// handmade is a CloudflareBinding that somebody wrote, in the account of the World.
func handmade(ctx SpecContext, w *testenv.World, name string, spec v1alpha1.CloudflareBindingSpec) *v1alpha1.CloudflareBinding {
	GinkgoHelper()
	b := &v1alpha1.CloudflareBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}, Spec: spec}
	if b.Spec.AccountRef.Name == "" {
		b.Spec.AccountRef.Name = "cloudflare"
	}
	if b.Spec.Type == v1alpha1.BindingVectorize && b.Spec.Vectorize == nil {
		b.Spec.Vectorize = &v1alpha1.VectorizeSettings{Dimensions: 768}
	}
	create(ctx, w, b)
	return b
}

// guard keeps a binding as its own controller's finalizer does, until let go.
func guard(ctx SpecContext, w *testenv.World, name string) {
	GinkgoHelper()
	b := boundTo(ctx, w, name)
	b.Finalizers = []string{"example.com/cloudflare"}
	Expect(w.Client.Update(ctx, b)).To(Succeed())
}

func letGo(ctx SpecContext, w *testenv.World, name string) {
	GinkgoHelper()
	b := boundTo(ctx, w, name)
	b.Finalizers = nil
	Expect(w.Client.Update(ctx, b)).To(Succeed())
}
