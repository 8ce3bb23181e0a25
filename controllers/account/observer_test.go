package account_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

var _ = Describe("the observation of an account", func() {
	var w *world
	var a *v1alpha1.CloudflareAccount
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx, cloudflarefake.Options{})
		w.put(ctx, "cf", good)
		a = w.newAccount(ctx, "cf")
		w.pass(ctx, a)
	})
	plant := func(kind cloudflare.Kind, name string) string {
		return w.cloud.Plant(cloudflare.Thing{Kind: kind, Name: name})
	}

	It("is one LIST a kind in use every ten minutes, however many bindings there are", func(ctx SpecContext) {
		Expect(w.calls(func() { w.observe(ctx, a) })).To(BeZero(), "nothing is in use")
		for i := range 20 {
			w.newBinding(ctx, v1alpha1.BindingKV, fmt.Sprint("kv-", i), plant(cloudflare.KV, fmt.Sprint("kv-", i)))
		}
		w.newBinding(ctx, v1alpha1.BindingVectorize, "v", plant(cloudflare.Vectorize, "index-v"))
		Expect(w.calls(func() { w.observe(ctx, a) })).To(Equal(2), "at once for a new kind")
		total := w.calls(func() {
			for end := w.clock.Now().Add(time.Hour); w.clock.Now().Before(end); {
				w.after(w.observe(ctx, a).RequeueAfter)
			}
		})
		Expect(total).To(And(BeNumerically(">=", 2*5), BeNumerically("<=", 2*7)), "an hour")
		Expect(w.rung()).To(BeEmpty(), "nothing differs")
		w.pass(ctx, a)
		Expect(a.Status.Quotas).To(Equal([]v1alpha1.AccountQuota{
			{Type: v1alpha1.BindingVectorize, Used: 1}, {Type: v1alpha1.BindingKV, Used: 20, Limit: new(int32(1000))},
		}))
		Expect(a.Status.Owned.Total).To(BeEquivalentTo(21))
		Expect(a.Status.ObservedAt).NotTo(BeNil())
	})

	It("is never older than ten minutes and what the LIST takes", func(ctx SpecContext) {
		w.newBinding(ctx, v1alpha1.BindingKV, "b", plant(cloudflare.KV, "x"))
		for range 50 {
			next := w.observe(ctx, a)
			seen, ok := w.directory.Observed(w.key("cf"), cloudflare.KV)
			Expect(ok).To(BeTrue())
			Expect(w.clock.Now().Add(next.RequeueAfter).Sub(seen.Begun)).To(BeNumerically("<=", account.ObserveEvery))
			Expect(next.RequeueAfter).To(BeNumerically(">", 0))
			w.after(next.RequeueAfter)
		}
	})

	It("wakes the bindings whose thing is gone or differs, and no others", func(ctx SpecContext) {
		w.newBinding(ctx, v1alpha1.BindingKV, "same", plant(cloudflare.KV, "same"))
		w.newBinding(ctx, v1alpha1.BindingKV, "changed", plant(cloudflare.KV, "changed"))
		gone := plant(cloudflare.KV, "gone")
		w.newBinding(ctx, v1alpha1.BindingKV, "gone", gone)
		w.newBinding(ctx, v1alpha1.BindingKV, "unmade", "")
		w.newBinding(ctx, v1alpha1.BindingD1, "other-kind", plant(cloudflare.D1, "db"))
		w.observe(ctx, a)
		Expect(w.rung()).To(BeEmpty())
		w.cloud.Vanish(cloudflare.KV, gone)
		seen, _ := w.directory.Observed(w.key("cf"), cloudflare.KV)
		for id, t := range seen.Things {
			w.differs[id] = t.Name == "changed"
		}
		w.after(10 * time.Minute)
		w.observe(ctx, a)
		Expect(w.rung()).To(Equal([]string{"changed", "gone"}))
	})

	It("keeps what may be ours alone, and forgets what another token was shown", func(ctx SpecContext) {
		for i := range 500 {
			plant(cloudflare.KV, fmt.Sprint("somebody's-", i))
		}
		marked := plant(cloudflare.KV, cloudflare.Mark(testenv.OwnerID)+"x")
		named := plant(cloudflare.KV, "adopted")
		w.newBinding(ctx, v1alpha1.BindingKV, "b", named)
		begun := w.clock.Now()
		w.observe(ctx, a)
		seen, ok := w.directory.Observed(w.key("cf"), cloudflare.KV)
		Expect(ok).To(BeTrue())
		Expect(names(seen.Things)).To(ConsistOf(marked, named))
		Expect(seen.Begun).To(BeTemporally("==", begun))
		w.pass(ctx, a)
		Expect(a.Status.Quotas[0].Used).To(BeEquivalentTo(502), "whoever made them")
		_, ok = w.directory.Observed(w.key("cf"), cloudflare.D1)
		Expect(ok).To(BeFalse())

		w.token("cfat_c4nary-next")
		w.put(ctx, "cf", "cfat_c4nary-next")
		w.pass(ctx, a)
		_, ok = w.directory.Observed(w.key("cf"), cloudflare.KV)
		Expect(ok).To(BeFalse())
	})

	It("is kept while Cloudflare doesn't answer, and made again after what it asks for", func(ctx SpecContext) {
		w.newBinding(ctx, v1alpha1.BindingKV, "b", plant(cloudflare.KV, "x"))
		w.observe(ctx, a)
		failing := &cloudflarefake.Fault{Err: &cloudflare.Error{Op: "list", Meaning: cloudflare.ErrRateLimited, After: 4 * time.Minute}}
		w.cloud.OnCall(func(cloudflarefake.Call) *cloudflarefake.Fault { return failing })
		w.after(10 * time.Minute)
		var next time.Duration
		Expect(w.calls(func() { next = w.observe(ctx, a).RequeueAfter })).To(Equal(1))
		Expect(next).To(BeNumerically(">=", 4*time.Minute))
		_, ok := w.directory.Observed(w.key("cf"), cloudflare.KV)
		Expect(ok).To(BeTrue())
		Expect(w.rung()).To(BeEmpty(), "nobody takes a LIST that failed for an empty one")

		failing = &cloudflarefake.Fault{Err: cloudflare.ErrForbidden}
		w.after(next)
		w.observe(ctx, a)
		w.pass(ctx, a)
		Expect(condition(a, v1alpha1.ConditionPermissionsReady)).To(Equal("False/PermissionMissing"))
		Expect(w.calls(func() {
			for range 20 {
				w.observe(ctx, a)
			}
		})).To(BeZero())
	})
})

func TestObserverKeepsMemoryBounded(t *testing.T) {
	var bindings []v1alpha1.CloudflareBinding
	var things []cloudflare.Thing
	for i := range 10_000 {
		things = append(things, cloudflare.Thing{Kind: cloudflare.R2, ID: fmt.Sprint("bucket-", i), Name: fmt.Sprint("bucket-", i)})
	}
	for i := range 3 {
		b := v1alpha1.CloudflareBinding{}
		b.Spec.Type, b.Status.ID = v1alpha1.BindingR2, fmt.Sprint("bucket-", i)
		bindings = append(bindings, b)
	}
	kept := account.OfInterest(things, cloudflare.R2, bindings, "me")
	if len(kept) != 3 {
		t.Errorf("kept %d things of 10,000, want the three that bindings name", len(kept))
	}
	if kept = account.OfInterest(things, cloudflare.KV, bindings, "me"); len(kept) != 0 {
		t.Errorf("kept %d things of a kind that no binding is of", len(kept))
	}
}
