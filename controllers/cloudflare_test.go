package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
)

var _ = Describe("the operator of Cloudflare accounts, with its own rights alone", Ordered, func() {
	const known = "cfat_c4nary-operator"
	var cloud *cloudflarefake.World

	BeforeAll(func() {
		cloud = cloudflarefake.New(cloudflarefake.Options{})
		options := operatorOptions()
		options.Dial = func(o cloudflare.Options, _ cloudflare.Lane) cloudflare.Account {
			a := cloud.Open("operator")
			a.Revoke(o.Token != known)
			return a
		}
		startOperator(restricted, options, managerOptions())
	})
	readiness := func(ctx context.Context, o client.Object, marks func() v1alpha1.Marks) func() (string, error) {
		return func() (string, error) {
			if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
				return "", err
			}
			if c := marks().Get(v1alpha1.ConditionReady); c != nil {
				return c.Reason, nil
			}
			return "not seen yet", nil
		}
	}

	It("verifies a token, makes what is asked for, and lets the account go last", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cf", Labels: map[string]string{tenant.LabelWatch: "true"}},
			StringData: map[string]string{"token": "cfat_c4nary-mistyped"},
		}
		Expect(cluster.Client.Create(ctx, secret)).To(Succeed())
		a := &v1alpha1.CloudflareAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cf"}}
		a.Spec.AccountID = "0123456789abcdef0123456789abcdef"
		a.Spec.Credentials.SecretRef.Name = "cf"
		Expect(cluster.Client.Create(ctx, a)).To(Succeed())
		eventually(readiness(ctx, a, a.Marks)).Should(Equal(v1alpha1.ReasonTokenInvalid))
		b := &v1alpha1.CloudflareBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kv"}}
		b.Spec.Type, b.Spec.AccountRef.Name, b.Spec.DeletionPolicy = v1alpha1.BindingKV, "cf", v1alpha1.DeletionDelete
		Expect(cluster.Client.Create(ctx, b)).To(Succeed())
		eventually(readiness(ctx, b, b.Marks)).Should(Equal(v1alpha1.ReasonTokenInvalid))

		By("taking up a new token at once, and waking who waited for it")
		secret.StringData = map[string]string{"token": known}
		start := time.Now()
		Expect(cluster.Client.Update(ctx, secret)).To(Succeed())
		eventually(readiness(ctx, a, a.Marks)).Should(Equal(v1alpha1.ReasonReady))
		AddReportEntry("labelled Secret to Ready account", time.Since(start).String())
		eventually(readiness(ctx, b, b.Marks)).Should(Equal(v1alpha1.ReasonReady))
		AddReportEntry("labelled Secret to Ready binding", time.Since(start).String())
		Expect(cloud.Things()).To(HaveLen(1))

		By("making the gateway that Tenants share")
		t := newTenant(ctx, namespace, "acme", func(t *v1alpha1.Tenant) {
			t.Spec.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamWorkersAI, AccountRef: &v1alpha1.AccountReference{Name: "cf"}}
			t.Spec.Models.Chat = "m"
		})
		eventually(func() (string, error) {
			err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(a), a)
			return a.Status.GatewayID, err
		}).ShouldNot(BeEmpty())
		gateway := &v1alpha1.CloudflareBinding{}
		Expect(cluster.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: account.GatewayName("cf")}, gateway)).To(Succeed())
		Expect(a.Status.GatewayID).To(Equal(gateway.Status.ID))

		By("keeping the account while something lies in it")
		Expect(cluster.Client.Delete(ctx, t)).To(Succeed())
		eventually(present(ctx, t)).Should(BeFalse())
		Expect(cluster.Client.Delete(ctx, a)).To(Succeed())
		eventually(readiness(ctx, a, a.Marks)).Should(Equal(v1alpha1.ReasonDeleting))
		eventually(present(ctx, gateway)).Should(BeFalse())
		Expect(cluster.Client.Delete(ctx, b)).To(Succeed())
		eventually(present(ctx, a)).Should(BeFalse())
		Expect(cloud.Things()).To(BeEmpty())
	})
})
