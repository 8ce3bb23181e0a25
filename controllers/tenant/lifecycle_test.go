package tenant_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

var _ = Describe("a Tenant", func() {
	It("becomes its children and is Ready once its pods serve the document", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithHosts("acme."+w.Namespace+".example"), testenv.WithIngress)

		result := w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonRollingOut))
		Expect(result.RequeueAfter).To(BeNumerically(">", 0))

		w.ExpectReady(ctx, t)
		Expect(t.Status.Endpoint).To(Equal("https://acme." + w.Namespace + ".example"))
		Expect(t.Status.TenantID).To(Equal(t.Spec.TenantID))
		Expect(t.Status.Model).To(Equal(v1alpha1.ExtractiveModel))
		Expect(t.Status.Image).To(Equal(testenv.Image))
		Expect(t.Status.State).To(Equal(v1alpha1.StatePersistent))
		Expect(t.Status.KeysSecret).To(Equal("tenant-acme-keys"))
		Expect(t.Status.ConfigDigest).To(Equal(tenantconfig.DigestOf(document(ctx, w, t))))
		Expect(t.Condition(v1alpha1.ConditionModelReady).Reason).To(Equal(v1alpha1.ReasonExtractive))
		for _, condition := range []string{v1alpha1.ConditionCredentialsReady, v1alpha1.ConditionWorkloadReady, v1alpha1.ConditionStatePersistent, v1alpha1.ConditionStateStoreReachable} {
			Expect(t.Condition(condition).Status).To(Equal(metav1.ConditionTrue), condition)
		}
		for name, child := range children(t) {
			Expect(w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: name.name}, child)).To(Succeed(), "%v", name)
		}
		w.ExpectNoWrites(ctx, t)
	})

	It("is put right in one pass when a child is deleted or changed", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithHosts("acme."+w.Namespace+".example"), testenv.WithIngress)
		w.ExpectReady(ctx, t)
		for id, child := range children(t) {
			if id.kind == "PersistentVolumeClaim" {
				continue // guarded by a finalizer of its own
			}
			key := client.ObjectKey{Namespace: w.Namespace, Name: id.name}
			Expect(w.Client.Get(ctx, key, child)).To(Succeed())
			uid := child.GetUID()
			Expect(w.Client.Delete(ctx, child)).To(Succeed())
			w.ExpectReconciled(ctx, t)
			Expect(w.Client.Get(ctx, key, child)).To(Succeed(), "%v", id)
			Expect(child.GetUID()).NotTo(Equal(uid))

			child.SetLabels(nil)
			child.SetOwnerReferences(nil)
			Expect(w.Client.Update(ctx, child)).To(Succeed())
			w.ExpectReconciled(ctx, t)
			Expect(w.Client.Get(ctx, key, child)).To(Succeed())
			Expect(child.GetLabels()).To(HaveKeyWithValue(resources.LabelTenant, "acme"), "%v", id)
			Expect(metav1.IsControlledBy(child, t)).To(BeTrue(), "%v", id)
		}
		w.ExpectReady(ctx, t)
		Expect(w.Events.Reasons("acme")).To(ContainElement("DriftUndone"))
		w.ExpectNoWrites(ctx, t)
	})

	It("takes up a limit live, and says it isn't Ready until the pods have it", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		pod, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.Runtime.Freeze(ctx, pod)).To(Succeed())

		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Limits.Requests.PerMinute = new(int32(7)) })
		result := w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonConfigNotLoaded))
		Expect(result.RequeueAfter.Seconds()).To(BeNumerically("<=", 2))
		same, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		Expect(same.UID).To(Equal(pod.UID), "no pod was rolled")
		Expect(same.Annotations).To(HaveKeyWithValue(resources.AnnotationConfig, t.Status.ConfigDigest))

		w.Runtime.Thaw()
		w.ExpectReady(ctx, t)
		Expect(document(ctx, w, t).Limits.Requests.PerMinute).To(Equal(7))
	})

	It("shows what its pods tell", func(ctx SpecContext) {
		w := newWorld(ctx)
		class := newClass(ctx, w, v1alpha1.TenantClassSpec{})
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name), testenv.WithUpstream("http://ollama.models:11434/v1", ""), func(t *v1alpha1.Tenant) {
			t.Spec.Budget = &v1alpha1.Budget{MonthlyUSD: quantity("1")}
		})
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionModelReady).Reason).To(Equal(v1alpha1.ReasonModelAnswers))
		Expect(t.Condition(v1alpha1.ConditionBudgetOK).Reason).To(Equal(v1alpha1.ReasonPriceUnknown))
		class.Spec.Prices = []v1alpha1.ModelPrice{{Model: t.Status.Model, Input: quantity("1"), Output: quantity("2")}}
		Expect(w.Client.Update(ctx, class)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionBudgetOK).Status).To(Equal(metav1.ConditionTrue))

		w.Runtime.Tell(func(s *tenantconfig.Status) {
			s.Model = tenantconfig.ModelStatus{ID: "llama3.2", State: "failing", Reason: "rate_limited"}
			s.Store = tenantconfig.StoreStatus{Driver: "embedded", Reason: "disk full"}
			s.Usage = tenantconfig.UsageStatus{TokensToday: 5, TokensThisMonth: 6, MicroUSDMonth: 1_000_000}
		})
		w.ExpectReady(ctx, t) // the API answers, with errors
		Expect(t.Condition(v1alpha1.ConditionModelReady).Reason).To(Equal("RateLimited"))
		Expect(t.Condition(v1alpha1.ConditionStateStoreReachable).Message).To(ContainSubstring("disk full"))
		Expect(t.Condition(v1alpha1.ConditionBudgetOK).Reason).To(Equal(v1alpha1.ReasonBudgetExceeded))
		Expect(t.Status.Usage.TokensThisMonth).To(Equal(int64(6)))
		w.ExpectNoWrites(ctx, t)

		w.Runtime.Tell(func(s *tenantconfig.Status) { s.ConfigDigest, s.ConfigError = "sha256:old", "models.chat: no" })
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonConfigRefused))
		w.Runtime.Tell(nil)
		w.Runtime.Fail(tenant.ErrUnauthorized)
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonConfigNotLoaded))
		w.Runtime.Fail(nil)
		w.ExpectReady(ctx, t)
	})

	It("stops and starts as spec.suspend says, and keeps the rest", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Suspend = true })
		Expect(w.Settle(ctx, t)).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonSuspended))
		Expect(t.Condition(v1alpha1.ConditionReconciling)).To(BeNil())
		_, err := w.Pod(ctx, t)
		Expect(client.IgnoreNotFound(err)).NotTo(HaveOccurred())
		Expect(err).To(HaveOccurred())
		w.ExpectNoWrites(ctx, t)
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Suspend = false })
		w.ExpectReady(ctx, t)
	})

	It("prunes what it no longer wants", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithHosts("acme."+w.Namespace+".example"), testenv.WithIngress)
		w.ExpectReady(ctx, t)
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Exposure = v1alpha1.Exposure{} })
		w.ExpectReady(ctx, t)
		err := w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "tenant-acme"}, &networkingv1.Ingress{})
		Expect(err).To(HaveOccurred())
		Expect(client.IgnoreNotFound(err)).NotTo(HaveOccurred())
	})

	It("waits for the Gateway API, serves meanwhile, and heals when it comes", func(ctx SpecContext) {
		w := newWorld(ctx)
		host := "acme." + w.Namespace + ".example"
		t := w.ExpectCreated(ctx, "acme", testenv.WithHosts(host), testenv.WithGateway("public"))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonGatewayAPIMissing)
		Expect(t.Condition(v1alpha1.ConditionWorkloadReady).Status).To(Equal(metav1.ConditionTrue))
		w.ExpectNoWrites(ctx, t)

		remove, err := cluster.InstallGatewayAPI(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(remove()).To(Succeed()) })
		w.Clock.SetTime(w.Clock.Now().Add(10 * time.Second))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonRoutePending)
		route := &gatewayv1.HTTPRoute{}
		Expect(w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "tenant-acme"}, route)).To(Succeed())
		Expect(route.Spec.Hostnames).To(Equal([]gatewayv1.Hostname{gatewayv1.Hostname(host)}))
		Expect(*route.Spec.Rules[0].Timeouts.Request).To(Equal(gatewayv1.Duration("0s")))

		accept := func(status metav1.ConditionStatus, reason string) {
			route.Status.Parents = []gatewayv1.RouteParentStatus{{
				ParentRef: route.Spec.ParentRefs[0], ControllerName: "example.com/gateway",
				Conditions: []metav1.Condition{{
					Type: "Accepted", Status: status, Reason: reason, Message: "so it is",
					ObservedGeneration: route.Generation, LastTransitionTime: metav1.Now(),
				}},
			}}
			Expect(w.Client.Status().Update(ctx, route)).To(Succeed())
		}
		accept(metav1.ConditionFalse, "NoMatchingListenerHostname")
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonRouteNotAccepted)
		Expect(t.Condition(v1alpha1.ConditionRouteAccepted).Message).To(ContainSubstring("NoMatchingListenerHostname"))
		accept(metav1.ConditionTrue, "Accepted")
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionRouteAccepted).Status).To(Equal(metav1.ConditionTrue))
		w.ExpectNoWrites(ctx, t)

		By("not taking what it said before, or another Gateway says, for acceptance")
		route.Status.Parents[0].Conditions[0].Type = string(gatewayv1.RouteConditionResolvedRefs)
		Expect(w.Client.Status().Update(ctx, route)).To(Succeed())
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonRoutePending)
		accept(metav1.ConditionTrue, "Accepted")
		w.ExpectReady(ctx, t)
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Exposure.Gateway.Name = "other" })
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonRoutePending)
		Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(route), route)).To(Succeed())
		gone := route.Status.Parents[0].DeepCopy()
		accept(metav1.ConditionTrue, "Accepted")
		route.Status.Parents = append(route.Status.Parents, *gone)
		Expect(w.Client.Status().Update(ctx, route)).To(Succeed())
		w.ExpectReady(ctx, t)

		By("pruning the route when it is no longer wanted")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Exposure = v1alpha1.Exposure{} })
		w.ExpectReady(ctx, t)
		Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(route), route)).NotTo(Succeed())
		Expect(t.Condition(v1alpha1.ConditionRouteAccepted)).To(BeNil())
	})

	It("tells its pods' kubelets of a new document once a second at most", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		pod, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.Runtime.Freeze(ctx, pod)).To(Succeed())
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Limits.MessageChars = 9 })
		w.ExpectReconciled(ctx, t)
		w.ExpectNoWrites(ctx, t)
		w.Clock.SetTime(w.Clock.Now().Add(time.Second))
		before := len(w.Gate.Writes())
		w.ExpectReconciled(ctx, t)
		Expect(w.Gate.Writes()[before:]).To(Equal([]string{"patch *v1.Pod"}))
		w.Clock.SetTime(w.Clock.Now().Add(5 * time.Minute))
		result := w.ExpectReconciled(ctx, t)
		Expect(result.RequeueAfter.Seconds()).To(BeNumerically(">=", 15), "patience ends")
	})

	It("never touches what has a child's name and isn't its own", func(ctx SpecContext) {
		w := newWorld(ctx)
		foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "tenant-acme"}}
		foreign.Spec.Ports = []corev1.ServicePort{{Port: 99}}
		create(ctx, w, foreign)
		version := foreign.ResourceVersion
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectStalled(ctx, t, v1alpha1.ReasonChildConflict)
		Expect(w.Client.Get(ctx, client.ObjectKeyFromObject(foreign), foreign)).To(Succeed())
		Expect(foreign.ResourceVersion).To(Equal(version))
		Expect(w.Client.Delete(ctx, foreign)).To(Succeed())
		w.ExpectReady(ctx, t)
	})

	It("doesn't take a Secret for its keys that somebody else made", func(ctx SpecContext) {
		w := newWorld(ctx)
		create(ctx, w, tokenSecret(w, "tenant-acme-keys", "not a key of ours, and not to be adopted"))
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectStalled(ctx, t, v1alpha1.ReasonChildConflict)
		Expect(secret(ctx, w, "tenant-acme-keys").Data).To(HaveLen(1))
	})
})

type childID struct{ kind, name string }

// children are the objects that every exposed persistent Tenant has.
func children(t *v1alpha1.Tenant) map[childID]client.Object {
	names := resources.NamesOf(t.Name)
	return map[childID]client.Object{
		{"ServiceAccount", names.Base}:         &corev1.ServiceAccount{},
		{"Secret", names.Keys}:                 &corev1.Secret{},
		{"Secret", names.Config}:               &corev1.Secret{},
		{"PersistentVolumeClaim", names.State}: &corev1.PersistentVolumeClaim{},
		{"Deployment", names.Base}:             &appsv1.Deployment{},
		{"Service", names.Base}:                &corev1.Service{},
		{"NetworkPolicy", names.Base}:          &networkingv1.NetworkPolicy{},
		{"Ingress", names.Base}:                &networkingv1.Ingress{},
	}
}
