package account_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

var _ = Describe("API tokens that carry our mark and that no binding knows", func() {
	var w *world
	var a *v1alpha1.CloudflareAccount
	ours, theirs := cloudflare.Mark(testenv.OwnerID), cloudflare.Mark("another-cluster")
	plant := func(name string) string {
		return w.cloud.Plant(cloudflare.Thing{Kind: cloudflare.APIToken, Name: name})
	}
	tokens := func() []string {
		var out []string
		for _, t := range w.cloud.Things() {
			out = append(out, t.Name)
		}
		return out
	}
	// sweep observes and reconciles until nothing moves.
	sweep := func(ctx context.Context) {
		GinkgoHelper()
		for range 6 {
			w.observe(ctx, a)
			w.pass(ctx, a)
			w.after(10 * time.Minute)
		}
	}
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx, cloudflarefake.Options{})
		w.put(ctx, "cf", good)
		a = w.newAccount(ctx, "cf")
	})

	It("are deleted one by one once they are old; all others are left", func(ctx SpecContext) {
		w.newBinding(ctx, v1alpha1.BindingAPIToken, "known", plant(ours+"known"), func(b *v1alpha1.CloudflareBinding) {
			b.Status.Old = []v1alpha1.OldThing{{ID: plant(ours + "overlapping"), RemoveAfter: metav1.NewTime(w.clock.Now())}}
		})
		w.newBinding(ctx, v1alpha1.BindingAPIToken, "making", "", func(b *v1alpha1.CloudflareBinding) {
			b.Status.Create = &v1alpha1.PendingCreate{Nonce: "n", Name: ours + "pending", At: metav1.NewTime(w.clock.Now())}
		})
		plant(ours + "pending")
		elsewhere := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}}
		Expect(cluster.Client.Create(ctx, elsewhere)).To(Succeed())
		w.newBinding(ctx, v1alpha1.BindingAPIToken, "far", plant(ours+"of-another-account-object"), func(b *v1alpha1.CloudflareBinding) {
			b.Namespace = elsewhere.Name
		})
		plant(theirs + "token")
		plant("dashboard token")
		plant(ours + "stray-1")
		plant(ours + "stray-2")
		left := []string{ours + "known", ours + "overlapping", ours + "pending", ours + "of-another-account-object", theirs + "token", "dashboard token"}

		w.observe(ctx, a)
		w.after(account.StrayGrace - time.Second)
		w.pass(ctx, a)
		Expect(tokens()).To(HaveLen(8), "too young")
		w.after(time.Second)
		w.pass(ctx, a)
		Expect(tokens()).To(HaveLen(7), "one a pass")
		w.pass(ctx, a)
		Expect(tokens()).To(ConsistOf(left))
		sweep(ctx)
		Expect(tokens()).To(ConsistOf(left))
		Expect(w.events.Reasons("cf")).To(ContainElements("StrayTokenDeleted"))
	})

	It("are left where their name has changed since, or they are gone already", func(ctx SpecContext) {
		w.newBinding(ctx, v1alpha1.BindingAPIToken, "t", "x")
		id := plant(ours + "stray")
		w.observe(ctx, a)
		w.after(account.StrayGrace)
		w.cloud.Vanish(cloudflare.APIToken, id)
		w.cloud.Plant(cloudflare.Thing{Kind: cloudflare.APIToken, ID: id, Name: "taken up"})
		w.pass(ctx, a)
		Expect(tokens()).To(Equal([]string{"taken up"}))
		w.cloud.Vanish(cloudflare.APIToken, id)
		w.pass(ctx, a)
		Expect(w.events.Reasons("cf")).NotTo(ContainElement("StrayTokenDeleted"))
	})

	It("are left where the operator itself calls with one", func(ctx SpecContext) {
		w.newBinding(ctx, v1alpha1.BindingAPIToken, "t", "x")
		w.pass(ctx, a)
		w.cloud.Plant(cloudflare.Thing{Kind: cloudflare.APIToken, ID: a.Status.TokenID, Name: ours + "operator"})
		sweep(ctx)
		Expect(tokens()).To(Equal([]string{ours + "operator"}))
	})

	DescribeTable("are left alone by who can't know or mayn't act",
		func(ctx SpecContext, prepare func(context.Context)) {
			w.newBinding(ctx, v1alpha1.BindingAPIToken, "t", "x")
			plant(ours + "stray")
			prepare(ctx)
			sweep(ctx)
			Expect(tokens()).To(Equal([]string{ours + "stray"}))
		},
		Entry("an operator of some namespaces", func(context.Context) { w.reconciler.Namespaces = []string{w.namespace} }),
		Entry("a dry run", func(ctx context.Context) {
			a.Spec.Actuation = v1alpha1.ActuationDryRun
			Expect(cluster.Client.Update(ctx, a)).To(Succeed())
		}),
		Entry("an account with another mark", func(ctx context.Context) {
			Expect(cluster.Client.Delete(ctx, a)).To(Succeed())
			w.pass(ctx, a)
			a = w.newAccount(ctx, "marked", func(a *v1alpha1.CloudflareAccount) { a.Spec.OwnerID = "mine" })
			w.newBinding(ctx, v1alpha1.BindingAPIToken, "t2", "y", func(b *v1alpha1.CloudflareBinding) { b.Spec.AccountRef.Name = "marked" })
		}),
	)

	It("are tried again where they can't be deleted", func(ctx SpecContext) {
		w.newBinding(ctx, v1alpha1.BindingAPIToken, "t", "x")
		plant(ours + "stray")
		w.observe(ctx, a)
		w.after(account.StrayGrace)
		w.cloud.OnCall(func(c cloudflarefake.Call) *cloudflarefake.Fault {
			if c.Verb != cloudflare.Delete {
				return nil
			}
			w.cloud.OnCall(nil)
			return &cloudflarefake.Fault{Err: cloudflare.ErrUnavailable}
		})
		Expect(w.pass(ctx, a).RequeueAfter).To(BeNumerically("~", time.Minute, 15*time.Second))
		Expect(tokens()).To(HaveLen(1))
		w.pass(ctx, a)
		Expect(tokens()).To(BeEmpty())
	})
})
