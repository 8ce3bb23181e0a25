package controllers_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

var _ = Describe("the operator of a whole cluster, with its own rights alone", Ordered, func() {
	BeforeAll(func() { startOperator(restricted, operatorOptions(), managerOptions()) })

	It("makes a Tenant Ready, and a change of it in force, within five seconds", func(ctx SpecContext) {
		t := newTenant(ctx, newNamespace(ctx), "acme")
		start := time.Now()
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
		AddReportEntry("apply to Ready", time.Since(start).String())

		before := t.Status.ConfigDigest
		t.Spec.Limits.Requests.PerMinute = new(int32(7))
		Expect(cluster.Client.Update(ctx, t)).To(Succeed())
		start = time.Now()
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
		Expect(t.Status.ConfigDigest).NotTo(Equal(before))
		AddReportEntry("live change", time.Since(start).String())

		By("telling of it in events")
		reasons := func() ([]string, error) {
			list := &eventsv1.EventList{}
			err := cluster.Client.List(ctx, list, client.InNamespace(t.Namespace))
			var out []string
			for _, e := range list.Items {
				if e.Regarding.Kind == "Tenant" {
					out = append(out, e.Reason)
				}
			}
			return out, err
		}
		eventually(reasons).Should(ContainElements("ChildrenApplied", "Ready"))
	})

	It("notices by itself what happens to children", func(ctx SpecContext) {
		t := newTenant(ctx, newNamespace(ctx), "acme")
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
		for _, child := range []client.Object{&corev1.Service{}, &appsv1.Deployment{}} {
			child.SetNamespace(t.Namespace)
			child.SetName("tenant-acme")
			Expect(cluster.Client.Delete(ctx, child)).To(Succeed())
			eventually(present(ctx, child)).Should(BeTrue(), "%T", child)
		}
		config := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: "tenant-acme-config"}}
		Expect(cluster.Client.Delete(ctx, config)).To(Succeed())
		eventually(present(ctx, config)).Should(BeTrue())
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
	})

	It("sees a labelled Secret at once, and another within its next look", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		t := newTenant(ctx, namespace, "acme", testenv.WithUpstream("http://x/v1", "labelled"))
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonSecretNotFound))
		labelled := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "labelled", Labels: map[string]string{tenant.LabelWatch: "true"}},
			StringData: map[string]string{"token": "t0ken"},
		}
		start := time.Now()
		Expect(cluster.Client.Create(ctx, labelled)).To(Succeed())
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
		AddReportEntry("labelled Secret to Ready", time.Since(start).String())

		plain := newTenant(ctx, namespace, "shop", testenv.WithUpstream("http://x/v1", "plain"))
		eventually(reason(ctx, plain)).Should(Equal(v1alpha1.ReasonSecretNotFound))
		Expect(cluster.Client.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "plain"},
			StringData: map[string]string{"token": "t0ken"},
		})).To(Succeed())
		eventually(reason(ctx, plain)).Should(Equal(v1alpha1.ReasonReady))
	})

	It("wakes the loser of a host when the winner goes", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		host := "shared." + namespace + ".example"
		elder := newTenant(ctx, namespace, "elder", testenv.WithHosts(host), testenv.Ephemeral)
		eventually(reason(ctx, elder)).Should(Equal(v1alpha1.ReasonReady))
		time.Sleep(time.Until(elder.CreationTimestamp.Add(time.Second))) // creation times have whole seconds
		younger := newTenant(ctx, newNamespace(ctx), "younger", testenv.WithHosts(host), testenv.Ephemeral)
		eventually(reason(ctx, younger)).Should(Equal(v1alpha1.ReasonHostConflict))
		Expect(cluster.Client.Delete(ctx, elder)).To(Succeed())
		eventually(reason(ctx, younger)).Should(Equal(v1alpha1.ReasonReady))
	})

	It("lets the garbage collector take a deleted Tenant's children, and its volume only with Delete", func(ctx SpecContext) {
		for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
			t := newTenant(ctx, newNamespace(ctx), "acme", testenv.WithDeletionPolicy(policy))
			eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
			Expect(cluster.Client.Delete(ctx, t)).To(Succeed())
			eventually(remains(ctx, t.Namespace)).Should(Equal(map[v1alpha1.DeletionPolicy]string{
				v1alpha1.DeletionRetain: "volumes 1, others 0",
				v1alpha1.DeletionDelete: "volumes 0, others 0",
			}[policy]))
		}
	})

	It("lets a namespace go", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		t := newTenant(ctx, namespace, "acme")
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		Expect(cluster.Client.Delete(ctx, ns)).To(Succeed())
		Eventually(present(ctx, ns)).WithTimeout(60 * time.Second).WithPolling(100 * time.Millisecond).Should(BeFalse())
	})
})

var _ = Describe("two operators", func() {
	It("work one after the other: the second takes over when the first ends", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		elected := managerOptions()
		elected.LeaderElection, elected.LeaderElectionNamespace = true, namespace
		stopFirst := startOperator(cluster.Config, operatorOptions(), elected)
		t := newTenant(ctx, namespace, "first", testenv.Ephemeral)
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
		stopSecond := startOperator(cluster.Config, operatorOptions(), elected)

		stopFirst()
		start := time.Now()
		t = newTenant(ctx, namespace, "second", testenv.Ephemeral)
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
		AddReportEntry("takeover", time.Since(start).String())
		Expect(time.Since(start)).To(BeNumerically("<", 12*time.Second), "a lease of 15 s was released, not waited out")
		stopSecond()
	})
})

var _ = Describe("the operator of some namespaces", func() {
	It("takes its class from a file, and leaves the rest of the cluster alone", func(ctx SpecContext) {
		inside, outside := newNamespace(ctx), newNamespace(ctx)
		options := operatorOptions()
		options.Operator.OwnerID = "here"
		options.Namespaces = []string{inside, newNamespace(ctx)}
		options.Class = &v1alpha1.TenantClass{ObjectMeta: metav1.ObjectMeta{Name: "file"}}
		options.Class.Spec.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Ephemeral: &v1alpha1.EphemeralState{}}}
		startOperator(cluster.Config, options, managerOptions())
		t, other := newTenant(ctx, inside, "acme"), newTenant(ctx, outside, "acme")
		eventually(reason(ctx, t)).Should(Equal(v1alpha1.ReasonReady))
		Expect(t.Status.Class).To(Equal("file"))
		Expect(t.Status.State).To(Equal(v1alpha1.StateEphemeral))
		Expect(reason(ctx, other)()).To(Equal("not seen yet"))

		By("saying so of an account that it may not read")
		asking := newTenant(ctx, inside, "asking", func(t *v1alpha1.Tenant) {
			t.Spec.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamWorkersAI, AccountRef: &v1alpha1.AccountReference{Namespace: outside, Name: "a"}}
			t.Spec.Models.Chat = "m"
		})
		eventually(reason(ctx, asking)).Should(Equal(v1alpha1.ReasonAccountNotFound))
	})
})

func present(ctx context.Context, o client.Object) func() (bool, error) {
	return func() (bool, error) {
		err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(o), o)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	}
}

// remains counts what is left of the Tenants of a namespace.
func remains(ctx context.Context, namespace string) func() (string, error) {
	return func() (string, error) {
		others := 0
		for _, list := range []client.ObjectList{&v1alpha1.TenantList{}, &appsv1.DeploymentList{}, &appsv1.ReplicaSetList{}, &corev1.PodList{}, &corev1.SecretList{}, &corev1.ServiceList{}} {
			if err := cluster.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
				return "", err
			}
			others += meta.LenList(list)
		}
		claims := &corev1.PersistentVolumeClaimList{}
		err := cluster.Client.List(ctx, claims, client.InNamespace(namespace))
		return fmt.Sprintf("volumes %d, others %d", len(claims.Items), others), err
	}
}
