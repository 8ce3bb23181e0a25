package tenant_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

const (
	firstToken  = "cf-c4nary-minted-for-acme-1"
	secondToken = "cf-c4nary-minted-for-acme-2"
)

func template(ctx SpecContext, w *testenv.World) corev1.PodTemplateSpec {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(w.Client.Get(ctx, key(w, "tenant-acme"), d)).To(Succeed())
	return d.Spec.Template
}

var _ = Describe("the bindings of a Tenant", func() {
	It("are made by its spec, waited for one by one, and served once all are there", func(ctx SpecContext) {
		w := newWorld(ctx)
		a := account(w, v1alpha1.AllowedNamespaces{})
		a.Spec.TenantTokens, a.Spec.GatewayID = v1alpha1.TokensMint, ""
		create(ctx, w, a)
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, withAccount("", "cloudflare"), withDocuments,
			using(v1alpha1.CloudflareUse{UsageLedger: &v1alpha1.BindingUse{}, Originals: &v1alpha1.BindingUse{}}))

		pending := func(says string) {
			GinkgoHelper()
			w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
			Expect(t.Condition(v1alpha1.ConditionBindingsReady).Message).To(ContainSubstring(says))
			Expect(t.Condition(v1alpha1.ConditionBindingsReady).Status).To(Equal(metav1.ConditionFalse))
			Expect(w.Client.Get(ctx, key(w, "tenant-acme"), &appsv1.Deployment{})).NotTo(Succeed(), "there is nothing to serve with")
		}
		pending("has no AI Gateway yet")
		Expect(t.Finalizers).To(ConsistOf(tenant.FinalizerBindings))
		a.Status.GatewayID = "ce-shared"
		Expect(w.Client.Status().Update(ctx, a)).To(Succeed())
		pending(`spec.documents.vectorize: CloudflareBinding "tenant-acme-vectors" hasn't been looked at`)
		play(ctx, w, "tenant-acme-vectors", "ce-vectors", failing(v1alpha1.ReasonCreating, "metadata index lang is being made", false))
		pending("isn't ready: metadata index lang is being made")
		play(ctx, w, "tenant-acme-vectors", "ce-vectors", func(b *v1alpha1.CloudflareBinding) { b.Status.Dimensions, b.Status.Metric = 768, "cosine" })
		play(ctx, w, "tenant-acme-originals", "ce-originals")
		play(ctx, w, "tenant-acme-usage-ledger", "0b9d3f4e-5c1a-4b6f-9a53-2f0c6d8e7a10")
		pending(`"tenant-acme-token"`)
		w.ExpectNoWrites(ctx, t)
		playToken(ctx, w, "tenant-acme-token", "id-1", firstToken)
		w.ExpectReady(ctx, t)

		Expect(t.Condition(v1alpha1.ConditionBindingsReady).Status).To(Equal(metav1.ConditionTrue))
		Expect(t.Status.Bindings).To(Equal([]v1alpha1.TenantBinding{
			{Role: v1alpha1.RoleGateway, Type: v1alpha1.BindingAIGateway, Name: "cloudflare-gateway", ID: "ce-shared", Ready: true},
			{Role: v1alpha1.RoleVectors, Type: v1alpha1.BindingVectorize, Name: "tenant-acme-vectors", ID: "ce-vectors", Ready: true},
			{Role: v1alpha1.RoleOriginals, Type: v1alpha1.BindingR2, Name: "tenant-acme-originals", ID: "ce-originals", Ready: true},
			{Role: v1alpha1.RoleUsageLedger, Type: v1alpha1.BindingD1, Name: "tenant-acme-usage-ledger", ID: "0b9d3f4e-5c1a-4b6f-9a53-2f0c6d8e7a10", Ready: true},
			{Role: v1alpha1.RoleToken, Type: v1alpha1.BindingAPIToken, Name: "tenant-acme-token", ID: "id-1", Ready: true},
		}))
		c := document(ctx, w, t)
		Expect(c.Upstream.Gateway.ID).To(Equal("ce-shared"))
		Expect(c.Documents.Vectorize).To(Equal(tenantconfig.Vectorize{Index: "ce-vectors", Dimensions: 768, Metric: "cosine", Filterable: []string{"lang"}}))
		Expect(c.Cloudflare.AccountID).To(Equal(accountID))
		Expect(c.Cloudflare.TokenID).To(Equal("id-1"))
		data := secret(ctx, w, "tenant-acme-config").Data
		Expect(string(data[tenantconfig.UpstreamTokenFile]) == firstToken).To(BeTrue())
		Expect(string(data[tenantconfig.CloudflareTokenFile]) == firstToken).To(BeTrue())
		w.ExpectNoWrites(ctx, t)

		By("taking up a rotated token live")
		before, restart := c, template(ctx, w).Annotations[resources.AnnotationRestart]
		pod, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		playToken(ctx, w, "tenant-acme-token", "id-2", secondToken)
		w.ExpectReady(ctx, t)
		c = document(ctx, w, t)
		Expect(c.Cloudflare.TokenID).To(Equal("id-2"))
		Expect(c.Upstream.CredentialsRevision).NotTo(Equal(before.Upstream.CredentialsRevision))
		Expect(template(ctx, w).Annotations).To(HaveKeyWithValue(resources.AnnotationRestart, restart))
		same, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		Expect(same.UID).To(Equal(pod.UID), "no pod was rolled")
		Expect(w.Logs() + dump(t)).NotTo(ContainSubstring("c4nary"))
	})

	It("don't undo what serves when they fail, and hold up no live change", func(ctx SpecContext) {
		w := newWorld(ctx)
		mintingAccount(ctx, w)
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, withAccount("", "cloudflare"),
			using(v1alpha1.CloudflareUse{UsageLedger: &v1alpha1.BindingUse{}}))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		play(ctx, w, "tenant-acme-usage-ledger", "d1-id")
		playToken(ctx, w, "tenant-acme-token", "id-1", firstToken)
		w.ExpectReady(ctx, t)

		play(ctx, w, "tenant-acme-usage-ledger", "d1-id", failing(v1alpha1.ReasonCloudflareUnavailable, "get D1 database: cloudflare unavailable", false))
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Limits.Requests.PerMinute = new(int32(7)) })
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring("get D1 database: cloudflare unavailable"))
		Expect(t.Condition(v1alpha1.ConditionWorkloadReady).Status).To(Equal(metav1.ConditionTrue))
		Expect(document(ctx, w, t).Limits.Requests.PerMinute).To(Equal(7))
		Expect(document(ctx, w, t).Cloudflare.UsageLedger).To(Equal("d1-id"))

		By("saying that only a change helps where that is so")
		play(ctx, w, "tenant-acme-token", "id-1", failing(v1alpha1.ReasonRefusedByAPI, "refused", true))
		w.ExpectStalled(ctx, t, v1alpha1.ReasonBindingPending)
		Expect(replicasOf(ctx, w, "acme")).To(BeEquivalentTo(1))
		play(ctx, w, "tenant-acme-usage-ledger", "d1-id")

		By("not using a token for what it wasn't made for")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Cloudflare.ConfigExport = &v1alpha1.BindingUse{} })
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		play(ctx, w, "tenant-acme-config-export", "kv-id")
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring(`"tenant-acme-token" hasn't been looked at since it was written`))
		Expect(document(ctx, w, t).Cloudflare.ConfigExport).To(BeEmpty())
		playToken(ctx, w, "tenant-acme-token", "id-2", secondToken)
		w.ExpectReady(ctx, t)
		Expect(document(ctx, w, t).Cloudflare.ConfigExport).To(Equal("kv-id"))
		Expect(boundTo(ctx, w, "tenant-acme-token").Spec.APIToken.Permissions).To(Equal([]string{"AI Gateway Run", "D1 Write", "Workers AI Read", "Workers KV Storage Write"}))
	})

	It("go when they are no longer wanted, but for data that is retained", func(ctx SpecContext) {
		w := newWorld(ctx)
		mintingAccount(ctx, w)
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, testenv.WithDeletionPolicy(v1alpha1.DeletionDelete), withAccount("", "cloudflare"),
			using(v1alpha1.CloudflareUse{UsageLedger: &v1alpha1.BindingUse{}}))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		first := play(ctx, w, "tenant-acme-usage-ledger", "d1-id")
		Expect(metav1.IsControlledBy(first, t)).To(BeTrue())
		playToken(ctx, w, "tenant-acme-token", "id-1", firstToken)
		w.ExpectReady(ctx, t)
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Cloudflare = nil })
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		Expect(boundTo(ctx, w, "tenant-acme-usage-ledger").DeletionTimestamp).To(BeNil(), "it goes once all else is settled")
		playToken(ctx, w, "tenant-acme-token", "id-1", firstToken)
		w.ExpectReady(ctx, t)
		Expect(apierrors.IsNotFound(w.Client.Get(ctx, key(w, "tenant-acme-usage-ledger"), first))).To(BeTrue())
		Expect(boundTo(ctx, w, "tenant-acme-token").Spec.APIToken.Permissions).To(Equal([]string{"AI Gateway Run", "Workers AI Read"}))

		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.DeletionPolicy = v1alpha1.DeletionRetain
			t.Spec.Cloudflare = &v1alpha1.CloudflareUse{UsageLedger: &v1alpha1.BindingUse{}}
		})
		Expect(w.Settle(ctx, t)).To(Succeed())
		kept := play(ctx, w, "tenant-acme-usage-ledger", "d1-id-2")
		Expect(kept.OwnerReferences).To(BeEmpty())
		Expect(kept.Spec.DeletionPolicy).To(Equal(v1alpha1.DeletionRetain))
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Cloudflare = nil })
		playToken(ctx, w, "tenant-acme-token", "id-2", secondToken)
		Expect(w.Settle(ctx, t)).To(Succeed())
		Expect(boundTo(ctx, w, "tenant-acme-usage-ledger").UID).To(Equal(kept.UID))

		By("having no token where the account lends its own")
		a := &v1alpha1.CloudflareAccount{}
		Expect(w.Client.Get(ctx, key(w, "cloudflare"), a)).To(Succeed())
		a.Spec.TenantTokens = v1alpha1.TokensShare
		Expect(w.Client.Update(ctx, a)).To(Succeed())
		create(ctx, w, tokenSecret(w, "cloudflare", "cf-c4nary-account"))
		pod, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.Runtime.Freeze(ctx, pod)).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonConfigNotLoaded))
		boundTo(ctx, w, "tenant-acme-token") // the pods call with it still
		w.Runtime.Thaw()
		w.ExpectReady(ctx, t)
		Expect(apierrors.IsNotFound(w.Client.Get(ctx, key(w, "tenant-acme-token"), &v1alpha1.CloudflareBinding{}))).To(BeTrue())
		Expect(string(secret(ctx, w, "tenant-acme-config").Data[tenantconfig.UpstreamTokenFile]) == "cf-c4nary-account").To(BeTrue())
	})

	It("of an index change over as its binding does", func(ctx SpecContext) {
		w := newWorld(ctx)
		mintingAccount(ctx, w)
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, withAccount("", "cloudflare"), withDocuments)
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		play(ctx, w, "tenant-acme-vectors", "one", func(b *v1alpha1.CloudflareBinding) { b.Status.Dimensions, b.Status.Metric = 768, "cosine" })
		playToken(ctx, w, "tenant-acme-token", "id-1", firstToken)
		w.ExpectReady(ctx, t)
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Documents.Vectorize.Index.Dimensions = 1024 })
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		Expect(document(ctx, w, t).Documents.Vectorize.Dimensions).To(Equal(768))
		play(ctx, w, "tenant-acme-vectors", "one", func(b *v1alpha1.CloudflareBinding) {
			b.Status.Next = &v1alpha1.NextIndex{ID: "two", Dimensions: 1024, Metric: "cosine", Ready: true}
		})
		w.ExpectReady(ctx, t)
		v := document(ctx, w, t).Documents.Vectorize
		Expect([]any{v.Index, v.Dimensions, v.Next, v.NextDimensions}).To(Equal([]any{"one", 768, "two", 1024}))
		play(ctx, w, "tenant-acme-vectors", "two", func(b *v1alpha1.CloudflareBinding) {
			b.Status.Dimensions, b.Status.Next = 1024, nil
		})
		w.ExpectReady(ctx, t)
		v = document(ctx, w, t).Documents.Vectorize
		Expect([]any{v.Index, v.Dimensions, v.Next, v.NextDimensions}).To(Equal([]any{"two", 1024, "", 0}))
	})
})

var _ = Describe("a binding that a Tenant names", func() {
	It("must be there, of the type and in the account, in the Tenant's own namespace", func(ctx SpecContext) {
		w, other := newWorld(ctx), newWorld(ctx)
		mintingAccount(ctx, w)
		foreign := handmade(ctx, other, "shared", v1alpha1.CloudflareBindingSpec{
			Type: v1alpha1.BindingVectorize, AccountRef: v1alpha1.AccountReference{Name: "cloudflare", Namespace: w.Namespace},
		})
		play(ctx, other, "shared", "foreign")
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, withAccount("", "cloudflare"), withNamedIndex("shared"))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingNotFound)
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring(`spec.documents.vectorize.bindingRef: CloudflareBinding "shared" doesn't exist in namespace "` + w.Namespace + `"`))

		wrong := handmade(ctx, w, "shared", v1alpha1.CloudflareBindingSpec{Type: v1alpha1.BindingKV})
		w.ExpectStalled(ctx, t, v1alpha1.ReasonBindingMismatch)
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring("is of type KV, and Vectorize is needed"))
		Expect(w.Client.Delete(ctx, wrong)).To(Succeed())
		wrong = handmade(ctx, w, "shared", v1alpha1.CloudflareBindingSpec{Type: v1alpha1.BindingVectorize, AccountRef: v1alpha1.AccountReference{Name: "other"}})
		play(ctx, w, "shared", "in-another-account")
		w.ExpectStalled(ctx, t, v1alpha1.ReasonBindingMismatch)
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring("lies in another account"))
		Expect(w.Client.Delete(ctx, wrong)).To(Succeed())

		named := handmade(ctx, w, "shared", v1alpha1.CloudflareBindingSpec{
			Type: v1alpha1.BindingVectorize, AccountRef: v1alpha1.AccountReference{Name: "cloudflare", Namespace: w.Namespace},
		})
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		play(ctx, w, "shared", "shared-index")
		playToken(ctx, w, "tenant-acme-token", "id-1", firstToken)
		w.ExpectReady(ctx, t)
		v := document(ctx, w, t).Documents.Vectorize
		Expect(v.Index).To(Equal("shared-index"))
		Expect(v.Namespace).To(HaveLen(32))

		By("staying when the Tenant goes, and untouched")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
		version := boundTo(ctx, w, "shared").ResourceVersion
		Expect(w.Client.Delete(ctx, t)).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(BeTrue())
		Expect(boundTo(ctx, w, "shared").ResourceVersion).To(Equal(version))
		Expect(named.Name).To(Equal(foreign.Name))
	})

	It("may be a gateway of the Tenant's own, or one is made", func(ctx SpecContext) {
		w := newWorld(ctx)
		mintingAccount(ctx, w)
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, withAccount("", "cloudflare"), func(t *v1alpha1.Tenant) {
			t.Spec.Upstream.Gateway = &v1alpha1.GatewaySettings{Mode: v1alpha1.GatewayDedicated, CollectLogs: true}
		})
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		Expect(boundTo(ctx, w, "tenant-acme-gateway").Spec.AIGateway.CollectLogs).To(BeTrue())
		play(ctx, w, "tenant-acme-gateway", "dedicated")
		playToken(ctx, w, "tenant-acme-token", "id-1", firstToken)
		w.ExpectReady(ctx, t)
		Expect(document(ctx, w, t).Upstream.Gateway.ID).To(Equal("dedicated"))

		handmade(ctx, w, "mine", v1alpha1.CloudflareBindingSpec{Type: v1alpha1.BindingAIGateway})
		play(ctx, w, "mine", "hand-made")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.Upstream.Gateway.BindingRef = &v1alpha1.BindingReference{Name: "mine"}
		})
		w.ExpectReady(ctx, t)
		Expect(document(ctx, w, t).Upstream.Gateway.ID).To(Equal("hand-made"))
		Expect(apierrors.IsNotFound(w.Client.Get(ctx, key(w, "tenant-acme-gateway"), &v1alpha1.CloudflareBinding{}))).To(BeTrue(), "one of few places is free again")
	})
})

var _ = Describe("a Tenant's token", func() {
	It("isn't taken from a Secret that its binding doesn't control", func(ctx SpecContext) {
		w := newWorld(ctx)
		mintingAccount(ctx, w)
		create(ctx, w, tokenSecret(w, "tenant-acme-token", "cf-c4nary-planted"))
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, withAccount("", "cloudflare"))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		play(ctx, w, "tenant-acme-token", "id-1")
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring("isn't its own"))
		Expect(w.Client.Get(ctx, key(w, "tenant-acme-config"), &corev1.Secret{})).NotTo(Succeed())
		playToken(ctx, w, "tenant-acme-token", "id-1", firstToken)
		w.ExpectReady(ctx, t)
	})

	It("opens R2 with its id, which a lent one has once it is verified", func(ctx SpecContext) {
		w := newWorld(ctx)
		a := account(w, v1alpha1.AllowedNamespaces{})
		create(ctx, w, a)
		create(ctx, w, tokenSecret(w, "cloudflare", "cf-c4nary-account"))
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral, withAccount("", "cloudflare"), using(v1alpha1.CloudflareUse{Originals: &v1alpha1.BindingUse{}}))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		play(ctx, w, "tenant-acme-originals", "bucket")
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonBindingPending)
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring("hasn't been verified yet"))
		a.Status.TokenID = "verified"
		Expect(w.Client.Status().Update(ctx, a)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(document(ctx, w, t).Cloudflare.TokenID).To(Equal("verified"))
	})

	It("of one namespace's account never reaches a Tenant of another", func(ctx SpecContext) {
		one, two := ownAccount(ctx, "1"), ownAccount(ctx, "2")
		for _, w := range []*testenv.World{one, two} {
			t := &v1alpha1.Tenant{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "globex"}}
			Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t)).To(Succeed())
			text := dump(secret(ctx, w, "tenant-globex-config")) + string(secret(ctx, w, "tenant-globex-config").Data[tenantconfig.DocumentFile])
			for _, other := range []*testenv.World{one, two} {
				Expect(strings.Contains(text, other.Namespace+"/") || strings.Contains(text, idOf(other))).To(Equal(other == w), "of %s in %s", other.Namespace, w.Namespace)
			}
		}

		By("being refused by name too")
		t := two.ExpectCreated(ctx, "spy", testenv.Ephemeral, withAccount(one.Namespace, "own"))
		two.ExpectWaiting(ctx, t, v1alpha1.ReasonAccountNotAllowed)
		Expect(two.Client.Get(ctx, key(two, "tenant-spy-token"), &v1alpha1.CloudflareBinding{})).NotTo(Succeed(), "nothing is asked of the account")
	})
})
