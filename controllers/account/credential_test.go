package account_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
)

var _ = Describe("an account's token", func() {
	var w *world
	BeforeEach(func(ctx SpecContext) { w = newWorld(ctx, cloudflarefake.Options{}) })

	It("is verified, once in ten minutes, and told of", func(ctx SpecContext) {
		w.put(ctx, "cf", good+"\n") // as `kubectl create secret --from-file` leaves it
		a := w.newAccount(ctx, "cf")
		Expect(w.calls(func() { w.pass(ctx, a) })).To(Equal(1))
		Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))
		Expect(condition(a, v1alpha1.ConditionCredentialsReady)).To(Equal("True/TokenVerified"))
		Expect(condition(a, v1alpha1.ConditionPermissionsReady)).To(Equal("True/PermissionsComplete"))
		Expect(condition(a, v1alpha1.ConditionQuotaOK)).To(Equal("True/WithinQuota"))
		Expect(a.Status.TokenID).To(Equal("token-good"))
		Expect(a.Status.VerifiedAt.Time).To(BeTemporally("==", w.clock.Now()))
		Expect(a.Status.ObservedGeneration).To(Equal(a.Generation))
		Expect(a.Finalizers).To(ContainElement(account.Finalizer))
		Expect(w.events.Reasons("cf")).To(Equal([]string{"Ready"}))

		By("costing nothing while nothing changes")
		writes := len(w.gate.Writes())
		w.after(9 * time.Minute)
		Expect(w.calls(func() { w.pass(ctx, a); w.pass(ctx, a) })).To(BeZero())
		Expect(w.gate.Writes()[writes:]).To(BeEmpty())
		w.after(time.Minute)
		Expect(w.calls(func() { w.pass(ctx, a); w.pass(ctx, a) })).To(Equal(1))
		Expect(a.Status.VerifiedAt.Time).To(BeTemporally("==", w.clock.Now()))

		By("opening the account with the budget of its spec")
		opened, err := w.directory.Open(ctx, w.key("cf"))
		Expect(err).NotTo(HaveOccurred())
		Expect(opened.OwnerID).To(Equal("test-cluster"))
		last := w.dialed[len(w.dialed)-1]
		Expect(last).To(Equal(cloudflare.Options{AccountID: accountID, Token: good, Requests: 1200, Window: 5 * time.Minute, ReservePercent: 20, PollPercent: 25}))
	})

	DescribeTable("that isn't there is a person's to bring, and costs no call",
		func(ctx SpecContext, prepare func(context.Context), reason, sentence string) {
			if prepare != nil {
				prepare(ctx)
			}
			a := w.newAccount(ctx, "cf")
			var after time.Duration
			Expect(w.calls(func() { after = w.pass(ctx, a).RequeueAfter })).To(BeZero())
			Expect(after).To(BeNumerically("~", 11*time.Second, time.Second))
			Expect(condition(a, v1alpha1.ConditionReconciling)).To(Equal("True/" + reason))
			Expect(condition(a, v1alpha1.ConditionCredentialsReady)).To(Equal("False/" + reason))
			Expect(message(a, v1alpha1.ConditionReady)).To(ContainSubstring(sentence))
			_, err := w.directory.Open(ctx, w.key("cf"))
			Expect(problem(err)).To(Equal(reason))

			By("healing by itself")
			w.put(ctx, "cf", good)
			w.pass(ctx, a)
			Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))
		},
		Entry("no Secret", nil, v1alpha1.ReasonSecretNotFound, `Secret "cf" doesn't exist in namespace`),
		Entry("white space alone", func(ctx context.Context) { w.put(ctx, "cf", " \n") }, v1alpha1.ReasonSecretKeyMissing, `has no value under key "token"; add it`),
		Entry("no token", func(ctx context.Context) { w.put(ctx, "cf", "two words") }, v1alpha1.ReasonTokenMalformed, "other than visible ASCII characters"),
	)

	It("that Cloudflare refuses is refused to all at once, until the Secret changes", func(ctx SpecContext) {
		w.put(ctx, "cf", "cfat_c4nary-wrong")
		a := w.newAccount(ctx, "cf")
		w.newBinding(ctx, v1alpha1.BindingKV, "waiting", "")
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionStalled)).To(Equal("True/TokenInvalid"))
		Expect(condition(a, v1alpha1.ConditionCredentialsReady)).To(Equal("False/TokenInvalid"))
		Expect(message(a, v1alpha1.ConditionReady)).To(Equal(`spec.credentials.secretRef: Cloudflare refuses the token in Secret "cf": it is unknown, disabled or expired; put one that is active into the Secret`))
		Expect(w.calls(func() {
			for range 100 {
				_, err := w.directory.Open(ctx, w.key("cf"))
				Expect(problem(err)).To(Equal(v1alpha1.ReasonTokenInvalid))
				w.after(5 * time.Second)
				w.pass(ctx, a)
			}
			w.observe(ctx, a)
		})).To(BeZero(), "in 500 seconds")

		By("being right again")
		w.put(ctx, "cf", good)
		Expect(w.calls(func() { w.pass(ctx, a) })).To(Equal(1))
		Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))
		Expect(w.rung()).To(Equal([]string{"waiting"}), "who waited for it")
		Expect(w.events.Reasons("cf")).To(Equal([]string{"TokenInvalid", "Ready", "TokenVerified"}))
	})

	It("that is revoked while it is used is asked about once, not by everyone", func(ctx SpecContext) {
		w.put(ctx, "cf", good)
		a := w.newAccount(ctx, "cf")
		w.pass(ctx, a)
		opened, err := w.directory.Open(ctx, w.key("cf"))
		Expect(err).NotTo(HaveOccurred())
		w.tokens[good].(*cloudflarefake.Account).Revoke(true)
		Expect(w.calls(func() {
			for range 50 {
				_, err := opened.Edit.Get(ctx, cloudflare.KV, "x")
				Expect(err).To(MatchError(cloudflare.ErrUnauthorized))
			}
		})).To(Equal(1), "the first was told, and told the others")
		Expect(w.calls(func() { w.pass(ctx, a); w.pass(ctx, a) })).To(Equal(1))
		Expect(condition(a, v1alpha1.ConditionStalled)).To(Equal("True/TokenInvalid"))

		By("working again without a change of the Secret")
		w.tokens[good].(*cloudflarefake.Account).Revoke(false)
		w.after(account.VerifyEvery)
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))
	})

	It("gives its place to the one before while it isn't known yet", func(ctx SpecContext) {
		w.put(ctx, "cf", "cfat_c4nary-new")
		w.put(ctx, "old", good)
		a := w.newAccount(ctx, "cf", func(a *v1alpha1.CloudflareAccount) {
			a.Spec.Credentials.PreviousSecretRef = &v1alpha1.SecretKeyReference{Name: "old"}
		})
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))
		Expect(message(a, v1alpha1.ConditionCredentialsReady)).To(ContainSubstring("previousSecretRef is used in its place"))
		Expect(a.Status.TokenID).To(Equal("token-good"))
		opened, err := w.directory.Open(ctx, w.key("cf"))
		Expect(err).NotTo(HaveOccurred())
		_, err = opened.Edit.List(ctx, cloudflare.KV)
		Expect(err).NotTo(HaveOccurred())

		By("taking it back when it is")
		w.token("cfat_c4nary-new")
		w.after(account.VerifyEvery)
		w.pass(ctx, a)
		Expect(a.Status.TokenID).To(Equal("token-cfat_c4nary-new"))
		Expect(message(a, v1alpha1.ConditionCredentialsReady)).NotTo(ContainSubstring("previous"))

		By("not serving as an excuse when neither is")
		delete(w.tokens, good)
		delete(w.tokens, "cfat_c4nary-new")
		w.after(account.VerifyEvery)
		Expect(w.calls(func() { w.pass(ctx, a) })).To(Equal(2))
		Expect(condition(a, v1alpha1.ConditionStalled)).To(Equal("True/TokenInvalid"))
		_, err = w.directory.Open(ctx, w.key("cf"))
		Expect(problem(err)).To(Equal(v1alpha1.ReasonTokenInvalid))
	})

	It("that expires says so, and when", func(ctx SpecContext) {
		w.put(ctx, "cf", good)
		end := w.clock.Now().Add(time.Hour)
		w.tokens[good].(*cloudflarefake.Account).Expire(end)
		a := w.newAccount(ctx, "cf")
		w.pass(ctx, a)
		Expect(a.Status.TokenExpiresAt.Time).To(BeTemporally("==", end))
		for range 3 { // the reason stays the same though Cloudflare tells less
			w.after(time.Hour)
			w.pass(ctx, a)
			Expect(condition(a, v1alpha1.ConditionStalled)).To(Equal("True/TokenExpired"))
			Expect(message(a, v1alpha1.ConditionReady)).To(ContainSubstring("expired at " + end.UTC().Format(time.RFC3339)))
		}
	})

	It("of another account is tried once in ten minutes, though Cloudflare calls it active", func(ctx SpecContext) {
		w.put(ctx, "cf", good)
		w.cloud.OnCall(func(c cloudflarefake.Call) *cloudflarefake.Fault {
			if c.Verb == cloudflarefake.Verify {
				return nil
			}
			return &cloudflarefake.Fault{Err: cloudflare.ErrWrongAccount}
		})
		a := w.newAccount(ctx, "cf")
		w.newBinding(ctx, v1alpha1.BindingKV, "waiting", "x")
		calls := w.calls(func() {
			for range 120 { // half an hour
				w.pass(ctx, a)
				w.observe(ctx, a)
				if opened, err := w.directory.Open(ctx, w.key("cf")); err == nil {
					_, _ = opened.Edit.Get(ctx, cloudflare.KV, "x")
				}
				w.after(15 * time.Second)
			}
		})
		Expect(calls).To(BeNumerically("<=", 12), "verified, refused and verified again, four times")
		Expect(condition(a, v1alpha1.ConditionStalled)).To(Equal("True/WrongAccount"))
		Expect(message(a, v1alpha1.ConditionReady)).To(ContainSubstring("there is no account " + accountID))
	})

	It("that Cloudflare calls active and refuses all the same doesn't make a storm", func(ctx SpecContext) {
		w.put(ctx, "cf", good)
		refused := true
		w.cloud.OnCall(func(c cloudflarefake.Call) *cloudflarefake.Fault {
			if c.Verb == cloudflarefake.Verify || !refused {
				return nil
			}
			return &cloudflarefake.Fault{Err: cloudflare.ErrUnauthorized}
		})
		a := w.newAccount(ctx, "cf")
		try := func() error {
			w.pass(ctx, a)
			opened, err := w.directory.Open(ctx, w.key("cf"))
			if err != nil {
				return err
			}
			_, err = opened.Edit.List(ctx, cloudflare.KV)
			return err
		}
		Expect(w.calls(func() {
			for range 100 {
				Expect(try()).NotTo(Succeed())
				w.after(5 * time.Second)
			}
		})).To(BeNumerically("<=", 6), "in 500 seconds")
		Expect(condition(a, v1alpha1.ConditionStalled)).To(Equal("True/TokenInvalid"))
		refused = false
		w.after(account.VerifyEvery)
		Expect(try()).To(Succeed())
	})

	DescribeTable("that nobody answers for stays as it was",
		func(ctx SpecContext, meaning error, reason string) {
			w.put(ctx, "cf", good)
			a := w.newAccount(ctx, "cf")
			failing := &cloudflarefake.Fault{Err: meaning}
			w.cloud.OnCall(func(cloudflarefake.Call) *cloudflarefake.Fault { return failing })
			w.pass(ctx, a)
			Expect(condition(a, v1alpha1.ConditionReconciling)).To(Equal("True/" + reason))
			Expect(condition(a, v1alpha1.ConditionCredentialsReady)).To(Equal("Unknown/" + reason))
			failing = nil
			w.pass(ctx, a)
			Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))
			failing = &cloudflarefake.Fault{Err: meaning}
			w.after(account.VerifyEvery)
			Expect(w.pass(ctx, a).RequeueAfter).To(BeNumerically(">=", time.Minute))
			Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))
		},
		Entry("Cloudflare is away", cloudflare.ErrUnavailable, v1alpha1.ReasonCloudflareUnavailable),
		Entry("the answer is lost", cloudflare.ErrUncertain, v1alpha1.ReasonCloudflareUnavailable),
		Entry("the budget is used up", cloudflare.ErrRateLimited, v1alpha1.ReasonRateLimited),
	)

	It("of a paused account is left alone, and a dry run changes nothing", func(ctx SpecContext) {
		w.put(ctx, "cf", good)
		a := w.newAccount(ctx, "cf", func(a *v1alpha1.CloudflareAccount) { a.Spec.Actuation = v1alpha1.ActuationPaused })
		w.newBinding(ctx, v1alpha1.BindingKV, "b", "x")
		Expect(w.calls(func() {
			w.pass(ctx, a)
			w.observe(ctx, a)
			opened, err := w.directory.Open(ctx, w.key("cf"))
			Expect(err).NotTo(HaveOccurred())
			_, err = opened.Edit.Get(ctx, cloudflare.KV, "x")
			Expect(err).To(MatchError(account.ErrPaused))
			_, err = opened.Edit.Do(ctx, cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.KV, ID: "x"})
			Expect(err).To(MatchError(account.ErrPaused))
		})).To(BeZero())
		Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("False/Paused"))
		Expect(condition(a, v1alpha1.ConditionStalled) + condition(a, v1alpha1.ConditionReconciling)).To(BeEmpty())

		a.Spec.Actuation = v1alpha1.ActuationDryRun
		Expect(cluster.Client.Update(ctx, a)).To(Succeed())
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionReady)).To(Equal("True/Ready"))
		Expect(message(a, v1alpha1.ConditionReady)).To(ContainSubstring("DryRun"))
		opened, err := w.directory.Open(ctx, w.key("cf"))
		Expect(err).NotTo(HaveOccurred())
		_, err = opened.Edit.List(ctx, cloudflare.KV)
		Expect(err).NotTo(HaveOccurred())
		_, err = opened.Edit.Do(ctx, cloudflare.Step{Verb: cloudflare.Create, Kind: cloudflare.KV, Name: "x"})
		Expect(err).To(MatchError(account.ErrDryRun))
		Expect(w.cloud.Things()).To(BeEmpty())
	})

	It("is in no status, event or error", func(ctx SpecContext) {
		w.put(ctx, "cf", good)
		a := w.newAccount(ctx, "cf")
		w.pass(ctx, a)
		w.tokens[good].(*cloudflarefake.Account).Revoke(true)
		opened, err := w.directory.Open(ctx, w.key("cf"))
		Expect(err).NotTo(HaveOccurred())
		_, failed := opened.Poll.List(ctx, cloudflare.APIToken)
		w.pass(ctx, a)
		_, refused := w.directory.Open(ctx, w.key("cf"))
		status, err := json.Marshal(a)
		Expect(err).NotTo(HaveOccurred())
		all := fmt.Sprintf("%s %v %v %v %+v %#v", status, w.events.All(), failed, refused, w.dialed, w.dialed)
		Expect(all).To(ContainSubstring("TokenInvalid"))
		Expect(all).NotTo(ContainSubstring("c4nary"))
	})

	It("is read live, once for all who ask within a moment", func(ctx SpecContext) {
		w.put(ctx, "cf", good)
		w.newAccount(ctx, "cf")
		reads := 0
		w.directory.Live = interceptor.NewClient(cluster.Client, interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				reads++
				return c.Get(ctx, key, o, opts...)
			},
		})
		used := func() cloudflare.Secret {
			GinkgoHelper()
			_, err := w.directory.Open(ctx, w.key("cf"))
			Expect(err).NotTo(HaveOccurred())
			return w.dialed[len(w.dialed)-1].Token
		}
		for range 100 {
			Expect(string(used())).To(Equal(good))
		}
		Expect(reads).To(Equal(1))
		w.token("cfat_c4nary-next")
		w.put(ctx, "cf", "cfat_c4nary-next")
		w.after(3 * time.Second)
		Expect(string(used())).To(Equal("cfat_c4nary-next"))
		Expect(reads).To(Equal(2))

		By("not after it was refused")
		w.put(ctx, "cf", good)
		delete(w.tokens, "cfat_c4nary-next")
		opened, err := w.directory.Open(ctx, w.key("cf"))
		Expect(err).NotTo(HaveOccurred())
		_, err = opened.Edit.List(ctx, cloudflare.KV)
		Expect(err).To(MatchError(cloudflare.ErrUnauthorized))
		Expect(string(used())).To(Equal(good))
	})

	It("isn't opened for an account that there is not", func(ctx SpecContext) {
		_, err := w.directory.Open(ctx, w.key("nobody"))
		Expect(problem(err)).To(Equal(v1alpha1.ReasonAccountNotFound))
		w.directory.Namespaces = []string{"elsewhere"}
		w.newAccount(ctx, "cf")
		_, err = w.directory.Open(ctx, w.key("cf"))
		Expect(problem(err)).To(Equal(v1alpha1.ReasonAccountNotFound))
		Expect(err).To(MatchError(ContainSubstring("doesn't watch namespace")))
	})
})
