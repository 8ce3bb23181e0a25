package tenant_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

var _ = Describe("a cache that lags", func() {
	// pass makes one pass; a conflict is what a lagging cache may cost, and no more.
	pass := func(ctx SpecContext, w *testenv.World, t *v1alpha1.Tenant) {
		GinkgoHelper()
		_, err := w.Reconcile(ctx, t)
		if err != nil && !apierrors.IsConflict(err) {
			Expect(err).NotTo(HaveOccurred())
		}
		_, err = w.RollOut(ctx, t)
		Expect(err).NotTo(HaveOccurred())
	}

	It("doesn't make keys or tokens anew, nor rotate them twice", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithKeys(testenv.GeneratedKey("web", 1)))
		Expect(w.Stale(ctx)).To(Succeed()) // sees the Tenant and none of its children
		pass(ctx, w, t)
		key, token := secret(ctx, w, "tenant-acme-keys").Data["web"], secret(ctx, w, "tenant-acme-config").Data["status-token"]
		for range 3 {
			pass(ctx, w, t)
			Expect(secret(ctx, w, "tenant-acme-keys").Data["web"]).To(Equal(key))
			Expect(secret(ctx, w, "tenant-acme-config").Data["status-token"]).To(Equal(token))
		}
		Expect(w.Restart()).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(secret(ctx, w, "tenant-acme-keys").Data["web"]).To(Equal(key))

		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Auth.Keys[0].Revision = 2 })
		Expect(w.Stale(ctx)).To(Succeed())
		pass(ctx, w, t)
		rotated := secret(ctx, w, "tenant-acme-keys").Data["web"]
		Expect(rotated).NotTo(Equal(key))
		for range 3 {
			pass(ctx, w, t)
			Expect(secret(ctx, w, "tenant-acme-keys").Data["web"]).To(Equal(rotated))
			Expect(document(ctx, w, t).Auth.Keys[0].Digests).To(HaveLen(2))
		}
	})

	It("doesn't overwrite what came in between", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		Expect(w.Stale(ctx)).To(Succeed())
		foreign := &corev1.Service{}
		foreign.Namespace, foreign.Name = w.Namespace, "tenant-acme"
		foreign.Spec.Ports = []corev1.ServicePort{{Port: 99}}
		create(ctx, w, foreign)
		version := foreign.ResourceVersion
		pass(ctx, w, t)
		Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(foreign), foreign)).To(Succeed())
		Expect(foreign.ResourceVersion).To(Equal(version))
	})
})

var _ = Describe("a cache that doesn't show a write yet", func() {
	It("doesn't make a Tenant Ready by the rollout before", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.Runtime.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: quantity("300Mi")}}
		})
		Expect(w.Stale(ctx)).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(t.Status.ObservedGeneration).To(Equal(t.Generation))
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonRollingOut))
		Expect(w.Restart()).To(Succeed())
		w.ExpectReady(ctx, t)
	})
})

var _ = Describe("secrets", func() {
	It("appear in Secrets alone", func(ctx SpecContext) {
		w := newWorld(ctx)
		const canary = "c4nary-0123456789-0123456789-0123456789"
		create(ctx, w, tokenSecret(w, "upstream", canary+"-upstream"))
		create(ctx, w, tokenSecret(w, "mine", canary+"-key"))
		t := w.ExpectCreated(ctx, "acme", testenv.WithUpstream("http://ollama.models:11434/v1", "upstream"),
			testenv.WithKeys(testenv.GeneratedKey("web", 1), testenv.ReferencedKey("app", "mine")))
		w.ExpectReady(ctx, t)
		values := []string{canary, string(secret(ctx, w, "tenant-acme-keys").Data["web"])}
		values = append(values, string(secret(ctx, w, "tenant-acme-config").Data["status-token"]))
		Expect(string(secret(ctx, w, "tenant-acme-config").Data["upstream-token"])).To(Equal(canary + "-upstream"))

		By("going through every kind of trouble with them")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Auth.Keys[0].Revision = 2 })
		w.ExpectReady(ctx, t)
		values = append(values, string(secret(ctx, w, "tenant-acme-keys").Data["web"]))
		upstream := secret(ctx, w, "upstream")
		upstream.Data["token"] = []byte(canary + " with a space")
		Expect(w.Client.Update(ctx, upstream)).To(Succeed())
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonTokenMalformed)
		upstream.Data["token"] = []byte(canary + "-new")
		Expect(w.Client.Update(ctx, upstream)).To(Succeed())
		before := t.Status.ConfigDigest
		w.ExpectReady(ctx, t)
		Expect(t.Status.ConfigDigest).NotTo(Equal(before), "a new credential is a new document")
		remove(ctx, w, t)

		var said []string
		for _, e := range w.Events.All() {
			said = append(said, e.Note, e.Reason)
		}
		said = append(said, w.Logs())
		families, err := w.Registry.Gather()
		Expect(err).NotTo(HaveOccurred())
		for _, f := range families {
			said = append(said, f.String())
		}
		for _, list := range append(kinds(), &corev1.PodList{}) {
			Expect(w.Client.List(ctx, list, client.InNamespace(w.Namespace))).To(Succeed())
			objects, err := listed(list)
			Expect(err).NotTo(HaveOccurred())
			for _, o := range objects {
				if s, ok := o.(*corev1.Secret); ok {
					s.Data = nil
				}
				said = append(said, dump(o))
			}
		}
		all := strings.Join(said, "\n")
		Expect(all).To(ContainSubstring("KeyRotated"), "the net catches something")
		for _, value := range values {
			Expect(strings.Contains(all, value)).To(BeFalse(), "a secret got out")
		}
	})

	It("leave the conditions' texts the same from one pass to the next", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithUpstream("http://x/v1", "upstream"))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
		w.ExpectNoWrites(ctx, t)
		Expect(w.Events.Reasons("acme")).To(Equal([]string{v1alpha1.ReasonSecretNotFound}), "one event, not one a pass")
	})
})
