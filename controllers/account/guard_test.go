package account_test

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
)

// telling is an account whose token may read what it may do.
type telling struct {
	cloudflare.Account
	permissions []string
}

func (t *telling) Token(ctx context.Context) (cloudflare.Token, error) {
	token, err := t.Account.Token(ctx)
	token.Permissions = t.permissions
	return token, err
}

var _ = Describe("what an account refuses", func() {
	var w *world
	var a *v1alpha1.CloudflareAccount
	var opened account.Opened
	open := func(ctx context.Context) {
		GinkgoHelper()
		w.pass(ctx, a)
		var err error
		opened, err = w.directory.Open(ctx, w.key("cf"))
		Expect(err).NotTo(HaveOccurred())
	}
	start := func(ctx context.Context, options cloudflarefake.Options) {
		GinkgoHelper()
		w = newWorld(ctx, options)
		w.put(ctx, "cf", good)
		a = w.newAccount(ctx, "cf")
		open(ctx)
	}
	create := func(ctx context.Context, kind cloudflare.Kind, name string) error {
		_, err := opened.Edit.Do(ctx, cloudflare.Step{Verb: cloudflare.Create, Kind: kind, Name: name,
			Settings: cloudflare.Settings{Dimensions: 3, Metric: "cosine"}})
		return err
	}

	It("for want of a permission is named, and asked for once in five minutes by all together", func(ctx SpecContext) {
		start(ctx, cloudflarefake.Options{})
		w.tokens[good].(*cloudflarefake.Account).Lack("Vectorize Write", "D1 Read", "D1 Write")
		w.newBinding(ctx, v1alpha1.BindingVectorize, "v", "")
		Expect(w.calls(func() {
			for i := range 400 {
				err := create(ctx, cloudflare.Vectorize, fmt.Sprint("index-", i))
				Expect(err).To(MatchError(cloudflare.ErrForbidden))
				var failed *cloudflare.Error
				Expect(err).To(BeAssignableToTypeOf(failed))
			}
		})).To(Equal(1))
		_, err := opened.Poll.List(ctx, cloudflare.D1)
		Expect(err).To(MatchError(cloudflare.ErrForbidden))
		Expect(create(ctx, cloudflare.KV, "other")).To(Succeed(), "other kinds aren't held back")
		_, err = opened.Poll.List(ctx, cloudflare.Vectorize)
		Expect(err).NotTo(HaveOccurred(), "nor is reading")

		w.pass(ctx, a)
		Expect(a.Status.MissingPermissions).To(Equal([]string{"D1 Write", "Vectorize Write"}))
		Expect(condition(a, v1alpha1.ConditionPermissionsReady)).To(Equal("False/PermissionMissing"))
		Expect(message(a, v1alpha1.ConditionPermissionsReady)).To(ContainSubstring("the token lacks D1 Write, Vectorize Write; add it"))
		Expect(condition(a, v1alpha1.ConditionStalled)).To(Equal("True/PermissionMissing"))
		Expect(w.events.Reasons("cf")).To(Equal([]string{"Ready", "PermissionMissing"}))

		By("being noticed when it is given")
		w.tokens[good].(*cloudflarefake.Account).Lack()
		Expect(create(ctx, cloudflare.Vectorize, "index-1")).NotTo(Succeed(), "not asked yet")
		w.after(account.HoldFor)
		Expect(create(ctx, cloudflare.Vectorize, "index-1")).To(Succeed())
		Expect(create(ctx, cloudflare.Vectorize, "index-2")).To(Succeed())
		_, err = opened.Poll.List(ctx, cloudflare.D1)
		Expect(err).NotTo(HaveOccurred())
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))
		Expect(a.Status.MissingPermissions).To(BeEmpty())
		Expect(w.rung()).To(Equal([]string{"v"}))
	})

	It("one call alone tries, and a failure of another kind leaves it to the next", func(ctx SpecContext) {
		start(ctx, cloudflarefake.Options{})
		w.tokens[good].(*cloudflarefake.Account).Lack("Workers KV Storage Write")
		Expect(create(ctx, cloudflare.KV, "a")).To(MatchError(cloudflare.ErrForbidden))
		w.after(account.HoldFor)
		w.cloud.OnCall(func(cloudflarefake.Call) *cloudflarefake.Fault {
			w.cloud.OnCall(nil)
			Expect(create(ctx, cloudflare.KV, "b")).To(MatchError(cloudflare.ErrForbidden), "while the first is on its way")
			return &cloudflarefake.Fault{Err: cloudflare.ErrUnavailable}
		})
		Expect(create(ctx, cloudflare.KV, "a")).To(MatchError(cloudflare.ErrUnavailable))
		Expect(w.calls(func() {
			Expect(create(ctx, cloudflare.KV, "c")).To(MatchError(cloudflare.ErrForbidden))
			Expect(create(ctx, cloudflare.KV, "d")).To(MatchError(cloudflare.ErrForbidden))
		})).To(Equal(1))
	})

	It("is asked again at once when a person changes the account or its token", func(ctx SpecContext) {
		start(ctx, cloudflarefake.Options{})
		w.tokens[good].(*cloudflarefake.Account).Lack("Workers KV Storage Write")
		Expect(create(ctx, cloudflare.KV, "a")).To(MatchError(cloudflare.ErrForbidden))
		w.pass(ctx, a)
		w.token("cfat_c4nary-better")
		w.put(ctx, "cf", "cfat_c4nary-better")
		open(ctx)
		Expect(create(ctx, cloudflare.KV, "a")).To(Succeed())
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))

		w.tokens["cfat_c4nary-better"].(*cloudflarefake.Account).Lack("Workers KV Storage Write")
		Expect(create(ctx, cloudflare.KV, "b")).To(MatchError(cloudflare.ErrForbidden))
		w.tokens["cfat_c4nary-better"].(*cloudflarefake.Account).Lack()
		a.Spec.APIBudget.Requests = 600
		Expect(cluster.Client.Update(ctx, a)).To(Succeed())
		open(ctx)
		Expect(create(ctx, cloudflare.KV, "b")).To(Succeed())
	})

	It("is known beforehand where the token may read what it may do", func(ctx SpecContext) {
		w = newWorld(ctx, cloudflarefake.Options{})
		w.put(ctx, "cf", good)
		w.tokens[good] = &telling{w.cloud.Open("good"), []string{"Vectorize Read", "Account API Tokens Write", "AI Gateway Run", "Workers AI Write"}}
		a = w.newAccount(ctx, "cf", func(a *v1alpha1.CloudflareAccount) { a.Spec.TenantTokens = v1alpha1.TokensShare })
		w.newBinding(ctx, v1alpha1.BindingVectorize, "v", "")
		w.newBinding(ctx, v1alpha1.BindingAPIToken, "t", "")
		w.newTenant(ctx, "acme")
		Expect(w.calls(func() { w.pass(ctx, a) })).To(Equal(1))
		Expect(a.Status.MissingPermissions).To(Equal([]string{"Vectorize Write"}), "Workers AI Write reads, too")
		Expect(condition(a, v1alpha1.ConditionPermissionsReady)).To(Equal("False/PermissionMissing"))
	})

	It("for want of room is told with its numbers, and asked for again when there is some", func(ctx SpecContext) {
		start(ctx, cloudflarefake.Options{Quotas: map[cloudflare.Kind]int{cloudflare.AIGateway: 2}})
		for i := range 2 {
			name := fmt.Sprint("gateway-", i)
			Expect(create(ctx, cloudflare.AIGateway, name)).To(Succeed())
			w.newBinding(ctx, v1alpha1.BindingAIGateway, name, name)
		}
		w.newBinding(ctx, v1alpha1.BindingAIGateway, "waiting", "")
		w.observe(ctx, a)
		Expect(w.calls(func() {
			for i := range 100 {
				Expect(create(ctx, cloudflare.AIGateway, fmt.Sprint("more-", i))).To(MatchError(cloudflare.ErrQuota))
			}
		})).To(Equal(1))
		_, err := opened.Edit.Do(ctx, cloudflare.Step{Verb: cloudflare.Update, Kind: cloudflare.AIGateway, ID: "gateway-0",
			Settings: cloudflare.Settings{Gateway: &cloudflare.Gateway{Authentication: true}}})
		Expect(err).NotTo(HaveOccurred(), "what is there can be changed")

		w.pass(ctx, a)
		Expect(a.Status.Quotas).To(Equal([]v1alpha1.AccountQuota{{Type: v1alpha1.BindingAIGateway, Used: 2, Limit: new(int32(2))}}))
		Expect(condition(a, v1alpha1.ConditionQuotaOK)).To(Equal("False/QuotaExceeded"))
		Expect(message(a, v1alpha1.ConditionQuotaOK)).To(ContainSubstring("no more things of type AIGateway"))
		Expect(message(a, v1alpha1.ConditionQuotaOK)).To(ContainSubstring("gateway.mode: Shared"))
		Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("False/QuotaExceeded"))

		w.rung()
		_, err = opened.Edit.Do(ctx, cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.AIGateway, ID: "gateway-1"})
		Expect(err).NotTo(HaveOccurred())
		w.pass(ctx, a)
		Expect(w.rung()).To(ContainElement("waiting"))
		Expect(create(ctx, cloudflare.AIGateway, "more-1")).To(Succeed())
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionQuotaOK)).To(Equal("True/WithinQuota"))
	})

	It("an index's own limit of metadata indexes holds nobody else back", func(ctx SpecContext) {
		start(ctx, cloudflarefake.Options{})
		Expect(create(ctx, cloudflare.Vectorize, "index-1")).To(Succeed())
		var err error
		for i := 0; err == nil && i < 20; i++ {
			_, err = opened.Edit.Do(ctx, cloudflare.Step{Verb: cloudflare.CreateIndex, Kind: cloudflare.Vectorize, ID: "index-1", Property: fmt.Sprint("p", i), Type: "string"})
		}
		Expect(err).To(MatchError(cloudflare.ErrQuota))
		Expect(create(ctx, cloudflare.Vectorize, "index-2")).To(Succeed())
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionQuotaOK)).To(Equal("True/WithinQuota"))
	})
})
