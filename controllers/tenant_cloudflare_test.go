package controllers_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

// everythingOf an account: each thing the Tenant's own, and gone with it.
func everythingOf(account string) testenv.Option {
	return func(t *v1alpha1.Tenant) {
		testenv.Ephemeral(t)
		t.Spec.DeletionPolicy = v1alpha1.DeletionDelete
		t.Spec.Upstream = v1alpha1.Upstream{
			Type: v1alpha1.UpstreamWorkersAI, AccountRef: &v1alpha1.AccountReference{Name: account},
			Gateway: &v1alpha1.GatewaySettings{Mode: v1alpha1.GatewayDedicated},
		}
		t.Spec.Models.Chat = "@cf/meta/llama-3.1-8b-instruct-fast"
		t.Spec.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsVectorize, Vectorize: &v1alpha1.VectorizeUse{
			Index: &v1alpha1.VectorizeSettings{Dimensions: 8, MetadataIndexes: []v1alpha1.MetadataIndex{{Property: "lang"}}},
		}}
		t.Spec.Cloudflare = &v1alpha1.CloudflareUse{UsageLedger: &v1alpha1.BindingUse{}, ConfigExport: &v1alpha1.BindingUse{}, Originals: &v1alpha1.BindingUse{}}
	}
}

var _ = Describe("a Tenant that uses all of an account, with the operator's own rights alone", Ordered, func() {
	var cloud *cloudflarefake.World

	BeforeAll(func() {
		cloud = cloudflarefake.New(cloudflarefake.Options{})
		options := operatorOptions()
		options.Dial = func(cloudflare.Options, cloudflare.Lane) cloudflare.Account { return cloud.Open("operator") }
		startOperator(restricted, options, managerOptions())
	})

	It("becomes Ready with things of its own, and leaves nothing behind, its token first", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cf"}, StringData: map[string]string{"token": "cfat_c4nary-of-the-account"}}
		Expect(cluster.Client.Create(ctx, secret)).To(Succeed())
		a := &v1alpha1.CloudflareAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cf"}}
		a.Spec.AccountID, a.Spec.Credentials.SecretRef.Name = "0123456789abcdef0123456789abcdef", "cf"
		Expect(cluster.Client.Create(ctx, a)).To(Succeed())
		t := newTenant(ctx, namespace, "acme", everythingOf("cf"))
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))

		things := map[cloudflare.Kind]cloudflare.Thing{}
		for _, thing := range cloud.Things() {
			things[thing.Kind] = thing
		}
		Expect(cloud.Things()).To(HaveLen(6))
		Expect(things).To(HaveLen(6), "one of each kind")
		c := served(ctx, namespace)
		Expect(c.Upstream.Gateway.ID).To(Equal(things[cloudflare.AIGateway].ID))
		Expect(c.Documents.Vectorize.Index).To(Equal(things[cloudflare.Vectorize].ID))
		Expect(things[cloudflare.Vectorize].Settings.MetadataIndexes).To(HaveKey("lang"))
		Expect([]string{c.Cloudflare.UsageLedger, c.Cloudflare.ConfigExport, c.Cloudflare.Originals, c.Cloudflare.TokenID}).To(Equal(
			[]string{things[cloudflare.D1].ID, things[cloudflare.KV].ID, things[cloudflare.R2].ID, things[cloudflare.APIToken].ID}))

		By("calling with a token that may do this and no more")
		Expect(things[cloudflare.APIToken].Settings.Policies).To(ConsistOf(
			cloudflare.Policy{Permissions: []string{"AI Gateway Run", "D1 Write", "Vectorize Read", "Vectorize Write", "Workers AI Read", "Workers KV Storage Write"}},
			cloudflare.Policy{Permissions: []string{"Workers R2 Storage Bucket Item Write"}, Bucket: things[cloudflare.R2].ID, Jurisdiction: "default"},
		))
		mounted := configOf(ctx, namespace)
		Expect(cloud.Valid(cloudflare.Secret(mounted.Data[tenantconfig.CloudflareTokenFile]))).To(BeTrue())

		By("taking up another token, and revoking the one before, without a restart")
		b := &v1alpha1.CloudflareBinding{}
		Expect(cluster.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "tenant-acme-token"}, b)).To(Succeed())
		b.Spec.APIToken.Revision = 2
		Expect(cluster.Client.Update(ctx, b)).To(Succeed())
		eventually(func() string { return served(ctx, namespace).Cloudflare.TokenID }).ShouldNot(Equal(c.Cloudflare.TokenID))
		Expect(tenantconfig.NeedsRestart(c, served(ctx, namespace))).To(BeFalse())
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
		mounted = configOf(ctx, namespace)
		Expect(cloud.Valid(cloudflare.Secret(mounted.Data[tenantconfig.CloudflareTokenFile]))).To(BeTrue())

		By("going")
		Expect(cluster.Client.Delete(ctx, t)).To(Succeed())
		eventually(cloud.Things).Should(BeEmpty())
		eventually(present(ctx, t)).Should(BeFalse())
		var deleted []cloudflare.Kind
		for _, op := range cloud.Log() {
			if op.Verb == cloudflare.Delete && op.Err == nil {
				deleted = append(deleted, op.Kind)
			}
		}
		Expect(deleted).To(HaveLen(7), "with the token that was replaced")
		Expect(deleted[:2]).To(Equal([]cloudflare.Kind{cloudflare.APIToken, cloudflare.APIToken}))
		Expect(cluster.Client.Delete(ctx, a)).To(Succeed())
		eventually(present(ctx, a)).Should(BeFalse())
	})
})

func configOf(ctx context.Context, namespace string) *corev1.Secret {
	GinkgoHelper()
	s := &corev1.Secret{}
	Expect(cluster.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "tenant-acme-config"}, s)).To(Succeed())
	return s
}

// served is the document of the Tenant acme.
func served(ctx context.Context, namespace string) *tenantconfig.Config {
	GinkgoHelper()
	c, err := tenantconfig.Parse(configOf(ctx, namespace).Data[tenantconfig.DocumentFile])
	Expect(err).NotTo(HaveOccurred())
	return c
}
