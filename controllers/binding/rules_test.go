package binding_test

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/binding"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
	"github.com/crispy-enigma/crispy-enigma/hack/crashmatrix/matrix"
)

var _ = Describe("making", func() {
	for _, kind := range cloudflare.Kinds {
		It(fmt.Sprintf("makes one %s with the owner's mark, by one call, and looks at it cheaply", kind), func(ctx SpecContext) {
			s := newStage(ctx)
			s.made(ctx, kind, nil)
			b := s.ready(ctx)
			owned := s.Cloudflare.Owned("cluster-a")
			Expect(owned).To(HaveLen(1))
			Expect(owned[0].ID).To(Equal(b.Status.ID))
			Expect(binding.Differs(b, owned[0])).To(BeFalse())
			creates := 0
			for _, e := range s.effects() {
				if e == cloudflare.Op(cloudflare.Create, kind) {
					creates++
				}
			}
			Expect(creates).To(Equal(1))

			By("looking at a fresh LIST with no call and no write")
			Expect(s.List(ctx, kind)).To(Succeed())
			calls, points := s.Cloudflare.Calls(), len(s.operator.Points())
			s.passed(ctx)
			Expect(s.Cloudflare.Calls() - calls).To(BeZero())
			Expect(s.operator.Points()[points:]).To(BeEmpty())
		})
	}

	It("writes down what it is about to make, under the finalizer, before it calls", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.KV, nil)
		var at *v1alpha1.CloudflareBinding
		s.Cloudflare.OnCall(func(c cloudflarefake.Call) *cloudflarefake.Fault {
			if c.Verb == cloudflare.Create {
				at, _ = s.Get(ctx, matrix.Name)
			}
			return nil
		})
		s.ready(ctx)
		Expect(at.Finalizers).To(ContainElement(binding.Finalizer))
		Expect(at.Status.Create).NotTo(BeNil())
		Expect(at.Status.Create.Name).To(HavePrefix(cloudflare.Mark("cluster-a")))
	})

	It("doesn't make a KV namespace again before a lagging LIST would show it", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.KV, nil)
		s.Cloudflare.OnCall(func(c cloudflarefake.Call) *cloudflarefake.Fault {
			if c.Verb == cloudflare.Create && c.Seq == 1 {
				return &cloudflarefake.Fault{Err: cloudflare.ErrUncertain} // and it had no effect
			}
			return nil
		})
		begun := s.Clock.Now()
		for s.Clock.Now().Sub(begun) < 2*time.Minute {
			s.passed(ctx)
			Expect(s.effects()).To(BeEmpty())
		}
		s.ready(ctx)
		Expect(s.effects()).To(Equal([]string{"create KV namespace"}))
	})
})

var _ = Describe("adopting", func() {
	foreign := func(s *stage) string {
		return s.Cloudflare.Plant(cloudflare.Thing{Kind: cloudflare.R2, Name: "photos"})
	}
	It("refuses what isn't there", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.KV, func(b *v1alpha1.CloudflareBinding) { b.Spec.ExistingID = "0123" })
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonNotFound, "0123")
	})
	It("refuses a stranger's with IfOwned, takes it with Force, and never changes it before", func(ctx SpecContext) {
		s := newStage(ctx)
		id := foreign(s)
		s.made(ctx, cloudflare.R2, func(b *v1alpha1.CloudflareBinding) { b.Spec.ExistingID = id })
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonForeignOwner, "Force")
		Expect(s.effects()).To(BeEmpty())
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.Adoption = v1alpha1.AdoptForce })
		b := s.ready(ctx)
		Expect(b.Status.Adopted).To(BeTrue())
		Expect(b.Status.ID).To(Equal("photos"))
		Expect(s.Events.Reasons()).To(ContainElement("Adopted"))
	})
	It("refuses a name that is taken with Never", func(ctx SpecContext) {
		s := newStage(ctx)
		foreign(s)
		s.made(ctx, cloudflare.R2, func(b *v1alpha1.CloudflareBinding) { b.Spec.Name, b.Spec.Adoption = "photos", v1alpha1.AdoptNever })
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonNameTaken, "choose another")
	})
	It("refuses what can't become what the spec says", func(ctx SpecContext) {
		s := newStage(ctx)
		id := s.Cloudflare.Plant(cloudflare.Thing{Kind: cloudflare.Vectorize, Name: "old", Settings: cloudflare.Settings{Dimensions: 384, Metric: "cosine"}})
		s.made(ctx, cloudflare.Vectorize, func(b *v1alpha1.CloudflareBinding) {
			b.Spec.ExistingID, b.Spec.Adoption, b.Spec.Vectorize.Replacement = id, v1alpha1.AdoptForce, v1alpha1.ReplaceNever
		})
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonImmutable, "384", "BlueGreen")
	})
	It("gives a thing that two ask for to who has it", func(ctx SpecContext) {
		s := newStage(ctx)
		first := matrix.New(s.Namespace, cloudflare.R2)
		first.Name, first.Spec.Name = "first", "photos"
		Expect(s.Client.Create(ctx, first)).To(Succeed())
		_, err := s.operator.Pass(ctx, "first")
		Expect(err).NotTo(HaveOccurred())
		s.made(ctx, cloudflare.R2, func(b *v1alpha1.CloudflareBinding) { b.Spec.Name, b.Spec.Adoption = "photos", v1alpha1.AdoptForce })
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonNameTaken, "first")
	})
	It("gives a thing that nobody has yet to the older of two", func(ctx SpecContext) {
		memory, err := matrix.NewClient() // which lets a test say how old something is
		Expect(err).NotTo(HaveOccurred())
		s := &stage{World: matrix.NewWorld(matrix.Options{Client: memory, Namespace: "ns", OwnerID: "cluster-a", Make: matrix.Ours})}
		s.restart()
		asks := func(name string, age time.Duration) {
			b := matrix.New("ns", cloudflare.R2)
			b.Name, b.UID, b.Spec.Name = name, types.UID(name), "photos"
			b.CreationTimestamp = metav1.NewTime(s.Clock.Now().Add(-age))
			Expect(s.Client.Create(ctx, b)).To(Succeed())
		}
		asks(matrix.Name, time.Hour)
		asks("older", 2*time.Hour)
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonNameTaken, "ns/older")
		Expect(s.effects()).To(BeEmpty())
	})
	It("leaves the gateway that Cloudflare makes itself alone", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.AIGateway, func(b *v1alpha1.CloudflareBinding) { b.Spec.Name, b.Spec.Adoption = "default", v1alpha1.AdoptForce })
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonNameTaken, "gatewayID")
	})
})

var _ = Describe("drift", func() {
	It("is undone, and what the spec has no word on stays", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.AIGateway, nil)
		b := s.ready(ctx)
		s.Cloudflare.Change(cloudflare.AIGateway, b.Status.ID, func(set *cloudflare.Settings) {
			set.Gateway.CollectLogs, set.Gateway.Rest = true, []byte(`{"guardrails":{"prompt":{"S1":"BLOCK"}}}`)
		})
		s.Sleep(time.Minute)
		Expect(s.List(ctx, cloudflare.AIGateway)).To(Succeed())
		s.ready(ctx)
		g := s.Cloudflare.Owned("cluster-a")[0].Settings.Gateway
		Expect(g.CollectLogs).To(BeFalse())
		Expect(string(g.Rest)).To(ContainSubstring("guardrails"))
	})
	It("of metadata indexes is found by looking every pollInterval; those that nobody asked for are left", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.Vectorize, func(b *v1alpha1.CloudflareBinding) { b.Spec.PollInterval = &metav1.Duration{Duration: 5 * time.Minute} })
		b := s.ready(ctx)
		s.Cloudflare.Change(cloudflare.Vectorize, b.Status.ID, func(set *cloudflare.Settings) {
			set.MetadataIndexes = map[string]string{"extra": "string", "lang": "string"}
		})
		s.Sleep(6 * time.Minute)
		s.ready(ctx)
		Expect(s.Cloudflare.Owned("cluster-a")[0].Settings.MetadataIndexes).To(Equal(map[string]string{"extra": "string", "lang": "string", "year": "number"}))
	})
	It("of a thing that was deleted by hand makes it again and says that the data is gone", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.D1, nil)
		b := s.ready(ctx)
		s.Cloudflare.Vanish(cloudflare.D1, b.Status.ID)
		s.Sleep(time.Minute)
		Expect(s.List(ctx, cloudflare.D1)).To(Succeed())
		Expect(s.ready(ctx).Status.ID).NotTo(Equal(b.Status.ID))
		Expect(s.Events.All()).To(ContainElement(HaveField("Reason", "Lost")))
		for _, e := range s.Events.All() {
			if e.Reason == "Lost" {
				Expect(e.Type).To(Equal(corev1.EventTypeWarning))
				Expect(e.Note).To(ContainSubstring("gone"))
			}
		}
	})
})

var _ = Describe("replacing an index", func() {
	It("serves the old one until the annotation names the new one, and keeps it for a day", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.Vectorize, nil)
		old := s.ready(ctx).Status.ID
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.Vectorize.Dimensions = 1024 })
		b := s.ready(ctx)
		Expect(b.Status.ID).To(Equal(old))
		Expect(b.Status.Next.Ready).To(BeTrue())
		Expect(b.Status.Next.Dimensions).To(BeEquivalentTo(1024))
		c := b.Marks().Get(v1alpha1.ConditionReady)
		Expect(c.Reason).To(Equal(v1alpha1.ReasonAwaitingSwitch))
		Expect(c.Message).To(ContainSubstring(binding.AnnotationSwitch + "=" + b.Status.Next.ID))
		next := b.Status.Next.ID

		By("ignoring an annotation that names something else")
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) {
			b.Annotations = map[string]string{binding.AnnotationSwitch: "other"}
		})
		s.Sleep(13 * time.Hour)
		b = s.ready(ctx)
		Expect(b.Status.ID).To(Equal(old))
		Expect(b.Marks().Get(v1alpha1.ConditionReady).Message).To(ContainSubstring("is ignored"))

		By("switching")
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) {
			b.Annotations = map[string]string{binding.AnnotationSwitch: next}
		})
		at := s.Clock.Now()
		b = s.passed(ctx)
		Expect(b.Status.ID).To(Equal(next))
		Expect(b.Status.Old).To(HaveLen(1))
		Expect(s.Cloudflare.Owned("cluster-a")).To(HaveLen(2))
		s.ready(ctx)
		Expect(s.Cloudflare.Owned("cluster-a")).To(HaveLen(1))
		Expect(s.Clock.Now().Sub(at)).To(BeNumerically(">=", 24*time.Hour))
	})
	It("gives up one that isn't wanted any more", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.Vectorize, nil)
		s.ready(ctx)
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.Vectorize.Dimensions = 1024 })
		s.ready(ctx)
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.Vectorize.Dimensions = 768 })
		Expect(s.ready(ctx).Status.Next).To(BeNil())
		Expect(s.Cloudflare.Owned("cluster-a")).To(HaveLen(1))
	})
})

var _ = Describe("an API token", func() {
	value := func(ctx SpecContext, s *stage) cloudflare.Secret {
		GinkgoHelper()
		secret, err := s.Secret(ctx, matrix.Name)
		Expect(err).NotTo(HaveOccurred())
		return cloudflare.Secret(secret.Data[binding.SecretToken])
	}
	It("is in its Secret and nowhere else", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.APIToken, nil)
		b := s.ready(ctx)
		Expect(s.Cloudflare.Valid(value(ctx, s))).To(BeTrue())
		secret, err := s.Secret(ctx, matrix.Name)
		Expect(err).NotTo(HaveOccurred())
		Expect(metav1.IsControlledBy(secret, b)).To(BeTrue())
		Expect(string(secret.Data[binding.SecretID])).To(Equal(b.Status.ID))
		said := fmt.Sprintf("%+v %+v", b, s.Events.All())
		Expect(strings.Contains(said, "c4nary")).To(BeFalse(), "the value got out")
	})
	It("is rotated by a second one; the first works until the overlap ends", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.APIToken, nil)
		s.ready(ctx)
		first := value(ctx, s)
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.APIToken.Revision = 2 })
		at := s.Clock.Now()
		for value(ctx, s) == first {
			s.passed(ctx)
		}
		Expect(s.Cloudflare.Valid(first)).To(BeTrue())
		Expect(s.Cloudflare.Valid(value(ctx, s))).To(BeTrue())
		s.ready(ctx)
		Expect(s.Cloudflare.Valid(first)).To(BeFalse())
		Expect(s.Clock.Now().Sub(at)).To(BeNumerically(">=", time.Hour))
		Expect(s.Cloudflare.Owned("cluster-a")).To(HaveLen(1))
	})
	It("is rotated by age", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.APIToken, nil)
		first := s.ready(ctx).Status.ID
		s.Sleep(91 * 24 * time.Hour)
		Expect(s.ready(ctx).Status.ID).NotTo(Equal(first))
	})
	It("whose Secret was deleted is replaced", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.APIToken, nil)
		first := s.ready(ctx).Status.ID
		secret, err := s.Secret(ctx, matrix.Name)
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Client.Delete(ctx, secret)).To(Succeed())
		Expect(s.ready(ctx).Status.ID).NotTo(Equal(first))
		Expect(s.Cloudflare.Valid(value(ctx, s))).To(BeTrue())
	})
	It("loses a permission at once, in place", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.APIToken, func(b *v1alpha1.CloudflareBinding) {
			b.Spec.APIToken.Permissions = []string{"Vectorize Write", "Workers AI Read"}
		})
		id := s.ready(ctx).Status.ID
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) { b.Spec.APIToken.Permissions = []string{"Workers AI Read"} })
		Expect(s.ready(ctx).Status.ID).To(Equal(id))
		Expect(s.Cloudflare.Owned("cluster-a")[0].Settings.Policies).To(Equal([]cloudflare.Policy{{Permissions: []string{"Workers AI Read"}}}))
	})
	It("waits for its buckets, and is narrowed to them", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.APIToken, func(b *v1alpha1.CloudflareBinding) { b.Spec.APIToken.Buckets = []string{"originals"} })
		s.stands(ctx, v1alpha1.ConditionReconciling, v1alpha1.ReasonBindingNotFound, "originals")
		bucket := matrix.New(s.Namespace, cloudflare.R2)
		bucket.Name = "originals"
		Expect(s.Client.Create(ctx, bucket)).To(Succeed())
		_, err := s.operator.Pass(ctx, "originals")
		Expect(err).NotTo(HaveOccurred())
		b := s.ready(ctx)
		for _, t := range s.Cloudflare.Owned("cluster-a") {
			if t.ID == b.Status.ID {
				Expect(t.Settings.Policies).To(ContainElement(HaveField("Bucket", HavePrefix(cloudflare.Mark("cluster-a")))))
			}
		}
	})
	It("leaves a Secret alone that isn't its own, and mints none", func(ctx SpecContext) {
		s := newStage(ctx)
		other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: matrix.Name}, StringData: map[string]string{"token": "mine"}}
		Expect(s.Client.Create(ctx, other)).To(Succeed())
		s.made(ctx, cloudflare.APIToken, nil)
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonChildConflict, "secretName")
		Expect(s.effects()).To(BeEmpty())
	})
})

var _ = Describe("deleting", func() {
	It("leaves the thing with Retain, and says where", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.D1, func(b *v1alpha1.CloudflareBinding) { b.Spec.DeletionPolicy = "" })
		b := s.ready(ctx)
		s.deleted(ctx)
		Expect(s.settled(ctx)).To(BeNil())
		Expect(s.Cloudflare.Owned("cluster-a")).To(HaveLen(1))
		events := s.Events.All()
		Expect(events[len(events)-1].Reason).To(Equal("Retained"))
		Expect(events[len(events)-1].Note).To(And(ContainSubstring(b.Status.ID), ContainSubstring(b.Status.AccountID)))
	})
	It("says what to do with a bucket that isn't empty", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.R2, nil)
		b := s.ready(ctx)
		s.Cloudflare.Fill(b.Status.ID, true)
		s.deleted(ctx)
		s.stands(ctx, v1alpha1.ConditionReconciling, v1alpha1.ReasonDeleting, "empty it")
		s.Cloudflare.Fill(b.Status.ID, false)
		Expect(s.settled(ctx)).To(BeNil())
		Expect(s.Cloudflare.Things()).To(BeEmpty())
	})
	It("waits for a human where the credentials are gone, and lets go when told to", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.KV, nil)
		s.ready(ctx)
		s.Problem = &account.Problem{Reason: v1alpha1.ReasonAccountNotFound, Message: "CloudflareAccount main doesn't exist"}
		s.deleted(ctx)
		s.stands(ctx, v1alpha1.ConditionStalled, v1alpha1.ReasonCredentialsGone, binding.AnnotationLetGo+"=true")
		s.edited(ctx, func(b *v1alpha1.CloudflareBinding) {
			b.Annotations = map[string]string{binding.AnnotationLetGo: "true"}
		})
		Expect(s.settled(ctx)).To(BeNil())
		Expect(s.Cloudflare.Owned("cluster-a")).To(HaveLen(1))
		Expect(s.Events.Reasons()).To(ContainElement("LetGo"))
	})
	It("needs no account where nothing was made", func(ctx SpecContext) {
		s := newStage(ctx)
		s.Problem = &account.Problem{Reason: v1alpha1.ReasonSecretNotFound, Message: "no Secret"}
		s.made(ctx, cloudflare.KV, nil)
		s.stands(ctx, v1alpha1.ConditionReconciling, v1alpha1.ReasonSecretNotFound)
		s.deleted(ctx)
		Expect(s.settled(ctx)).To(BeNil())
	})
})

var _ = Describe("trouble", func() {
	for meaning, want := range map[error]struct {
		condition, reason string
		words             []string
	}{
		cloudflare.ErrUnauthorized: {v1alpha1.ConditionReconciling, v1alpha1.ReasonTokenInvalid, []string{"put one that is active"}},
		cloudflare.ErrForbidden:    {v1alpha1.ConditionReconciling, v1alpha1.ReasonPermissionMissing, []string{`"AI Gateway Write"`}},
		cloudflare.ErrWrongAccount: {v1alpha1.ConditionReconciling, v1alpha1.ReasonWrongAccount, []string{"spec.accountID"}},
		cloudflare.ErrQuota:        {v1alpha1.ConditionReconciling, v1alpha1.ReasonQuotaExceeded, []string{"gateway.mode: Shared", "20 of at most 20"}},
		cloudflare.ErrRateLimited:  {v1alpha1.ConditionReconciling, v1alpha1.ReasonRateLimited, nil},
		cloudflare.ErrInvalid:      {v1alpha1.ConditionStalled, v1alpha1.ReasonRefusedByAPI, []string{"change the spec"}},
		cloudflare.ErrUnavailable:  {v1alpha1.ConditionReconciling, v1alpha1.ReasonCloudflareUnavailable, nil},
	} {
		It(fmt.Sprintf("has a reason, a sentence and no storm: %v", meaning), func(ctx SpecContext) {
			s := newStage(ctx)
			s.Account.Status.Quotas = []v1alpha1.AccountQuota{{Type: v1alpha1.BindingAIGateway, Used: 20, Limit: new(int32(20))}}
			s.made(ctx, cloudflare.AIGateway, nil)
			s.Cloudflare.OnCall(func(cloudflarefake.Call) *cloudflarefake.Fault { return &cloudflarefake.Fault{Err: meaning} })
			s.stands(ctx, want.condition, want.reason, want.words...)
			s.Cloudflare.OnCall(nil)
			s.ready(ctx)
		})
	}
	It("of a look leaves Ready what serves", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.KV, nil)
		s.ready(ctx)
		s.Cloudflare.OnCall(func(cloudflarefake.Call) *cloudflarefake.Fault {
			return &cloudflarefake.Fault{Err: cloudflare.ErrUnavailable}
		})
		s.Sleep(13 * time.Hour)
		for range 3 {
			Expect(s.passed(ctx).Marks().Get(v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionTrue))
		}
	})
	It("obeys Paused, and tells in a DryRun what would be done", func(ctx SpecContext) {
		s := newStage(ctx)
		s.Account.Spec.Actuation = v1alpha1.ActuationPaused
		s.made(ctx, cloudflare.KV, nil)
		s.stands(ctx, v1alpha1.ConditionReconciling, v1alpha1.ReasonPaused, "spec.actuation")
		Expect(s.Cloudflare.Calls()).To(BeZero())
		s.Account.Spec.Actuation = v1alpha1.ActuationDryRun
		s.stands(ctx, v1alpha1.ConditionReconciling, v1alpha1.ReasonDryRun, "would create KV namespace")
		Expect(s.effects()).To(BeEmpty())
		s.Account.Spec.Actuation = v1alpha1.ActuationReconciling
		s.ready(ctx)
	})
	It("is being deleted: nothing new is begun, and what there is goes", func(ctx SpecContext) {
		s := newStage(ctx)
		s.made(ctx, cloudflare.KV, func(b *v1alpha1.CloudflareBinding) { b.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
		s.Account.DeletionTimestamp = &metav1.Time{Time: s.Clock.Now()}
		s.stands(ctx, v1alpha1.ConditionReconciling, v1alpha1.ReasonAccountNotAllowed, "is being deleted")
		Expect(s.effects()).To(BeEmpty())
		s.Account.DeletionTimestamp = nil
		b := s.ready(ctx)
		s.Account.DeletionTimestamp = &metav1.Time{Time: s.Clock.Now()}
		s.ready(ctx)
		Expect(s.Client.Delete(ctx, b)).To(Succeed())
		Expect(s.settled(ctx)).To(BeNil())
		Expect(s.Cloudflare.Owned("cluster-a")).To(BeEmpty())
	})
	It("is an account that isn't for the namespace", func(ctx SpecContext) {
		s := newStage(ctx)
		s.Account.Namespace = "elsewhere"
		s.made(ctx, cloudflare.KV, func(b *v1alpha1.CloudflareBinding) { b.Spec.AccountRef.Namespace = "elsewhere" })
		s.stands(ctx, v1alpha1.ConditionReconciling, v1alpha1.ReasonAccountNotAllowed, "spec.allowedNamespaces")
		Expect(s.Cloudflare.Calls()).To(BeZero())
	})
})
