package account_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

// newTenant creates a Tenant that calls Workers AI through account "cf".
func (w *world) newTenant(ctx context.Context, name string, options ...testenv.Option) *v1alpha1.Tenant {
	GinkgoHelper()
	t := testenv.NewTenant(w.namespace, name, append([]testenv.Option{func(t *v1alpha1.Tenant) {
		t.Spec.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamWorkersAI, AccountRef: &v1alpha1.AccountReference{Name: "cf"}}
		t.Spec.Models.Chat = "m"
	}}, options...)...)
	Expect(cluster.Client.Create(ctx, t)).To(Succeed())
	return t
}

func dedicated(t *v1alpha1.Tenant) {
	t.Spec.Upstream.Gateway = &v1alpha1.GatewaySettings{Mode: v1alpha1.GatewayDedicated}
}

var _ = Describe("the AI Gateway that an account's Tenants share", func() {
	var w *world
	var a *v1alpha1.CloudflareAccount
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx, cloudflarefake.Options{})
		w.put(ctx, "cf", good)
	})
	bindings := func(ctx context.Context) []v1alpha1.CloudflareBinding {
		GinkgoHelper()
		var list v1alpha1.CloudflareBindingList
		Expect(cluster.Client.List(ctx, &list, client.InNamespace(w.namespace))).To(Succeed())
		return list.Items
	}

	It("is made once, when the first Tenant wants it", func(ctx SpecContext) {
		a = w.newAccount(ctx, "cf")
		w.newTenant(ctx, "own", dedicated)
		w.pass(ctx, a)
		Expect(bindings(ctx)).To(BeEmpty())

		w.newTenant(ctx, "first")
		w.newTenant(ctx, "second")
		for range 3 {
			w.pass(ctx, a)
		}
		made := bindings(ctx)
		Expect(made).To(HaveLen(1))
		b := &made[0]
		Expect(b.Name).To(Equal("cf-gateway"))
		Expect(b.Spec.Type).To(Equal(v1alpha1.BindingAIGateway))
		Expect(b.Spec.DeletionPolicy).To(Equal(v1alpha1.DeletionDelete))
		Expect(metav1.IsControlledBy(b, a)).To(BeTrue())
		Expect(a.Status.GatewayID).To(BeEmpty())

		b.Status.ID = "ce-shared"
		Expect(cluster.Client.Status().Update(ctx, b)).To(Succeed())
		w.pass(ctx, a)
		Expect(a.Status.GatewayID).To(Equal("ce-shared"))
		Expect(a.Status.Owned).To(Equal(&v1alpha1.AccountOwned{Total: 1, ByType: map[v1alpha1.BindingType]int32{v1alpha1.BindingAIGateway: 1}}))

		By("never being the one that Cloudflare makes")
		b.Status.ID = "default"
		Expect(cluster.Client.Status().Update(ctx, b)).To(Succeed())
		w.pass(ctx, a)
		Expect(a.Status.GatewayID).NotTo(Equal("default"))

		By("being the spec's where it names one")
		a.Spec.GatewayID = "mine"
		Expect(cluster.Client.Update(ctx, a)).To(Succeed())
		w.pass(ctx, a)
		Expect(a.Status.GatewayID).To(Equal("mine"))
	})

	It("isn't made where the spec names one, nor for Tenants that may not use the account", func(ctx SpecContext) {
		a = w.newAccount(ctx, "cf", func(a *v1alpha1.CloudflareAccount) { a.Spec.GatewayID = "mine" })
		w.newTenant(ctx, "first")
		w.pass(ctx, a)
		Expect(bindings(ctx)).To(BeEmpty())

		elsewhere := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-", Labels: map[string]string{"team": "x"}}}
		Expect(cluster.Client.Create(ctx, elsewhere)).To(Succeed())
		other := w.newAccount(ctx, "other", func(a *v1alpha1.CloudflareAccount) {
			a.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "y"}}}
		})
		t := testenv.NewTenant(elsewhere.Name, "far", func(t *v1alpha1.Tenant) {
			t.Spec.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamWorkersAI, AccountRef: &v1alpha1.AccountReference{Namespace: w.namespace, Name: "other"}}
			t.Spec.Models.Chat = "m"
		})
		Expect(cluster.Client.Create(ctx, t)).To(Succeed())
		w.pass(ctx, other)
		Expect(bindings(ctx)).To(BeEmpty())
		other.Spec.AllowedNamespaces.Selector.MatchLabels["team"] = "x"
		Expect(cluster.Client.Update(ctx, other)).To(Succeed())
		w.pass(ctx, other)
		Expect(bindings(ctx)).To(HaveLen(1))
	})

	It("survives a crash, and leaves a stranger's binding alone", func(ctx SpecContext) {
		a = w.newAccount(ctx, "cf")
		w.pass(ctx, a)
		w.newTenant(ctx, "first")
		w.gate = &testenv.Gate{}
		w.client = indexed(w.gate.Client(cluster.Client))
		w.restart(ctx)
		w.gate.Break(0, testenv.TimeoutAfter)
		_, err := w.reconciler.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
		Expect(err).To(HaveOccurred())
		w.pass(ctx, a)
		Expect(bindings(ctx)).To(HaveLen(1))

		By("a stranger's")
		stranger := bindings(ctx)[0]
		Expect(cluster.Client.Delete(ctx, &stranger)).To(Succeed())
		w.newBinding(ctx, v1alpha1.BindingAIGateway, "cf-gateway", "theirs")
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionStalled)).To(Equal("True/ChildConflict"))
		Expect(message(a, v1alpha1.ConditionReady)).To(ContainSubstring("spec.gatewayID"))
		Expect(a.Status.GatewayID).To(BeEmpty())
	})
})

var _ = Describe("an account that is deleted", func() {
	It("stays while bindings lie in it, and takes its own gateway with it", func(ctx SpecContext) {
		w := newWorld(ctx, cloudflarefake.Options{})
		w.put(ctx, "cf", good)
		a := w.newAccount(ctx, "cf")
		w.pass(ctx, a)
		w.newTenant(ctx, "acme")
		w.pass(ctx, a)
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			w.newBinding(ctx, v1alpha1.BindingKV, name, "kv-"+name)
		}
		Expect(cluster.Client.Delete(ctx, a)).To(Succeed())
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionReconciling)).To(Equal("True/Deleting"))
		Expect(message(a, v1alpha1.ConditionReady)).To(ContainSubstring(w.namespace + "/a, "))
		Expect(message(a, v1alpha1.ConditionReady)).To(ContainSubstring("and 2 more"))
		Expect(message(a, v1alpha1.ConditionReady)).To(ContainSubstring(`ai.crispy-enigma.dev/let-go: "true"`))
		Expect(w.events.Reasons("cf")).To(ContainElement("Deleting"))
		_, err := w.directory.Open(ctx, w.key("cf"))
		Expect(err).NotTo(HaveOccurred(), "bindings delete what they made")

		gateway := &v1alpha1.CloudflareBinding{}
		Expect(client.IgnoreNotFound(cluster.Client.Get(ctx, w.key("cf-gateway"), gateway))).To(Succeed())
		Expect(gateway.Name).To(BeEmpty(), "it went at once: nothing finalizes it here")

		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			b := &v1alpha1.CloudflareBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
			Expect(cluster.Client.Delete(ctx, b)).To(Succeed())
		}
		w.pass(ctx, a)
		Expect(client.IgnoreNotFound(cluster.Client.Get(ctx, w.key("cf"), a))).To(Succeed())
		err = cluster.Client.Get(ctx, w.key("cf"), a)
		Expect(err).To(MatchError(ContainSubstring("not found")))
		_, err = w.directory.Open(ctx, w.key("cf"))
		Expect(problem(err)).To(Equal(v1alpha1.ReasonAccountNotFound))
		Expect(account.GatewayName("cf")).To(Equal("cf-gateway"))
	})
})
