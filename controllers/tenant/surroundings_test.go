package tenant_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

const accountID = "0123456789abcdef0123456789abcdef"

// withAccount asks Workers AI through an account.
func withAccount(namespace, name string) testenv.Option {
	return func(t *v1alpha1.Tenant) {
		t.Spec.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamWorkersAI, AccountRef: &v1alpha1.AccountReference{Namespace: namespace, Name: name}}
		t.Spec.Models.Chat = "@cf/meta/llama-3.1-8b-instruct-fast"
	}
}

// account lends its own token and gateway, so that nothing is made in it.
func account(w *testenv.World, allowed v1alpha1.AllowedNamespaces) *v1alpha1.CloudflareAccount {
	a := &v1alpha1.CloudflareAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "cloudflare"}}
	a.Spec.AccountID = accountID
	a.Spec.Credentials.SecretRef.Name = "cloudflare"
	a.Spec.TenantTokens, a.Spec.GatewayID = v1alpha1.TokensShare, "mine"
	a.Spec.AllowedNamespaces = allowed
	return a
}

var _ = Describe("a CloudflareAccount", func() {
	It("gives its Tenants its id and token, once both are there", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", withAccount("", "cloudflare"))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonAccountNotFound)
		create(ctx, w, account(w, v1alpha1.AllowedNamespaces{}))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
		create(ctx, w, tokenSecret(w, "cloudflare", "cf-token-1"))
		w.ExpectReady(ctx, t)
		c := document(ctx, w, t)
		Expect(c.Upstream.AccountID).To(Equal(accountID))
		Expect(c.Upstream.Gateway.ID).To(Equal("mine"))
		Expect(string(secret(ctx, w, "tenant-acme-config").Data[c.Upstream.CredentialsFile])).To(Equal("cf-token-1"))

		By("passing on a new token as a new document")
		s := secret(ctx, w, "cloudflare")
		s.Data["token"] = []byte("cf-token-2")
		Expect(w.Client.Update(ctx, s)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(document(ctx, w, t).Upstream.CredentialsRevision).NotTo(Equal(c.Upstream.CredentialsRevision))
	})

	It("serves the namespaces that its owner allows, and stops when they no longer are", func(ctx SpecContext) {
		platform, team := newWorld(ctx), newWorld(ctx)
		a := account(platform, v1alpha1.AllowedNamespaces{})
		create(ctx, platform, a)
		create(ctx, platform, tokenSecret(platform, "cloudflare", "cf-token"))
		t := team.ExpectCreated(ctx, "acme", withAccount(platform.Namespace, "cloudflare"))
		team.ExpectWaiting(ctx, t, v1alpha1.ReasonAccountNotAllowed)
		Expect(team.Client.Get(ctx, key(team, "tenant-acme-config"), &corev1.Secret{})).NotTo(Succeed(), "the token didn't cross over")

		a.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"ai": "yes"}}}
		Expect(platform.Client.Update(ctx, a)).To(Succeed())
		team.ExpectWaiting(ctx, t, v1alpha1.ReasonAccountNotAllowed)
		ns := &corev1.Namespace{}
		Expect(team.Client.Get(ctx, keyOf(team.Namespace), ns)).To(Succeed())
		ns.Labels["ai"] = "yes"
		Expect(team.Client.Update(ctx, ns)).To(Succeed())
		team.ExpectReady(ctx, t)

		a.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSame}
		Expect(platform.Client.Update(ctx, a)).To(Succeed())
		team.ExpectWaiting(ctx, t, v1alpha1.ReasonAccountNotAllowed)
		a.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.AllowAll}
		Expect(platform.Client.Update(ctx, a)).To(Succeed())
		team.ExpectReady(ctx, t)
	})

	It("lends its token to no other upstream of the Tenant", func(ctx SpecContext) {
		w := newWorld(ctx)
		create(ctx, w, account(w, v1alpha1.AllowedNamespaces{}))
		create(ctx, w, tokenSecret(w, "cloudflare", "cf-c4nary-account"))
		create(ctx, w, tokenSecret(w, "own", "own-c4nary-token"))
		t := w.ExpectCreated(ctx, "acme", withAccount("", "cloudflare"))
		w.ExpectReady(ctx, t)
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.Upstream.Type, t.Spec.Upstream.BaseURL = v1alpha1.UpstreamOpenAI, "http://elsewhere.example/v1"
		})
		w.ExpectReady(ctx, t)
		Expect(document(ctx, w, t).Upstream.CredentialsFile).To(BeEmpty())
		Expect(secret(ctx, w, "tenant-acme-config").Data).NotTo(HaveKey(tenantconfig.UpstreamTokenFile), "the account's token goes to nobody but Cloudflare")

		By("sending the credential that goes with it")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.Upstream.CredentialsSecretRef = &v1alpha1.SecretKeyReference{Name: "own"}
		})
		w.ExpectReady(ctx, t)
		Expect(string(secret(ctx, w, "tenant-acme-config").Data[tenantconfig.UpstreamTokenFile]) == "own-c4nary-token").To(BeTrue())

		By("needing no account any more")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamEmbedded, AccountRef: t.Spec.Upstream.AccountRef}
			t.Spec.Models = v1alpha1.Models{}
		})
		Expect(w.Client.Delete(ctx, account(w, v1alpha1.AllowedNamespaces{}))).To(Succeed())
		w.ExpectReady(ctx, t)
	})

	It("doesn't lend a Tenant another namespace's Secrets by name", func(ctx SpecContext) {
		platform, team := newWorld(ctx), newWorld(ctx)
		create(ctx, platform, tokenSecret(platform, "theirs", strings.Repeat("t", 40)))
		t := team.ExpectCreated(ctx, "acme", testenv.WithKeys(testenv.ReferencedKey("web", "theirs")))
		team.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
	})
})

var _ = Describe("the default class", func() {
	It("is the oldest of those that say so", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		Expect(t.Status.Class).To(BeEmpty())
		first := newClass(ctx, w, v1alpha1.TenantClassSpec{Default: true, Limits: v1alpha1.ClassLimits{PerMinute: new(int32(5))}})
		w.ExpectReady(ctx, t)
		Expect(t.Status.Class).To(Equal(first.Name))
		Expect(document(ctx, w, t).Limits.Requests.PerMinute).To(Equal(5))
	})
})

var _ = Describe("the API server", func() {
	It("that refuses a child is quoted, and the Tenant heals when it no longer does", func(ctx SpecContext) {
		w := newWorld(ctx)
		none := corev1.ResourceList{"count/services": quantity("0")}
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none}}
		create(ctx, w, quota)
		quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
		Expect(w.Client.Status().Update(ctx, quota)).To(Succeed())
		t := w.ExpectCreated(ctx, "acme")
		result := w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReconciling).Reason).To(Equal(v1alpha1.ReasonChildRefused))
		Expect(t.Condition(v1alpha1.ConditionWorkloadReady).Message).To(ContainSubstring("exceeded quota"))
		Expect(result.RequeueAfter.Seconds()).To(BeNumerically("<=", 24))
		Expect(w.Client.Delete(ctx, quota)).To(Succeed())
		Eventually(func() error { return w.Settle(ctx, t) }).Should(Succeed())
		w.ExpectReady(ctx, t)
	})

	It("is left alone once a namespace goes", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.Ephemeral)
		ns := &corev1.Namespace{}
		Expect(w.Client.Get(ctx, keyOf(w.Namespace), ns)).To(Succeed())
		Expect(w.Client.Delete(ctx, ns)).To(Succeed())
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonNamespaceDeleting)
		w.ExpectNoWrites(ctx, t)
	})
})
