package tenant_test

import (
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
	"github.com/crispy-enigma/crispy-enigma/hack/apiserver"
)

// accounts of the Worlds that have one of their own.
var accounts = map[string]string{}

func idOf(w *testenv.World) string { return accounts[w.Namespace] }

// ownAccount is a World in which the sample of a tenant with its own account is applied
// and has become Ready; digit makes the account's id.
func ownAccount(ctx SpecContext, digit string) *testenv.World {
	GinkgoHelper()
	w := newWorld(ctx)
	accounts[w.Namespace] = strings.Repeat(digit, 32)
	manifest, err := os.ReadFile("../../config/samples/tenant-own-account.yaml")
	Expect(err).NotTo(HaveOccurred())
	text := strings.NewReplacer("tenant-globex", w.Namespace, strings.Repeat("1", 32), idOf(w)).Replace(string(manifest))
	objects, err := apiserver.Decode([]byte(text))
	Expect(err).NotTo(HaveOccurred())
	for _, u := range objects {
		if u.GetKind() == "Namespace" {
			continue
		}
		if u.GetKind() == "Tenant" {
			// Public ids are unique in the cluster that the tests share.
			Expect(unstructured.SetNestedField(u.Object, "globex-"+w.Namespace, "spec", "tenantID")).To(Succeed())
		}
		create(ctx, w, u)
	}
	t := &v1alpha1.Tenant{}
	t.Namespace, t.Name = w.Namespace, "globex"
	w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
	for _, role := range []string{"gateway", "vectors", "originals", "usage-ledger"} {
		play(ctx, w, "tenant-globex-"+role, "ce-"+w.Namespace+"-"+role)
	}
	playToken(ctx, w, "tenant-globex-token", "id-"+digit, "cf-c4nary-"+w.Namespace+"/own")
	w.ExpectReady(ctx, t)
	return w
}

// leaving is a Tenant with a token, a gateway and two things that hold data, whose
// deletion has begun and whose bindings are guarded by their controller.
func leaving(ctx SpecContext, w *testenv.World, atFirst, at v1alpha1.DeletionPolicy) *v1alpha1.Tenant {
	GinkgoHelper()
	mintingAccount(ctx, w)
	t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, testenv.WithDeletionPolicy(atFirst), withAccount("", "cloudflare"), withDocuments,
		using(v1alpha1.CloudflareUse{UsageLedger: &v1alpha1.BindingUse{}}),
		func(t *v1alpha1.Tenant) {
			t.Spec.Upstream.Gateway = &v1alpha1.GatewaySettings{Mode: v1alpha1.GatewayDedicated}
		})
	w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
	for _, role := range []string{"gateway", "vectors", "usage-ledger"} {
		guard(ctx, w, "tenant-acme-"+role)
		play(ctx, w, "tenant-acme-"+role, "ce-"+role)
	}
	guard(ctx, w, "tenant-acme-token")
	playToken(ctx, w, "tenant-acme-token", "id-1", firstToken)
	w.ExpectReady(ctx, t)
	w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.DeletionPolicy = at })
	Expect(w.Client.Delete(ctx, t)).To(Succeed())
	return t
}

func going(ctx SpecContext, w *testenv.World, role string) bool {
	GinkgoHelper()
	b := &v1alpha1.CloudflareBinding{}
	err := w.Client.Get(ctx, key(w, "tenant-acme-"+role), b)
	Expect(client.IgnoreNotFound(err)).To(Succeed())
	return err != nil || b.DeletionTimestamp != nil
}

var _ = Describe("deleting a Tenant with bindings", func() {
	It("revokes its token before anything else goes, and says what keeps it", func(ctx SpecContext) {
		w := newWorld(ctx)
		// The policy became Delete in the last moment.
		t := leaving(ctx, w, v1alpha1.DeletionRetain, v1alpha1.DeletionDelete)
		w.ExpectReconciled(ctx, t)
		Expect(going(ctx, w, "token")).To(BeTrue())
		for _, role := range []string{"gateway", "vectors", "usage-ledger"} {
			Expect(going(ctx, w, role)).To(BeFalse(), role)
		}
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonDeleting))
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring(`"tenant-acme-token"`))
		w.ExpectNoWrites(ctx, t)

		stuck := boundTo(ctx, w, "tenant-acme-token")
		stuck.Marks().Stalled(v1alpha1.ReasonCredentialsGone, "annotate it with ai.crispy-enigma.dev/let-go=true")
		Expect(w.Client.Status().Update(ctx, stuck)).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionStalled).Message).To(ContainSubstring("ai.crispy-enigma.dev/let-go=true"))

		letGo(ctx, w, "tenant-acme-token")
		w.ExpectReconciled(ctx, t)
		for _, role := range []string{"gateway", "vectors", "usage-ledger"} {
			Expect(going(ctx, w, role)).To(BeTrue(), role)
		}
		Expect(boundTo(ctx, w, "tenant-acme-vectors").Spec.DeletionPolicy).To(Equal(v1alpha1.DeletionDelete), "its data goes with it")
		Expect(apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(BeTrue())
		for _, role := range []string{"gateway", "vectors", "usage-ledger"} {
			letGo(ctx, w, "tenant-acme-"+role)
		}
	})

	It("leaves data with Retain, says where, and gives it to the next of the same name", func(ctx SpecContext) {
		w := newWorld(ctx)
		// The policy became Retain in the last moment.
		t := leaving(ctx, w, v1alpha1.DeletionDelete, v1alpha1.DeletionRetain)
		letGo(ctx, w, "tenant-acme-token")
		w.ExpectReconciled(ctx, t)
		Expect(apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(BeTrue())
		Expect(going(ctx, w, "gateway")).To(BeTrue(), "an account has few places for gateways")
		letGo(ctx, w, "tenant-acme-gateway")
		vectors := boundTo(ctx, w, "tenant-acme-vectors")
		Expect(vectors.OwnerReferences).To(BeEmpty())
		Expect(vectors.Spec.DeletionPolicy).To(Equal(v1alpha1.DeletionRetain))
		Expect(vectors.DeletionTimestamp).To(BeNil())
		var told []string
		for _, e := range w.Events.All() {
			if e.Reason == "BindingRetained" {
				told = append(told, e.Note)
			}
		}
		Expect(told).To(ConsistOf(ContainSubstring("Vectorize ce-vectors"), ContainSubstring("D1 ce-usage-ledger")))

		deleteOwned(ctx, w)
		again := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, withAccount("", "cloudflare"), withDocuments)
		w.ExpectWaiting(ctx, again, v1alpha1.ReasonBindingPending)
		Expect(boundTo(ctx, w, "tenant-acme-vectors").UID).To(Equal(vectors.UID))
		play(ctx, w, "tenant-acme-vectors", "ce-vectors")
		playToken(ctx, w, "tenant-acme-token", "id-2", secondToken)
		w.ExpectReady(ctx, again)
		Expect(document(ctx, w, again).Documents.Vectorize.Index).To(Equal("ce-vectors"))

		By("not giving it to one of another id")
		Expect(w.Client.Delete(ctx, again)).To(Succeed())
		w.ExpectReconciled(ctx, again)
		deleteOwned(ctx, w)
		stranger := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, testenv.WithID("stranger-"+w.Namespace), withAccount("", "cloudflare"), withDocuments)
		w.ExpectStalled(ctx, stranger, v1alpha1.ReasonChildConflict)
		Expect(stranger.Condition(v1alpha1.ConditionBindingsReady).Reason).To(Equal(v1alpha1.ReasonChildConflict))
	})

	It("finds every binding guarded, wherever the operator was cut off", func(ctx SpecContext) {
		for n := 0; ; n++ {
			w := newWorld(ctx)
			mintingAccount(ctx, w)
			w.Gate.Break(n, testenv.CrashAfter)
			t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, withAccount("", "cloudflare"), withDocuments)
			_, err := w.Reconcile(ctx, t)
			if !w.Gate.Dead() {
				Expect(err).NotTo(HaveOccurred())
				Expect(n).To(BeNumerically(">=", 4), "the finalizer, two bindings and the status were cut")
				return
			}
			var made v1alpha1.CloudflareBindingList
			Expect(w.Client.List(ctx, &made, client.InNamespace(w.Namespace))).To(Succeed())
			Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t)).To(Succeed())
			Expect(t.Finalizers).To(ContainElement(tenant.FinalizerBindings), "after write %d", n)
			Expect(w.Client.Delete(ctx, t)).To(Succeed())
			Expect(w.Restart()).To(Succeed())
			_, err = w.Reconcile(ctx, t)
			Expect(err).NotTo(HaveOccurred())
			Expect(apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(BeTrue())
			for _, b := range made.Items {
				left := &v1alpha1.CloudflareBinding{}
				gone := apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(&b), left))
				Expect(gone).To(Equal(b.Spec.Type == v1alpha1.BindingAPIToken), "%s after write %d: data is retained, a token never", b.Name, n)
			}
		}
	})
})
