package binding_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/binding"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
	"github.com/crispy-enigma/crispy-enigma/hack/crashmatrix/matrix"
)

// switchedOver is a stage on which a second index has just taken the place of a first,
// which is kept for a day.
func switchedOver(ctx context.Context) (s *stage, old, serves string) {
	GinkgoHelper()
	s = newStage(ctx)
	s.made(ctx, cloudflare.Vectorize, nil)
	old = s.ready(ctx).Status.ID
	s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.Vectorize.Dimensions = 1024 })
	serves = s.ready(ctx).Status.Next.ID
	s.edited(ctx, func(b *v1alpha1.CloudflareBinding) {
		b.Annotations = map[string]string{binding.AnnotationSwitch: serves}
	})
	Expect(s.passed(ctx).Status.Old).To(ConsistOf(HaveField("ID", old)))
	return s, old, serves
}

var _ = Describe("an index that was switched away from", func() {
	It("isn't taken for the new one where that is lost within the day, and the one that serves is never removed", func(ctx SpecContext) {
		s, old, serves := switchedOver(ctx)
		Expect(s.Cloudflare.Vanish(cloudflare.Vectorize, serves)).To(BeTrue())
		s.Sleep(5 * time.Minute)
		Expect(s.List(ctx, cloudflare.Vectorize)).To(Succeed())
		b := s.ready(ctx) // a day later: what was replaced is removed
		Expect(b.Status.ID).NotTo(Equal(old))
		Expect(b.Status.Dimensions).To(BeEquivalentTo(1024))
		owned := s.Cloudflare.Owned("cluster-a")
		Expect(owned).To(HaveLen(1))
		Expect(owned[0].ID).To(Equal(b.Status.ID))
	})
	It("is succeeded by the next one, as it is, where the one that serves is lost", func(ctx SpecContext) {
		s, old, serves := switchedOver(ctx)
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.Vectorize.Dimensions = 512 })
		next := ""
		for next == "" {
			if n := s.passed(ctx).Status.Next; n != nil {
				next = n.ID
			}
		}
		Expect(s.Cloudflare.Vanish(cloudflare.Vectorize, serves)).To(BeTrue())
		s.Sleep(5 * time.Minute)
		Expect(s.List(ctx, cloudflare.Vectorize)).To(Succeed())
		b := s.ready(ctx)
		Expect(b.Status.ID).To(And(Equal(next), Not(Equal(old))))
		Expect(b.Status.Next).To(BeNil())
		Expect(s.Cloudflare.Owned("cluster-a")).To(ConsistOf(HaveField("ID", next)))
	})
	It("isn't another binding's to adopt while it is to be removed", func(ctx SpecContext) {
		s, old, _ := switchedOver(ctx)
		second := matrix.New(s.Namespace, cloudflare.Vectorize)
		second.Name, second.Spec.ExistingID = "second", old
		Expect(s.Client.Create(ctx, second)).To(Succeed())
		_, err := s.operator.Pass(ctx, "second")
		Expect(err).NotTo(HaveOccurred())
		found, err := s.Get(ctx, "second")
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Status.ID).To(BeEmpty())
		Expect(found.Marks().Get(v1alpha1.ConditionStalled).Reason).To(Equal(v1alpha1.ReasonNameTaken))
	})
})

// stubborn is an account that accepts changes and doesn't make them.
type stubborn struct{ account.Accounts }

func (s stubborn) Open(ctx context.Context, key client.ObjectKey) (account.Opened, error) {
	o, err := s.Accounts.Open(ctx, key)
	if err == nil {
		o.Edit, o.Poll = unmoved{o.Edit}, unmoved{o.Poll}
	}
	return o, err
}

type unmoved struct{ cloudflare.Account }

func (u unmoved) Do(ctx context.Context, step cloudflare.Step) (cloudflare.Thing, error) {
	switch step.Verb {
	case cloudflare.Update, cloudflare.DeleteIndex:
		return u.Get(ctx, step.Kind, step.ID)
	}
	return u.Account.Do(ctx, step)
}

var _ = Describe("a change that Cloudflare accepts and doesn't make", func() {
	// spent is how many calls were made in ten minutes.
	spent := func(ctx context.Context, s *stage) int {
		GinkgoHelper()
		before, until := s.Cloudflare.Calls(), s.Clock.Now().Add(10*time.Minute)
		for passes := 0; s.Clock.Now().Before(until); passes++ {
			Expect(passes).To(BeNumerically("<", 60), "it is tried too often")
			s.passed(ctx)
		}
		return s.Cloudflare.Calls() - before
	}
	start := func(ctx context.Context, kind cloudflare.Kind) *stage {
		GinkgoHelper()
		s := newStage(ctx)
		s.made(ctx, kind, nil)
		s.ready(ctx)
		s.World = matrix.NewWorld(matrix.Options{Client: api, Namespace: s.Namespace, OwnerID: "cluster-a", Cloudflare: s.Cloudflare, Clock: s.Clock,
			Make: func(d matrix.Deps) (reconcile.Reconciler, error) {
				d.Accounts = stubborn{d.Accounts}
				return matrix.Ours(d)
			}})
		s.restart()
		return s
	}
	It("is tried ever less often, and told", func(ctx SpecContext) {
		s := start(ctx, cloudflare.R2)
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.R2.StorageClass = "InfrequentAccess" })
		Expect(spent(ctx, s)).To(BeNumerically("<", 40))
		b, err := s.Get(ctx, matrix.Name)
		Expect(err).NotTo(HaveOccurred())
		c := b.Marks().Get(v1alpha1.ConditionReady)
		Expect(c.Status).To(Equal(metav1.ConditionFalse))
		Expect(c.Message).To(ContainSubstring("storage class is Standard, not InfrequentAccess"))
	})
	It("is no hot loop where a metadata index goes slowly", func(ctx SpecContext) {
		s := start(ctx, cloudflare.Vectorize)
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.Vectorize.MetadataIndexes[0].Type = "number" })
		Expect(spent(ctx, s)).To(BeNumerically("<", 200))
	})
})

var _ = Describe("an account that is another one now", func() {
	another := "0123456789abcdef0123456789abcdef"
	It("gets nothing made or deleted for what lies in the one before", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.R2, nil)
		b := s.ready(ctx)
		before := s.Account.Spec.AccountID
		s.Account.Spec.AccountID = another
		effects := len(s.effects())
		s.Sleep(13 * time.Hour)
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonWrongAccount, before, another)
		s.deleted(ctx)
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonCredentialsGone, before, binding.AnnotationLetGo)
		Expect(s.effects()).To(HaveLen(effects))
		Expect(s.Cloudflare.Owned("cluster-a")).To(ConsistOf(HaveField("ID", b.Status.ID)))
	})
})

var _ = Describe("an API token outside of its account's namespace", func() {
	shared := func(ctx context.Context, permissions ...string) *stage {
		GinkgoHelper()
		s := newStage(ctx)
		s.Account.Namespace, s.Account.Spec.AllowedNamespaces.From = "platform", v1alpha1.AllowAll
		s.made(ctx, cloudflare.APIToken, func(b *v1alpha1.CloudflareBinding) {
			b.Spec.AccountRef.Namespace, b.Spec.APIToken.Permissions = "platform", permissions
		})
		return s
	}
	It("may do what a Tenant's may", func(ctx SpecContext) {
		shared(ctx, "AI Gateway Run", "D1 Write", "Vectorize Read", "Vectorize Write", "Workers AI Read", "Workers KV Storage Write").ready(ctx)
	})
	It("isn't made root of the account", func(ctx SpecContext) {
		s := shared(ctx, "Workers AI Read", "Account API Tokens Write")
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonPermissionNotAllowed, `"Account API Tokens Write"`, `namespace "platform"`)
		Expect(s.Cloudflare.Calls()).To(BeZero())
	})
	It("isn't widened either", func(ctx SpecContext) {
		s := shared(ctx, "Workers AI Read")
		s.ready(ctx)
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) {
			b.Spec.APIToken.Permissions = []string{"Account API Tokens Write"}
		})
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonPermissionNotAllowed)
		Expect(s.Cloudflare.Owned("cluster-a")[0].Settings.Policies).To(Equal([]cloudflare.Policy{{Permissions: []string{"Workers AI Read"}}}))
	})
})

var _ = Describe("an API token whose Secret is deleted again and again", func() {
	It("doesn't use up the account's room for tokens", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.APIToken, nil)
		s.passed(ctx)
		for range 12 {
			s.Sleep(31 * time.Second)
			secret, err := s.Secret(ctx, matrix.Name)
			Expect(err).NotTo(HaveOccurred())
			if secret != nil {
				Expect(s.Client.Delete(ctx, secret)).To(Succeed())
			}
			for range 4 {
				_, err := s.operator.Pass(ctx, matrix.Name)
				Expect(err).NotTo(HaveOccurred())
			}
		}
		Expect(len(s.Cloudflare.Owned("cluster-a"))).To(BeNumerically("<=", 5))
		s.ready(ctx)
		Expect(s.Cloudflare.Owned("cluster-a")).To(HaveLen(1))
	})
})

var _ = Describe("a status that was lost", func() {
	for _, kind := range cloudflare.Kinds {
		It(fmt.Sprintf("doesn't have a second %s made", kind), func(ctx SpecContext) {
			ns := newStage(ctx).Namespace
			s := &stage{World: matrix.NewWorld(matrix.Options{Client: api, Namespace: ns, OwnerID: "cluster-a", SameNames: true, Make: matrix.Ours})}
			s.restart()
			s.made(ctx, kind, func(b *v1alpha1.CloudflareBinding) {
				if kind == cloudflare.APIToken {
					b.Spec.Name = "without-a-mark"
				}
			})
			before := s.ready(ctx)
			b := before.DeepCopy()
			b.Status = v1alpha1.CloudflareBindingStatus{}
			Expect(s.Client.Status().Update(ctx, b)).To(Succeed())
			s.restart()
			after := s.ready(ctx)
			Expect(s.Cloudflare.Things()).To(ConsistOf(HaveField("ID", after.Status.ID)))
			if kind != cloudflare.APIToken { // which is replaced: nobody knows its age
				Expect(after.Status.ID).To(Equal(before.Status.ID))
			}
		})
	}
})

var _ = Describe("what is refused again and again", func() {
	for meaning, reason := range map[error]string{
		cloudflare.ErrInvalid: v1alpha1.ReasonRefusedByAPI, cloudflare.ErrQuota: v1alpha1.ReasonQuotaExceeded, cloudflare.ErrForbidden: v1alpha1.ReasonPermissionMissing,
	} {
		It(fmt.Sprintf("is told once, in the same words: %v", meaning), func(ctx SpecContext) {
			s := newStage(ctx)
			s.made(ctx, cloudflare.D1, nil)
			s.Cloudflare.OnCall(func(c cloudflarefake.Call) *cloudflarefake.Fault {
				if c.Verb != cloudflare.Create {
					return nil
				}
				return &cloudflarefake.Fault{Err: &cloudflare.Error{Op: "create D1 database", Meaning: meaning, Status: 400, RequestID: fmt.Sprintf("ray-%d", c.Seq)}}
			})
			first := s.passed(ctx).Marks().Get(v1alpha1.ConditionReady).DeepCopy()
			Expect(first.Reason).To(Equal(reason))
			said := len(s.Events.All())
			watch, err := api.Watch(ctx, &v1alpha1.CloudflareBindingList{}, client.InNamespace(s.Namespace))
			Expect(err).NotTo(HaveOccurred())
			defer watch.Stop()
			calls := s.Cloudflare.Calls()
			for range 3 {
				Expect(s.passed(ctx).Marks().Get(v1alpha1.ConditionReady)).To(Equal(first))
			}
			Expect(s.Events.All()).To(HaveLen(said))
			Expect(s.Cloudflare.Calls()-calls).To(Equal(3), "a try costs one call")
			s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Labels = map[string]string{"last": "true"} })
			for e := range watch.ResultChan() {
				b, ok := e.Object.(*v1alpha1.CloudflareBinding)
				Expect(ok).To(BeTrue())
				Expect(b.Marks().Get(v1alpha1.ConditionReady)).To(Equal(first), "it flaps")
				if b.Labels["last"] != "" {
					break
				}
			}
		})
	}
})

var _ = Describe("a bucket of a stranger's in another jurisdiction", func() {
	It("isn't taken, changed or deleted for ours that is gone", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.R2, func(b *v1alpha1.CloudflareBinding) { b.Spec.Name, b.Spec.R2 = "photos", nil })
		s.ready(ctx)
		Expect(s.Cloudflare.Vanish(cloudflare.R2, "photos")).To(BeTrue())
		s.Cloudflare.Plant(cloudflare.Thing{Kind: cloudflare.R2, Name: "photos", Settings: cloudflare.Settings{Jurisdiction: "eu"}})
		effects := len(s.effects())
		s.Sleep(13 * time.Hour)
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonImmutable, "jurisdiction")
		Expect(s.effects()).To(HaveLen(effects))
		s.deleted(ctx)
		Expect(s.settled(ctx)).To(BeNil())
		Expect(s.Cloudflare.Things()).To(ConsistOf(HaveField("Settings.Jurisdiction", "eu")))
	})
})
