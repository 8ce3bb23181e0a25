package tenant_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// newClass makes a class of its own for the test; no other Tenant names it.
func newClass(ctx SpecContext, w *testenv.World, spec v1alpha1.TenantClassSpec) *v1alpha1.TenantClass {
	GinkgoHelper()
	class := &v1alpha1.TenantClass{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}, Spec: spec}
	create(ctx, w, class)
	DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(w.Client.Delete(ctx, class))).To(Succeed()) })
	return class
}

var _ = Describe("a class", func() {
	It("that doesn't exist yet is waited for", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(w.Namespace))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonClassNotFound)
		Expect(t.Status.State).To(BeEmpty(), "the class has a say in it")
		newClass(ctx, w, v1alpha1.TenantClassSpec{State: &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Ephemeral: &v1alpha1.EphemeralState{}}}})
		w.ExpectReady(ctx, t)
		Expect(t.Status.Class).To(Equal(w.Namespace))
		Expect(t.Status.State).To(Equal(v1alpha1.StateEphemeral))
		Expect(t.Finalizers).To(BeEmpty(), "nothing is to be guarded")
	})

	It("decides where data is kept when the Tenant is first seen, and not again", func(ctx SpecContext) {
		w := newWorld(ctx)
		class := newClass(ctx, w, v1alpha1.TenantClassSpec{})
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name))
		w.ExpectReady(ctx, t)
		class.Spec.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Ephemeral: &v1alpha1.EphemeralState{}}}
		Expect(w.Client.Update(ctx, class)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(t.Status.State).To(Equal(v1alpha1.StatePersistent))

		By("and not when the status is lost either")
		t.Status = v1alpha1.TenantStatus{ObservedGeneration: -1}
		Expect(w.Client.Status().Update(ctx, t)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(t.Status.State).To(Equal(v1alpha1.StatePersistent))
	})

	DescribeTable("bounds its Tenants", func(ctx SpecContext, spec v1alpha1.TenantClassSpec, option testenv.Option, reason, says string) {
		w := newWorld(ctx)
		class := newClass(ctx, w, spec)
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name), option)
		w.ExpectStalled(ctx, t, reason)
		Expect(t.Condition(v1alpha1.ConditionStalled).Message).To(And(ContainSubstring(says), ContainSubstring(class.Name)))
		w.ExpectNoWrites(ctx, t)
		Expect(w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "tenant-acme-keys"}, &corev1.Secret{})).NotTo(Succeed())

		class.Spec = v1alpha1.TenantClassSpec{AllowPrivateTools: true}
		Expect(w.Client.Update(ctx, class)).To(Succeed())
		w.ExpectReady(ctx, t)
	},
		Entry("requests", v1alpha1.TenantClassSpec{MaxLimits: v1alpha1.ClassLimits{PerMinute: new(int32(10))}},
			func(t *v1alpha1.Tenant) { t.Spec.Limits.Requests.PerMinute = new(int32(11)) },
			v1alpha1.ReasonLimitAboveClass, "spec.limits.requests.perMinute comes to 11"),
		Entry("requests in a shorter window", v1alpha1.TenantClassSpec{MaxLimits: v1alpha1.ClassLimits{PerMinute: new(int32(60))}},
			func(t *v1alpha1.Tenant) {
				t.Spec.Limits.Requests.PerMinute, t.Spec.Limits.Requests.WindowSec = new(int32(60)), 1
			},
			v1alpha1.ReasonLimitAboveClass, "comes to 3600"),
		Entry("tokens", v1alpha1.TenantClassSpec{MaxLimits: v1alpha1.ClassLimits{DailyTokens: new(int64(10))}},
			func(t *v1alpha1.Tenant) { t.Spec.Limits.Tokens.Daily = new(int64(11)) },
			v1alpha1.ReasonLimitAboveClass, "spec.limits.tokens.daily comes to 11"),
		Entry("bodies", v1alpha1.TenantClassSpec{MaxLimits: v1alpha1.ClassLimits{BodyBytes: new(quantity("2Ki"))}},
			func(t *v1alpha1.Tenant) { t.Spec.Limits.BodyBytes = new(quantity("1Mi")) }, v1alpha1.ReasonLimitAboveClass, "spec.limits.bodyBytes"),
		Entry("passages", v1alpha1.TenantClassSpec{MaxLimits: v1alpha1.ClassLimits{Passages: new(int32(10))}},
			func(t *v1alpha1.Tenant) {
				t.Spec.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsState, MaxPassages: 11}
			},
			v1alpha1.ReasonLimitAboveClass, "spec.documents.maxPassages comes to 11"),
		Entry("tools of private networks", v1alpha1.TenantClassSpec{}, func(t *v1alpha1.Tenant) {
			withServer("stock", "")(t)
			t.Spec.Tools.MCP[0].Private = true
		}, v1alpha1.ReasonToolNotAllowed, "spec.tools.mcp[stock].private"),
		Entry("models", v1alpha1.TenantClassSpec{Models: v1alpha1.ClassModels{Allowed: []string{"llama3.2"}}},
			func(t *v1alpha1.Tenant) {
				testenv.WithUpstream("http://x/v1", "")(t)
				t.Spec.Models.Fallbacks = []string{"gpt-99"}
			}, v1alpha1.ReasonModelNotAllowed, `"gpt-99"`),
		Entry("memory", v1alpha1.TenantClassSpec{MaxResources: corev1.ResourceList{corev1.ResourceMemory: quantity("128Mi")}},
			func(t *v1alpha1.Tenant) {
				t.Spec.Runtime.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: quantity("256Mi")}}
			}, v1alpha1.ReasonResourcesAbove, "limits.memory is 256Mi"),
		Entry("a CPU request whose limit nobody names", v1alpha1.TenantClassSpec{MaxResources: corev1.ResourceList{corev1.ResourceCPU: quantity("1")}},
			func(t *v1alpha1.Tenant) {
				t.Spec.Runtime.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: quantity("3")}}
			}, v1alpha1.ReasonResourcesAbove, "requests.cpu is 3"),
		Entry("hosts", v1alpha1.TenantClassSpec{HostSuffixes: []v1alpha1.HostSuffix{{Suffix: ".apps.example"}}},
			func(t *v1alpha1.Tenant) { t.Spec.Exposure.Hosts = []string{"evilapps.example"} },
			v1alpha1.ReasonHostNotAllowed, "evilapps.example"),
		Entry("hosts of other namespaces", v1alpha1.TenantClassSpec{HostSuffixes: []v1alpha1.HostSuffix{{
			Suffix: "apps.example", NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "other"}}}}},
			func(t *v1alpha1.Tenant) { t.Spec.Exposure.Hosts = []string{"x.apps.example"} },
			v1alpha1.ReasonHostNotAllowed, "x.apps.example"),
	)

	It("holds a Tenant that asks for nothing to its bounds, and refuses it nothing", func(ctx SpecContext) {
		w := newWorld(ctx)
		class := newClass(ctx, w, v1alpha1.TenantClassSpec{
			MaxLimits:    v1alpha1.ClassLimits{DailyTokens: new(int64(10)), BodyBytes: new(quantity("2Ki"))},
			MaxResources: corev1.ResourceList{corev1.ResourceCPU: quantity("1"), corev1.ResourceMemory: quantity("128Mi")},
		})
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name))
		w.ExpectReady(ctx, t)
		deployment := &appsv1.Deployment{}
		Expect(w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "tenant-acme"}, deployment)).To(Succeed())
		limits := deployment.Spec.Template.Spec.Containers[0].Resources.Limits
		Expect(limits.Cpu().String()).To(Equal("1"))
		Expect(limits.Memory().String()).To(Equal("128Mi"))

		class.Spec.MaxLimits.DailyTokens = new(int64(9))
		class.Spec.MaxResources[corev1.ResourceCPU] = quantity("2")
		Expect(w.Client.Update(ctx, class)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(deployment), deployment)).To(Succeed())
		Expect(deployment.Spec.Template.Spec.Containers[0].Resources.Limits.Cpu().String()).To(Equal("2"))
		Expect(w.Events.Reasons("acme")).NotTo(ContainElement("DriftUndone"), "the class changed, nobody meddled")
	})

	It("whose pod patch isn't safe stalls its Tenants", func(ctx SpecContext) {
		w := newWorld(ctx)
		class := newClass(ctx, w, v1alpha1.TenantClassSpec{PodPatch: &runtime.RawExtension{Raw: []byte(`{"spec":{"hostNetwork":true}}`)}})
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name))
		w.ExpectStalled(ctx, t, v1alpha1.ReasonPodPatchRefused)
	})

	It("whose pod patch the API server can't read leaves no Tenant silent", func(ctx SpecContext) {
		w := newWorld(ctx)
		twice := `{"spec":{"hostAliases":[{"ip":"192.0.2.1"},{"ip":"192.0.2.1"}]}}`
		class := newClass(ctx, w, v1alpha1.TenantClassSpec{PodPatch: &runtime.RawExtension{Raw: []byte(twice)}})
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name))
		_, err := w.Reconcile(ctx, t)
		Expect(err).To(MatchError(ContainSubstring("duplicate entries")))
		Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t)).To(Succeed())
		Expect(t.Condition(v1alpha1.ConditionReconciling).Reason).To(Equal(v1alpha1.ReasonRetrying))
		Expect(t.Condition(v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionFalse))
		Expect(t.Status.ObservedGeneration).To(Equal(t.Generation))
		class.Spec.PodPatch = nil
		Expect(w.Client.Update(ctx, class)).To(Succeed())
		w.ExpectReady(ctx, t)

		By("and says nothing else of one that serves as its spec says")
		class.Spec.PodPatch = &runtime.RawExtension{Raw: []byte(twice)}
		Expect(w.Client.Update(ctx, class)).To(Succeed())
		_, err = w.Reconcile(ctx, t)
		Expect(err).To(HaveOccurred())
		Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t)).To(Succeed())
		Expect(t.Condition(v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionTrue))
	})
})

var _ = Describe("two Tenants that claim one thing", func() {
	It("share no public id, in whatever namespaces they are", func(ctx SpecContext) {
		w, other := newWorld(ctx), newWorld(ctx)
		elder := w.ExpectCreated(ctx, "acme", testenv.WithID("id-"+w.Namespace))
		w.ExpectReady(ctx, elder)
		younger := laterThan(ctx, elder, func() *v1alpha1.Tenant {
			return other.ExpectCreated(ctx, "shop", testenv.WithID("id-"+w.Namespace))
		}, other)
		other.ExpectStalled(ctx, younger, v1alpha1.ReasonTenantIDConflict)
		Expect(younger.Condition(v1alpha1.ConditionStalled).Message).To(ContainSubstring(w.Namespace + "/acme"))
		Expect(other.Client.Get(ctx, client.ObjectKey{Namespace: other.Namespace, Name: "tenant-shop"}, &corev1.Service{})).NotTo(Succeed())
		w.ExpectReady(ctx, elder)

		By("healing when the winner goes")
		remove(ctx, w, elder)
		other.ExpectReady(ctx, younger)
	})

	It("share no host; the loser keeps its others", func(ctx SpecContext) {
		w, other := newWorld(ctx), newWorld(ctx)
		shared, own := "shared."+w.Namespace+".example", "own."+w.Namespace+".example"
		elder := w.ExpectCreated(ctx, "acme", testenv.WithHosts(shared), testenv.WithIngress)
		w.ExpectReady(ctx, elder)
		younger := laterThan(ctx, elder, func() *v1alpha1.Tenant {
			return other.ExpectCreated(ctx, "shop", testenv.WithHosts(shared, own), testenv.WithIngress)
		}, other)
		other.ExpectStalled(ctx, younger, v1alpha1.ReasonHostConflict)
		Expect(document(ctx, other, younger).Hosts).To(Equal([]string{own}))
		Expect(younger.Status.Endpoint).To(Equal("https://" + own))
		Expect(younger.Condition(v1alpha1.ConditionWorkloadReady).Status).To(Equal(metav1.ConditionTrue))

		By("healing when the winner lets go of it")
		w.ExpectUpdated(ctx, elder, func(t *v1alpha1.Tenant) { t.Spec.Exposure = v1alpha1.Exposure{} })
		other.ExpectReady(ctx, younger)
		Expect(document(ctx, other, younger).Hosts).To(Equal([]string{shared, own}))
	})
})

var _ = Describe("a host that a class keeps for others", func() {
	It("isn't taken by asking first", func(ctx SpecContext) {
		w, owner := newWorld(ctx), newWorld(ctx)
		host := "shop." + owner.Namespace + ".example"
		class := newClass(ctx, w, v1alpha1.TenantClassSpec{HostSuffixes: []v1alpha1.HostSuffix{{
			Suffix:            owner.Namespace + ".example",
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: owner.Namespace}},
		}}})
		squatter := w.ExpectCreated(ctx, "squatter", testenv.WithClass(class.Name), testenv.WithHosts(host), testenv.Ephemeral)
		w.ExpectStalled(ctx, squatter, v1alpha1.ReasonHostNotAllowed)
		nowhere := w.ExpectCreated(ctx, "nowhere", testenv.WithClass("nowhere-"+w.Namespace), testenv.WithHosts(host), testenv.Ephemeral)
		w.ExpectWaiting(ctx, nowhere, v1alpha1.ReasonClassNotFound)
		t := laterThan(ctx, squatter, func() *v1alpha1.Tenant {
			return owner.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name), testenv.WithHosts(host), testenv.Ephemeral)
		}, owner)
		owner.ExpectReady(ctx, t)
		Expect(document(ctx, owner, t).Hosts).To(Equal([]string{host}))

		By("going to the older one once it may have it")
		class.Spec.HostSuffixes = nil
		Expect(w.Client.Update(ctx, class)).To(Succeed())
		w.ExpectReady(ctx, squatter)
		owner.ExpectStalled(ctx, t, v1alpha1.ReasonHostConflict)
	})
})

// laterThan makes a Tenant that counts as younger: creation times have whole seconds, and
// within one the UID decides, which is as good as a coin.
func laterThan(ctx SpecContext, elder *v1alpha1.Tenant, make func() *v1alpha1.Tenant, w *testenv.World) *v1alpha1.Tenant {
	GinkgoHelper()
	for {
		t := make()
		if t.CreationTimestamp.After(elder.CreationTimestamp.Time) || t.UID > elder.UID {
			return t
		}
		Expect(w.Client.Delete(ctx, t)).To(Succeed())
	}
}

// remove deletes a Tenant and finishes its deletion.
func remove(ctx SpecContext, w *testenv.World, t *v1alpha1.Tenant) {
	GinkgoHelper()
	Expect(w.Client.Delete(ctx, t)).To(Succeed())
	_, err := w.Reconcile(ctx, t)
	Expect(err).NotTo(HaveOccurred())
	Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t)).NotTo(Succeed())
}

var _ = Describe("deleting a Tenant", func() {
	It("keeps its volume with Retain, and a Tenant of the same identity takes it up", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		Expect(t.Finalizers).NotTo(BeEmpty())
		claim := volume(ctx, w)
		Expect(claim.OwnerReferences).To(BeEmpty())
		remove(ctx, w, t)
		Expect(w.Events.Reasons("acme")).To(ContainElement("VolumeRetained"))
		deleteOwned(ctx, w)

		again := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, again)
		Expect(volume(ctx, w).UID).To(Equal(claim.UID))
	})

	It("leaves a retained volume to nobody else", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		remove(ctx, w, t)
		deleteOwned(ctx, w)
		other := w.ExpectCreated(ctx, "acme", testenv.WithID("another-"+w.Namespace))
		w.ExpectStalled(ctx, other, v1alpha1.ReasonChildConflict)
	})

	It("removes its volume with Delete, also when the policy changed in the last moment", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
		remove(ctx, w, t)
		Expect(volume(ctx, w).DeletionTimestamp).NotTo(BeNil())
	})

	It("keeps its volume when the policy became Retain in the last moment", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithDeletionPolicy(v1alpha1.DeletionDelete))
		w.ExpectReady(ctx, t)
		Expect(metav1.IsControlledBy(volume(ctx, w), t)).To(BeTrue())
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.DeletionPolicy = v1alpha1.DeletionRetain })
		remove(ctx, w, t)
		Expect(volume(ctx, w).OwnerReferences).To(BeEmpty())
		Expect(volume(ctx, w).DeletionTimestamp).To(BeNil())
	})
})

func volume(ctx SpecContext, w *testenv.World) *corev1.PersistentVolumeClaim {
	GinkgoHelper()
	claim := &corev1.PersistentVolumeClaim{}
	Expect(w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "tenant-acme-state"}, claim)).To(Succeed())
	return claim
}

// deleteOwned plays the garbage collector for the children of acme.
func deleteOwned(ctx SpecContext, w *testenv.World) {
	GinkgoHelper()
	for id, child := range children(&v1alpha1.Tenant{ObjectMeta: metav1.ObjectMeta{Name: "acme"}}) {
		if id.kind == "PersistentVolumeClaim" {
			continue
		}
		child.SetNamespace(w.Namespace)
		child.SetName(id.name)
		Expect(client.IgnoreNotFound(w.Client.Delete(ctx, child))).To(Succeed())
	}
}
