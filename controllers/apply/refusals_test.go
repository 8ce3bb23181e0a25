package apply_test

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// stale serves an old version of a Deployment, as a cache that lags does.
func stale(c client.WithWatch, old *appsv1.Deployment) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if d, ok := o.(*appsv1.Deployment); ok {
				old.DeepCopyInto(d)
				return nil
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
}

func (t *tenant) foreign(kind string) {
	_, _, err := t.applyWith(api, t.owner())
	var refused *apply.ForeignObject
	ExpectWithOffset(1, errors.As(err, &refused)).To(BeTrue(), "%v", err)
	ExpectWithOffset(1, refused.Kind).To(Equal(kind))
}

func (t *tenant) refused() *apply.RefusedChange {
	_, _, err := t.applyWith(api, t.owner())
	var refused *apply.RefusedChange
	ExpectWithOffset(1, errors.As(err, &refused)).To(BeTrue(), "%v", err)
	return refused
}

var _ = Describe("What isn't ours", func() {
	It("isn't touched, whoever made it", func(ctx context.Context) {
		t := newTenant(ctx)
		meta := func(owners ...metav1.OwnerReference) metav1.ObjectMeta {
			return metav1.ObjectMeta{Name: "tenant-acme", Namespace: t.Tenant.Namespace, Labels: resources.Inventory("acme"), OwnerReferences: owners}
		}
		for _, owners := range [][]metav1.OwnerReference{
			nil,
			{{APIVersion: "apps/v1", Kind: "Deployment", Name: "x", UID: "1", Controller: new(true)}},
			{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Tenant", Name: "acme", UID: "another", Controller: new(true)}},
		} {
			account := &corev1.ServiceAccount{ObjectMeta: meta(owners...)}
			Expect(plain.Create(ctx, account)).To(Succeed())
			t.foreign("ServiceAccount")
			Expect(live(t, "tenant-acme", &corev1.ServiceAccount{}).ResourceVersion).To(Equal(account.ResourceVersion))
			Expect(plain.Delete(ctx, account)).To(Succeed())
		}
		t.apply()
	})

	It("is a volume with the data of another identity; one with ours is adopted", func(ctx context.Context) {
		t := newTenant(ctx)
		t.Tenant.Spec.DeletionPolicy = v1alpha1.DeletionRetain
		t.apply()
		before := live(t, "tenant-acme-state", &corev1.PersistentVolumeClaim{})
		Expect(before.OwnerReferences).To(BeEmpty())

		By("the Tenant being made anew under its name")
		t.Tenant.UID = "0c0ffee0-0000-4000-8000-000000000002"
		for _, o := range []client.Object{&corev1.ServiceAccount{}, &corev1.Service{}, &appsv1.Deployment{}} {
			Expect(plain.Delete(ctx, live(t, "tenant-acme", o))).To(Succeed())
		}
		owner := t.owner()
		var claim []resources.Object
		for _, o := range t.children() {
			if *o.GetKind() == "PersistentVolumeClaim" {
				claim = append(claim, o)
			}
		}
		result, err := apply.All(ctx, api, owner, claim...)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.Writes()).To(BeZero())

		By("one of its two marks being lost")
		before.Labels[resources.StorageIdentity] = "other"
		Expect(plain.Update(ctx, before)).To(Succeed())
		result, err = apply.All(ctx, api, owner, claim...)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.Writes()).To(Equal(1))

		By("another environment asking for it")
		t.Tenant.Spec.Environment = "staging"
		for _, o := range t.children() {
			if *o.GetKind() == "PersistentVolumeClaim" {
				_, err = apply.All(ctx, api, owner, o)
			}
		}
		var foreign *apply.ForeignObject
		Expect(errors.As(err, &foreign)).To(BeTrue(), "%v", err)
		Expect(foreign.Error()).To(ContainSubstring("doesn't hold the data of this Tenant"))
	})
})

var _ = Describe("The Secret of keys", func() {
	It("is created once, and its entries are removed with their keys", func(ctx context.Context) {
		t := newTenant(ctx)
		t.Keys["old"] = "ce_old"
		t.Generated["old"] = resources.GeneratedKey{Value: "ce_old", Revision: 1, CreatedAt: t.Now}
		first, err := resources.KeysSecret(t.Inputs)
		Expect(err).NotTo(HaveOccurred())
		Expect(apply.Create(ctx, api, first)).To(Succeed())

		By("a second maker that has seen nothing")
		t.Generated["old"] = resources.GeneratedKey{Value: "ce_other", Revision: 1, CreatedAt: t.Now}
		second, err := resources.KeysSecret(t.Inputs)
		Expect(err).NotTo(HaveOccurred())
		Expect(apierrors.IsAlreadyExists(apply.Create(ctx, api, second))).To(BeTrue())
		Expect(live(t, "tenant-acme-keys", &corev1.Secret{}).Data).To(HaveKeyWithValue("old", []byte("ce_old")))

		By("the key leaving the spec")
		delete(t.Generated, "old")
		t.apply()
		s := live(t, "tenant-acme-keys", &corev1.Secret{})
		Expect(s.Data).To(Equal(map[string][]byte{"default": []byte("ce_key")}))
		_, n := t.apply()
		Expect(n).To(BeZero())

		By("somebody writing in between")
		t.KeysVersion = s.ResourceVersion
		s.Labels["x"] = "y"
		Expect(plain.Update(ctx, s)).To(Succeed())
		t.Generated["default"] = resources.GeneratedKey{Value: "ce_new", Revision: 2, CreatedAt: t.Now}
		_, _, err = t.applyWith(api, t.owner())
		Expect(apierrors.IsConflict(err)).To(BeTrue(), "%v", err)
		Expect(live(t, "tenant-acme-keys", &corev1.Secret{}).Data).To(HaveKeyWithValue("default", []byte("ce_key")))
	})
})

var _ = Describe("A change that the server refuses", func() {
	It("names the fields, and says what to do where only a new object helps", func(ctx context.Context) {
		t := newTenant(ctx)
		name, key := metav1.ObjectMeta{Name: "tenant-acme", Namespace: t.Tenant.Namespace, OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "Tenant", Name: "acme", UID: t.Tenant.UID, Controller: new(true),
		}}}, map[string]string{"made-by": "an-earlier-release"}
		other := &appsv1.Deployment{ObjectMeta: name, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: key},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: key}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "x", Image: "x"}},
			}},
		}}
		Expect(plain.Create(ctx, other)).To(Succeed())
		refused := t.refused()
		Expect(refused.Immutable).To(BeTrue())
		Expect(refused.Error()).To(Equal("Deployment tenant-acme can't be changed in place (spec.selector); delete it, and the operator makes it anew"))
		Expect(plain.Delete(ctx, other)).To(Succeed())
		t.apply()

		By("a volume of another class, which nobody should delete for that")
		t.Tenant.Spec.State.Embedded.Persistence.StorageClassName = new("fast")
		t.apply()
		t.Tenant.Spec.State.Embedded.Persistence.StorageClassName = new("slow")
		refused = t.refused()
		Expect(refused.Immutable).To(BeTrue())
		Expect(refused.Error()).To(ContainSubstring("holds the tenant's data"))
		t.Tenant.Spec.State.Embedded.Persistence.StorageClassName = new("fast")

		By("resources that make no sense")
		t.Tenant.Spec.Runtime.Resources.Requests[corev1.ResourceMemory] = resource.MustParse("1Gi")
		refused = t.refused()
		Expect(refused.Immutable).To(BeFalse())
		Expect(refused.Fields).To(ContainElement("spec.template.spec.containers[0].resources.requests"))
		Expect(refused.Error()).To(ContainSubstring("must be less than or equal to memory limit"))
	})

	It("is tried again when somebody writes at the same moment", func(ctx context.Context) {
		t := newTenant(ctx)
		t.apply()
		s := live(t, "tenant-acme", &corev1.Service{})
		s.Spec.Ports[0].Port = 81
		Expect(plain.Update(ctx, s, client.FieldOwner("kubectl"))).To(Succeed())
		// Between the replacement's read and its write.
		racing := interceptor.NewClient(api, interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				s := live(t, "tenant-acme", &corev1.Service{})
				s.Annotations = map[string]string{"team.example/note": "x"}
				Expect(plain.Update(ctx, s, client.FieldOwner("kubectl"))).To(Succeed())
				return c.Patch(ctx, o, p, opts...)
			},
		})
		_, _, err := t.applyWith(racing, t.owner())
		Expect(apierrors.IsConflict(err)).To(BeTrue(), "%v", err)
		t.apply()
		s = live(t, "tenant-acme", &corev1.Service{})
		Expect(s.Spec.Ports).To(HaveLen(1))
		Expect(s.Spec.Ports[0].Port).To(BeEquivalentTo(80))
		Expect(s.Annotations).To(HaveKey("team.example/note"))
	})

	It("is known in a namespace that is being deleted", func(ctx context.Context) {
		t := newTenant(ctx)
		ns := &corev1.Namespace{}
		Expect(plain.Get(ctx, client.ObjectKey{Name: t.Tenant.Namespace}, ns)).To(Succeed())
		Expect(plain.Delete(ctx, ns)).To(Succeed())
		_, _, err := t.applyWith(api, t.owner())
		Expect(errors.Is(err, apply.ErrNamespaceTerminating)).To(BeTrue(), "%v", err)
	})
})
