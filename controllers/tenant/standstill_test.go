package tenant_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

func replicasOf(ctx SpecContext, w *testenv.World, name string) int32 {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(w.Client.Get(ctx, key(w, "tenant-"+name), d)).To(Succeed())
	return *d.Spec.Replicas
}

var _ = Describe("a Tenant without pods", func() {
	It("stops when it is suspended, though something it names is missing", func(ctx SpecContext) {
		w := newWorld(ctx)
		create(ctx, w, tokenSecret(w, "mine", "c4nary-0123456789abcdef0123456789abcdef"))
		t := w.ExpectCreated(ctx, "acme", testenv.WithKeys(testenv.ReferencedKey("web", "mine")))
		w.ExpectReady(ctx, t)
		Expect(w.Client.Delete(ctx, secret(ctx, w, "mine"))).To(Succeed())
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
		Expect(replicasOf(ctx, w, "acme")).To(BeEquivalentTo(1), "what serves serves on")

		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Suspend = true })
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
		Expect(replicasOf(ctx, w, "acme")).To(BeZero())
		w.ExpectNoWrites(ctx, t)

		By("starting again once it may")
		create(ctx, w, tokenSecret(w, "mine", "c4nary-0123456789abcdef0123456789abcdef"))
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Suspend = false })
		w.ExpectReady(ctx, t)
		Expect(replicasOf(ctx, w, "acme")).To(BeEquivalentTo(1))
	})

	It("stops when it is suspended, though its class refuses it", func(ctx SpecContext) {
		w := newWorld(ctx)
		class := newClass(ctx, w, v1alpha1.TenantClassSpec{})
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name), testenv.WithHosts("acme."+w.Namespace+".example"))
		w.ExpectReady(ctx, t)
		class.Spec.HostSuffixes = []v1alpha1.HostSuffix{{Suffix: "elsewhere.example"}}
		Expect(w.Client.Update(ctx, class)).To(Succeed())
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Suspend = true })
		w.ExpectStalled(ctx, t, v1alpha1.ReasonHostNotAllowed)
		Expect(replicasOf(ctx, w, "acme")).To(BeZero())
	})

	It("isn't Ready, since nobody answers", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", func(t *v1alpha1.Tenant) { t.Spec.Runtime.Replicas = new(int32(0)) })
		Expect(w.Settle(ctx, t)).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionFalse))
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring("spec.runtime.replicas"))
		Expect(t.Condition(v1alpha1.ConditionStalled)).To(BeNil())
	})

	It("isn't Ready before a pod has told, whatever the Deployment says", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		pod, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		// The Deployment's controller hasn't noticed yet.
		Expect(w.Client.Delete(ctx, pod)).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonRollingOut))
	})
})

var _ = Describe("a Tenant made again at once", func() {
	It("waits for what the earlier one leaves, and isn't stalled by it", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral)
		w.ExpectReady(ctx, t)
		remove(ctx, w, t)
		again := w.ExpectCreated(ctx, "acme", testenv.Ephemeral)
		w.ExpectWaiting(ctx, again, v1alpha1.ReasonChildConflict)
		Expect(again.Condition(v1alpha1.ConditionReconciling).Message).To(ContainSubstring("earlier Tenant"))
		deleteOwned(ctx, w)
		w.ExpectReady(ctx, again)
	})
})

var _ = Describe("a Tenant at rest", func() {
	It("has no Secret listed, and loses its keys' Secret when it needs none", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		lists := 0
		w.Reconciler.Client = interceptor.NewClient(testenv.Indexed(w.Gate.Client(w.Client)), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
				if _, secrets := l.(*corev1.SecretList); secrets {
					lists++
				}
				return c.List(ctx, l, opts...)
			},
		})
		w.ExpectNoWrites(ctx, t)
		Expect(lists).To(BeZero(), "a namespace of a thousand Tenants has two thousand")

		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Auth = v1alpha1.Auth{Mode: v1alpha1.AuthNone} })
		w.ExpectReady(ctx, t)
		Expect(w.Client.Get(ctx, key(w, "tenant-acme-keys"), &corev1.Secret{})).NotTo(Succeed())
		Expect(lists).To(Equal(1))
		Expect(t.Status.KeysSecret).To(BeEmpty())
	})
})

// labelled reads as the operator's cache does, which holds children by their label.
func labelled(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if err := c.Get(ctx, key, o, opts...); err != nil {
				return err
			}
			if _, ours := o.GetLabels()[resources.LabelTenant]; !ours {
				if _, claim := o.(*corev1.PersistentVolumeClaim); claim {
					return apierrors.NewNotFound(corev1.Resource("persistentvolumeclaims"), key.Name)
				}
			}
			return nil
		},
	})
}

var _ = Describe("a volume whose label was removed", func() {
	It("gets it back, and keeps the class that the cluster chose for it", func(ctx SpecContext) {
		w := newWorld(ctx)
		chosen := &storagev1.StorageClass{Provisioner: "example.com/disks"}
		chosen.Name, chosen.Annotations = w.Namespace, map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
		create(ctx, w, chosen)
		DeferCleanup(func(ctx SpecContext) { Expect(w.Client.Delete(ctx, chosen)).To(Succeed()) })
		Eventually(func() *string {
			probe := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: quantity("1Mi")}},
			}}
			probe.Namespace, probe.GenerateName = w.Namespace, "probe-"
			create(ctx, w, probe)
			return probe.Spec.StorageClassName
		}).ShouldNot(BeNil(), "the API server hasn't heard of the class")
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		Expect(*volume(ctx, w).Spec.StorageClassName).To(Equal(chosen.Name))
		w.ExpectReady(ctx, t)
		claim := volume(ctx, w)
		claim.Labels = nil
		Expect(w.Client.Update(ctx, claim)).To(Succeed())

		w.Reconciler.Client = labelled(testenv.Indexed(w.Gate.Client(w.Client)))
		w.ExpectReady(ctx, t)
		Expect(volume(ctx, w).Labels).To(HaveKeyWithValue(resources.LabelTenant, "acme"))
		Expect(*volume(ctx, w).Spec.StorageClassName).To(Equal(chosen.Name))
	})
})

var _ = Describe("a volume that can't grow", func() {
	It("holds up nothing else, and grows once it may", func(ctx SpecContext) {
		w := newWorld(ctx)
		class := &storagev1.StorageClass{Provisioner: "example.com/disks", AllowVolumeExpansion: new(false)}
		class.Name = w.Namespace
		create(ctx, w, class)
		DeferCleanup(func(ctx SpecContext) { Expect(w.Client.Delete(ctx, class)).To(Succeed()) })
		t := w.ExpectCreated(ctx, "acme", func(t *v1alpha1.Tenant) {
			t.Spec.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{
				Persistence: &v1alpha1.Persistence{Size: quantity("1Gi"), StorageClassName: &class.Name}}}
			t.Spec.Suspend = true
		})
		Expect(w.Settle(ctx, t)).To(Succeed())

		By("not being bound: the pod that would have it bound must start")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.State.Embedded.Persistence.Size = quantity("2Gi")
			t.Spec.Suspend = false
		})
		_, err := w.Reconcile(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		Expect(replicasOf(ctx, w, "acme")).To(BeEquivalentTo(1))
		_, err = w.RollOut(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonChildRefused))
		Expect(t.Condition(v1alpha1.ConditionReconciling).Message).To(ContainSubstring("stays at 1Gi and doesn't grow to 2Gi: only a claim that is bound"))

		By("being of a class that doesn't let it")
		claim := volume(ctx, w)
		claim.Status.Phase = corev1.ClaimBound
		Expect(w.Client.Status().Update(ctx, claim)).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReconciling).Message).To(ContainSubstring("must support resize"))

		class.AllowVolumeExpansion = new(true)
		Expect(w.Client.Update(ctx, class)).To(Succeed())
		Eventually(func() string {
			w.ExpectReconciled(ctx, t)
			return t.Condition(v1alpha1.ConditionReady).Reason
		}).Should(Equal(v1alpha1.ReasonReady))
		Expect(volume(ctx, w).Spec.Resources.Requests.Storage().String()).To(Equal("2Gi"))
	})
})
