package tenant_test

import (
	"context"
	"fmt"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
)

var _ = Describe("a Tenant that goes from its volume to a server", func() {
	It("has one pod move its data, serves it from there, and leaves the volume", func(ctx SpecContext) {
		w, r := newWorld(ctx), servers.Redis(GinkgoTB(), servers.RedisOptions{})
		class := offering(ctx, w, r.URL("default", servers.RedisAdmin), "")
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name), testenv.WithDeletionPolicy(v1alpha1.DeletionDelete))
		w.ExpectReady(ctx, t)
		Expect(t.Status.State).To(Equal(v1alpha1.StatePersistent))
		claim := &corev1.PersistentVolumeClaim{}
		Expect(w.Client.Get(ctx, key(w, "tenant-acme-state"), claim)).To(Succeed())
		Expect(metav1.IsControlledBy(claim, t)).To(BeTrue())

		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			onValkey(t)
			t.Spec.Runtime.Autoscaling = &v1alpha1.Autoscaling{Min: 2, Max: 3}
		})
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonMovingState))
		Expect(t.Condition(v1alpha1.ConditionStatePersistent).Reason).To(Equal(v1alpha1.ReasonMovingState))
		Expect(t.Status.State).To(Equal(v1alpha1.StatePersistent), "it is until all is moved")
		d := &appsv1.Deployment{}
		Expect(w.Client.Get(ctx, key(w, "tenant-acme"), d)).To(Succeed())
		Expect(*d.Spec.Replicas).To(BeEquivalentTo(1))
		Expect(d.Spec.Strategy.Type).To(Equal(appsv1.RecreateDeploymentStrategyType))
		Expect(d.Spec.Template.Spec.InitContainers).To(HaveLen(1))
		mover := d.Spec.Template.Spec.InitContainers[0]
		Expect(mover.Image).To(Equal(testenv.Image))
		Expect(mover.Args).To(Equal([]string{"move"}))
		Expect(mover.VolumeMounts).To(ContainElement(SatisfyAll(HaveField("MountPath", tenantconfig.StateDir), HaveField("ReadOnly", false))))
		c := document(ctx, w, t)
		Expect(c.State.Driver).To(Equal("valkey"))
		Expect(c.State.Path).To(Equal(tenantconfig.StateDir))

		By("being killed before the move is over")
		Expect(w.Restart()).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonMovingState))

		w.ExpectReady(ctx, t)
		Expect(t.Status.State).To(Equal(v1alpha1.StateShared))
		Expect(t.Status.StateDriver).To(Equal("valkey"))
		Expect(document(ctx, w, t).State.Path).To(BeEmpty())
		Expect(w.Client.Get(ctx, key(w, "tenant-acme"), d)).To(Succeed())
		Expect(d.Spec.Template.Spec.InitContainers).To(BeEmpty())
		Expect(d.Spec.Strategy.Type).To(Equal(appsv1.RollingUpdateDeploymentStrategyType))
		Expect(w.Client.Get(ctx, key(w, "tenant-acme"), &autoscalingv2.HorizontalPodAutoscaler{})).To(Succeed(), "from now on it decides")
		Expect(w.Client.Get(ctx, key(w, "tenant-acme-state"), claim)).To(Succeed(), "the volume is kept")
		Expect(claim.OwnerReferences).To(BeEmpty())
		Expect(w.Events.Reasons("acme")).To(ContainElement("StateMoved"))
		w.ExpectNoWrites(ctx, t)

		By("being deleted, with what is left on the volume")
		Expect(w.Client.Delete(ctx, t)).To(Succeed())
		Expect(w.Settle(ctx, t)).To(Succeed())
		Expect(apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(BeTrue())
		err := w.Client.Get(ctx, key(w, "tenant-acme-state"), claim)
		Expect(apierrors.IsNotFound(err) || claim.DeletionTimestamp != nil).To(BeTrue())
	})
})

var _ = Describe("a Tenant that has no volume yet", func() {
	It("goes to a server at once", func(ctx SpecContext) {
		w, r := newWorld(ctx), servers.Redis(GinkgoTB(), servers.RedisOptions{})
		class := offering(ctx, w, r.URL("default", servers.RedisAdmin), "")
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name), testenv.WithKeys(testenv.ReferencedKey("web", "missing")))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
		Expect(t.Status.State).To(Equal(v1alpha1.StatePersistent))
		create(ctx, w, tokenSecret(w, "missing", "c4nary-0123456789abcdef0123456789abcdef"))
		w.ExpectUpdated(ctx, t, onValkey)
		w.ExpectReady(ctx, t)
		Expect(t.Status.State).To(Equal(v1alpha1.StateShared))
	})
})

var _ = Describe("deleting a Tenant whose data is on a server", func() {
	keys := func(r *servers.RedisServer, tag string) int64 {
		GinkgoHelper()
		m := r.Do(GinkgoTB(), "EXISTS", statestore.KeyPrefix(tag)+"k")
		n, err := m.AsInt64()
		Expect(err).NotTo(HaveOccurred())
		return n
	}
	users := func(r *servers.RedisServer) []string {
		GinkgoHelper()
		m := r.Do(GinkgoTB(), "ACL", "USERS")
		names, err := m.AsStrSlice()
		Expect(err).NotTo(HaveOccurred())
		return names
	}

	It("erases it with Delete, keeps it with Retain, and removes its login, once no pod is left", func(ctx SpecContext) {
		for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionDelete, v1alpha1.DeletionRetain} {
			w, r := newWorld(ctx), servers.Redis(GinkgoTB(), servers.RedisOptions{})
			class := offering(ctx, w, r.URL("default", servers.RedisAdmin), "")
			t := w.ExpectCreated(ctx, "acme", onValkey, testenv.WithClass(class.Name), testenv.WithDeletionPolicy(policy))
			w.ExpectReady(ctx, t)
			tag := tagOf(w, t)
			r.Do(GinkgoTB(), "SET", statestore.KeyPrefix(tag)+"k", "c4nary")
			Expect(users(r)).To(ContainElement(statestore.ACLUser(tag)))

			Expect(w.Client.Delete(ctx, t)).To(Succeed())
			w.ExpectReconciled(ctx, t)
			Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring("pod tenant-acme-0"))
			Expect(keys(r, tag)).To(BeEquivalentTo(1), "a pod still writes")

			By("the server being away meanwhile")
			r.Stop()
			_, err := w.RollOut(ctx, t)
			Expect(err).NotTo(HaveOccurred())
			w.ExpectReconciled(ctx, t)
			Expect(t.Condition(v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonStateLoginFailed))
			Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring(tenant.AnnotationLetGo))
			Expect(w.Events.Reasons("acme")).To(ContainElement(v1alpha1.ReasonStateLoginFailed))
			w.ExpectNoWrites(ctx, t)
			r.Start(GinkgoTB())
			r.Do(GinkgoTB(), "SET", statestore.KeyPrefix(tag)+"k", "c4nary")
			r.SetUser(GinkgoTB(), statestore.ACLUser(tag), "c4nary-of-a-login", statestore.ACLRules(tag))

			Expect(w.Settle(ctx, t)).To(Succeed())
			Expect(apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(BeTrue())
			Expect(users(r)).NotTo(ContainElement(statestore.ACLUser(tag)))
			if policy == v1alpha1.DeletionDelete {
				Expect(keys(r, tag)).To(BeZero())
				Expect(w.Events.Reasons("acme")).To(ContainElement("StateErased"))
				continue
			}
			Expect(keys(r, tag)).To(BeEquivalentTo(1))
			Expect(w.Events.All()).To(ContainElement(SatisfyAll(
				HaveField("Reason", "StateRetained"), HaveField("Note", ContainSubstring(tag)), HaveField("Note", ContainSubstring(r.Addr)))))
			for _, e := range w.Events.All() {
				Expect(e.Note).NotTo(ContainSubstring(servers.RedisAdmin))
			}
		}
	})

	It("erases rows and removes the roles in a database", func(ctx SpecContext) {
		w := newWorld(ctx)
		server := servers.Postgres(GinkgoTB())
		name, admin := server.Database(GinkgoTB())
		class := offering(ctx, w, "", admin)
		t := w.ExpectCreated(ctx, "acme", onPostgres, testenv.WithClass(class.Name), testenv.WithDeletionPolicy(v1alpha1.DeletionDelete))
		w.ExpectReady(ctx, t)
		url, _, _ := podLogin(ctx, w, t, "postgres", tenantconfig.StateURLFile)
		_, err := ask(ctx, url, "INSERT INTO enigma.cache (tenant, key, value, until) VALUES ('"+tagOf(w, t)+"', 'k', 'v', 9) RETURNING 'kept'")
		Expect(err).NotTo(HaveOccurred())
		Expect(ask(ctx, server.Super(name), "SELECT count(*)::text FROM enigma.cache")).To(Equal("1"))
		Expect(w.Client.Delete(ctx, t)).To(Succeed())
		Expect(w.Settle(ctx, t)).To(Succeed())
		Expect(apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(BeTrue())
		Expect(ask(ctx, server.Super(name), "SELECT count(*)::text FROM enigma.cache")).To(Equal("0"))
		Expect(ask(ctx, server.Super(name), "SELECT count(*)::text FROM pg_roles WHERE rolname LIKE 'ce_"+tagOf(w, t)+"%'")).To(Equal("0"))
	})

	It("lets go of what can't be reached, if a person says so", func(ctx SpecContext) {
		w, r := newWorld(ctx), servers.Redis(GinkgoTB(), servers.RedisOptions{})
		class := offering(ctx, w, r.URL("default", servers.RedisAdmin), "")
		t := w.ExpectCreated(ctx, "acme", onValkey, testenv.WithClass(class.Name), testenv.WithDeletionPolicy(v1alpha1.DeletionDelete))
		w.ExpectReady(ctx, t)
		r.Stop()
		Expect(w.Client.Delete(ctx, t)).To(Succeed())
		Expect(w.Settle(ctx, t)).To(Succeed())
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			metav1.SetMetaDataAnnotation(&t.ObjectMeta, tenant.AnnotationLetGo, "true")
		})
		Expect(w.Settle(ctx, t)).To(Succeed())
		Expect(apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(BeTrue())
		Expect(w.Events.Reasons("acme")).To(ContainElement("LetGo"))
	})
})

// sharedLife is made, given another password and deleted; fault hits API write n of the
// first incarnation of the operator. At each rest the Secret's login opens the server, and
// nothing else does.
func sharedLife(ctx context.Context, w *testenv.World, r *servers.RedisServer, class string, n int, fault testenv.Fault) ([]string, error) {
	first := w.Gate
	if fault != "" {
		first.Break(n, fault)
	}
	t, err := w.NewTenant(ctx, "acme", onValkey, testenv.WithClass(class), testenv.WithDeletionPolicy(v1alpha1.DeletionDelete))
	if err != nil {
		return nil, err
	}
	user := statestore.ACLUser(tagOf(w, t))
	for _, chapter := range []string{"create", "rotate"} {
		if chapter == "rotate" {
			w.Clock.SetTime(w.Clock.Now().AddDate(0, 4, 0))
		}
		if err := w.Settle(ctx, t); err != nil {
			return nil, fmt.Errorf("%s: %w", chapter, err)
		}
		config := &corev1.Secret{}
		if err := w.Client.Get(ctx, key(w, "tenant-acme-config"), config); err != nil {
			return nil, err
		}
		_, rest, _ := strings.Cut(string(config.Data[tenantconfig.StateURLFile]), user+":")
		password, _, _ := strings.Cut(rest, "@")
		if _, err := r.TryDo(ctx, user, password, "PING"); err != nil {
			return nil, fmt.Errorf("%s: the pods' login doesn't open the server: %w", chapter, err)
		}
		shown, err := r.TryDo(ctx, "default", servers.RedisAdmin, "ACL", "GETUSER", user)
		if err != nil {
			return nil, err
		}
		fields, err := shown.AsMap()
		if err != nil {
			return nil, err
		}
		passwords := fields["passwords"]
		if all, err := passwords.AsStrSlice(); err != nil || len(all) != 1 {
			return nil, fmt.Errorf("%s: %d passwords open the server: %w", chapter, len(all), err)
		}
	}
	if err := w.Client.Delete(ctx, t); err != nil {
		return nil, err
	}
	if err := w.Settle(ctx, t); err != nil {
		return nil, fmt.Errorf("delete: %w", err)
	}
	if err := w.Client.Get(ctx, client.ObjectKeyFromObject(t), t); !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("the Tenant isn't gone: %w", err)
	}
	if _, err := r.TryDo(ctx, "default", servers.RedisAdmin, "ACL", "GETUSER", user); err == nil {
		return nil, fmt.Errorf("its login is left")
	}
	if fault != "" && !first.Fired() {
		return nil, fmt.Errorf("write %d never came", n)
	}
	return first.Writes(), nil
}

// crashes are enough: what else may hit a write is for the story of all children.
var crashes = []testenv.Fault{testenv.CrashBefore, testenv.CrashAfter}

var _ = Describe("the operator killed at any API write while it makes and changes a login", func() {
	It("leaves a state from which the next one gives the pods the only login that opens the server", func(ctx SpecContext) {
		r := servers.Redis(GinkgoTB(), servers.RedisOptions{})
		world := func() (*testenv.World, string) {
			w := newWorld(ctx)
			return w, offering(ctx, w, r.URL("default", servers.RedisAdmin), "").Name
		}
		w, class := world()
		writes, err := sharedLife(ctx, w, r, class, 0, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(len(writes)).To(BeNumerically(">", 12), "%v", writes)
		var (
			mu     sync.Mutex
			broken []string
			group  sync.WaitGroup
		)
		slots := make(chan struct{}, 4)
		for n := range writes {
			for _, fault := range crashes {
				w, class := world()
				slots <- struct{}{}
				group.Go(func() {
					defer func() { <-slots }()
					if _, err := sharedLife(ctx, w, r, class, n, fault); err != nil {
						mu.Lock()
						defer mu.Unlock()
						broken = append(broken, fmt.Sprintf("%s write %d (%s): %v", fault, n, writes[n], err))
					}
				})
			}
		}
		group.Wait()
		AddReportEntry("scenarios", len(writes)*len(crashes))
		Expect(broken).To(BeEmpty())
	})
})
