package tenant_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	logins "github.com/crispy-enigma/crispy-enigma/controllers/statestore"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
)

// urlSecret is of a state server, with its address and a login.
func urlSecret(w *testenv.World, name, url string) *corev1.Secret {
	s := &corev1.Secret{StringData: map[string]string{"url": url}}
	s.Namespace, s.Name = w.Namespace, name
	return s
}

// offering makes a class with servers whose admin Secrets lie in the World's namespace.
func offering(ctx SpecContext, w *testenv.World, valkeyURL, postgresURL string) *v1alpha1.TenantClass {
	GinkgoHelper()
	spec := v1alpha1.TenantClassSpec{}
	offer := func(name, url string) *v1alpha1.StateServer {
		if url == "" {
			return nil
		}
		create(ctx, w, urlSecret(w, name, url))
		return &v1alpha1.StateServer{AdminSecretRef: v1alpha1.AdminSecretReference{Namespace: w.Namespace, Name: name}}
	}
	spec.StateServers.Valkey = offer("valkey-admin", valkeyURL)
	spec.StateServers.Postgres = offer("postgres-admin", postgresURL)
	return newClass(ctx, w, spec)
}

func onValkey(t *v1alpha1.Tenant) {
	t.Spec.State = &v1alpha1.State{Valkey: &v1alpha1.SharedState{}}
}

func onPostgres(t *v1alpha1.Tenant) {
	t.Spec.State = &v1alpha1.State{Postgres: &v1alpha1.SharedState{}}
}

// tagOf a Tenant of the World.
func tagOf(w *testenv.World, t *v1alpha1.Tenant) string {
	return statestore.Tag(testenv.OwnerID + "/" + w.Namespace + "/production/" + t.Spec.TenantID)
}

// podLogin is what the pods log in by, out of the Secret that they mount.
func podLogin(ctx context.Context, w *testenv.World, t *v1alpha1.Tenant, kind, file string) (url, user, password string) {
	GinkgoHelper()
	url = string(secret(ctx, w, resources.NamesOf(t.Name).Config).Data[file])
	a, err := logins.Parse(kind, url, nil)
	Expect(err).NotTo(HaveOccurred())
	user, password = a.Login()
	return url, user, password
}

// opens tells whether a password lets a Tenant's pods in.
func opens(ctx context.Context, r *servers.RedisServer, user, password string) bool {
	_, err := r.TryDo(ctx, user, password, "PING")
	return err == nil
}

var _ = Describe("a Tenant on its class's Valkey server", func() {
	It("gets a login that reaches its own keys alone, and pods that share the server", func(ctx SpecContext) {
		w, r := newWorld(ctx), servers.Redis(GinkgoTB(), servers.RedisOptions{})
		class := offering(ctx, w, r.URL("default", servers.RedisAdmin), "")
		t := w.ExpectCreated(ctx, "acme", onValkey, testenv.WithClass(class.Name), func(t *v1alpha1.Tenant) { t.Spec.Runtime.Replicas = new(int32(2)) })
		neighbour := w.ExpectCreated(ctx, "other", onValkey, testenv.WithClass(class.Name))
		w.ExpectReady(ctx, t)
		w.ExpectReady(ctx, neighbour)
		Expect(t.Status.State).To(Equal(v1alpha1.StateShared))
		Expect(t.Status.StateDriver).To(Equal("valkey"))
		Expect(t.Condition(v1alpha1.ConditionStatePersistent).Reason).To(Equal(v1alpha1.ReasonShared))

		_, user, password := podLogin(ctx, w, t, "valkey", tenantconfig.StateURLFile)
		Expect(user).To(Equal(statestore.ACLUser(tagOf(w, t))))
		mine, theirs := statestore.KeyPrefix(tagOf(w, t))+"k", statestore.KeyPrefix(tagOf(w, neighbour))+"k"
		_, err := r.TryDo(ctx, user, password, "SET", mine, "1")
		Expect(err).NotTo(HaveOccurred())
		r.Do(GinkgoTB(), "SET", theirs, "c4nary")
		for _, command := range [][]string{{"GET", theirs}, {"SET", theirs, "x"}, {"UNLINK", theirs}, {"SCAN", "0"}, {"ACL", "LIST"}} {
			_, err := r.TryDo(ctx, user, password, command...)
			Expect(err).To(MatchError(ContainSubstring("NOPERM")), "%v", command)
		}

		c := document(ctx, w, t)
		Expect(c.State.Driver).To(Equal("valkey"))
		Expect(c.State.Path).To(BeEmpty())
		Expect(c.Limits.Requests.Replicas).To(Equal(2))
		Expect(c.Limits.Requests.OnStoreFailure).To(Equal("local"))
		d := &appsv1.Deployment{}
		Expect(w.Client.Get(ctx, key(w, "tenant-acme"), d)).To(Succeed())
		Expect(d.Spec.Strategy.Type).To(Equal(appsv1.RollingUpdateDeploymentStrategyType))
		Expect(d.Spec.Template.Spec.Volumes).To(HaveLen(2), "the document and /tmp")
		Expect(w.Client.Get(ctx, key(w, "tenant-acme"), &policyv1.PodDisruptionBudget{})).To(Succeed())
		Expect(w.Client.Get(ctx, key(w, "tenant-acme-state"), &corev1.PersistentVolumeClaim{})).NotTo(Succeed())
		w.ExpectNoWrites(ctx, t)

		By("scaling by load")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.Runtime = v1alpha1.Runtime{Autoscaling: &v1alpha1.Autoscaling{Min: 2, Max: 6}}
		})
		w.ExpectReady(ctx, t)
		Expect(w.Client.Get(ctx, key(w, "tenant-acme"), &autoscalingv2.HorizontalPodAutoscaler{})).To(Succeed())
		Expect(document(ctx, w, t).Limits.Requests.Replicas).To(Equal(6))

		for _, text := range []string{dump(t), w.Logs(), fmt.Sprint(w.Events.All())} {
			Expect(text).NotTo(ContainSubstring(password))
			Expect(text).NotTo(ContainSubstring(servers.RedisAdmin))
		}
	})

	It("gets its login back when the server has forgotten it", func(ctx SpecContext) {
		w, r := newWorld(ctx), servers.Redis(GinkgoTB(), servers.RedisOptions{})
		class := offering(ctx, w, r.URL("default", servers.RedisAdmin), "")
		t := w.ExpectCreated(ctx, "acme", onValkey, testenv.WithClass(class.Name))
		w.ExpectReady(ctx, t)
		_, user, password := podLogin(ctx, w, t, "valkey", tenantconfig.StateURLFile)
		r.Do(GinkgoTB(), "ACL", "DELUSER", user)
		w.Runtime.Tell(func(s *tenantconfig.Status) {
			s.Store = tenantconfig.StoreStatus{Driver: "valkey", Reason: "unauthorized"}
		})
		result := w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionStateStoreReachable).Reason).To(Equal(v1alpha1.ReasonStateLoginFailed))
		Expect(result.RequeueAfter).To(BeNumerically("<", 7*time.Second))
		w.Runtime.Tell(nil)
		w.ExpectReady(ctx, t)
		Expect(opens(ctx, r, user, password)).To(BeTrue())
		Expect(t.Condition(v1alpha1.ConditionStateStoreReachable).Status).To(Equal(metav1.ConditionTrue))
	})

	It("gets a new password when the old one has its age, and the old one works until no pod has it", func(ctx SpecContext) {
		w, r := newWorld(ctx), servers.Redis(GinkgoTB(), servers.RedisOptions{})
		class := offering(ctx, w, r.URL("default", servers.RedisAdmin), "")
		t := w.ExpectCreated(ctx, "acme", onValkey, testenv.WithClass(class.Name))
		w.ExpectReady(ctx, t)
		_, user, old := podLogin(ctx, w, t, "valkey", tenantconfig.StateURLFile)
		w.Clock.SetTime(w.Clock.Now().Add(89 * 24 * time.Hour))
		w.ExpectReady(ctx, t)
		_, _, same := podLogin(ctx, w, t, "valkey", tenantconfig.StateURLFile)
		Expect(same).To(Equal(old))

		w.Clock.SetTime(w.Clock.Now().Add(2 * 24 * time.Hour))
		for range 3 { // the rollout takes its time
			w.ExpectReconciled(ctx, t)
			_, _, password := podLogin(ctx, w, t, "valkey", tenantconfig.StateURLFile)
			Expect(password).NotTo(Equal(old))
			Expect(opens(ctx, r, user, old)).To(BeTrue(), "pods still have it")
			Expect(opens(ctx, r, user, password)).To(BeTrue())
		}
		w.ExpectReady(ctx, t)
		_, _, password := podLogin(ctx, w, t, "valkey", tenantconfig.StateURLFile)
		Expect(opens(ctx, r, user, old)).To(BeFalse())
		Expect(opens(ctx, r, user, password)).To(BeTrue())
		w.ExpectNoWrites(ctx, t)
	})

	It("waits with a sentence for what is missing, and what serves serves on", func(ctx SpecContext) {
		w, r := newWorld(ctx), servers.Redis(GinkgoTB(), servers.RedisOptions{})
		t := w.ExpectCreated(ctx, "acme", onValkey)
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonStateNotOffered)
		Expect(t.Condition(v1alpha1.ConditionCredentialsReady).Message).To(ContainSubstring("spec.stateServers.valkey"))
		Expect(t.Condition(v1alpha1.ConditionCredentialsReady).Status).To(Equal(metav1.ConditionFalse))

		class := newClass(ctx, w, v1alpha1.TenantClassSpec{StateServers: v1alpha1.StateServers{Valkey: &v1alpha1.StateServer{
			AdminSecretRef: v1alpha1.AdminSecretReference{Namespace: w.Namespace, Name: "valkey-admin"},
		}}})
		w.ExpectUpdated(ctx, t, testenv.WithClass(class.Name))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
		admin := urlSecret(w, "valkey-admin", "")
		create(ctx, w, admin)
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretKeyMissing)
		set := func(url string) {
			admin.StringData = map[string]string{"url": url}
			Expect(w.Client.Update(ctx, admin)).To(Succeed())
		}
		set("postgres://u:c4nary@h/d")
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonTokenMalformed)
		set(r.URL("default", "c4nary-wrong"))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonStateLoginFailed)
		Expect(t.Condition(v1alpha1.ConditionReady).Message).To(ContainSubstring("doesn't take the login"))
		r.Stop()
		set(r.URL("default", servers.RedisAdmin))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonStateLoginFailed)
		r.Start(GinkgoTB())
		w.ExpectReady(ctx, t)
		_, user, password := podLogin(ctx, w, t, "valkey", tenantconfig.StateURLFile)

		r.Stop()
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Limits.Requests.PerMinute = new(int32(7)) })
		Expect(w.Restart()).To(Succeed())
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonStateLoginFailed)
		Expect(document(ctx, w, t).Limits.Requests.PerMinute).To(Equal(7), "a change is taken up though the server is away")
		_, _, same := podLogin(ctx, w, t, "valkey", tenantconfig.StateURLFile)
		Expect(same).To(Equal(password), "what the pods have isn't taken from them")
		r.Start(GinkgoTB())
		w.ExpectReady(ctx, t)
		Expect(opens(ctx, r, user, password)).To(BeTrue())
		for _, text := range []string{dump(t), w.Logs()} {
			Expect(text).NotTo(ContainSubstring("c4nary"))
		}
	})
})

// ask runs a query by a URL alone.
func ask(ctx context.Context, url, sql string) (out string, err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	err = c.QueryRow(ctx, sql).Scan(&out)
	return out, err
}

var _ = Describe("a Tenant on PostgreSQL", func() {
	It("sees its own rows by the very URL of its pods, and changes its password by another login", func(ctx SpecContext) {
		w := newWorld(ctx)
		_, admin := servers.Postgres(GinkgoTB()).Database(GinkgoTB())
		class := offering(ctx, w, "", admin)
		t := w.ExpectCreated(ctx, "acme", onPostgres, testenv.WithClass(class.Name))
		neighbour := w.ExpectCreated(ctx, "other", onPostgres, testenv.WithClass(class.Name))
		w.ExpectReady(ctx, t)
		w.ExpectReady(ctx, neighbour)
		url, user, _ := podLogin(ctx, w, t, "postgres", tenantconfig.StateURLFile)
		theirs, _, _ := podLogin(ctx, w, neighbour, "postgres", tenantconfig.StateURLFile)
		keep := func(tag string) string {
			return "INSERT INTO enigma.audit (tenant, at, caller, tool, params_hash, outcome, duration_ns) VALUES ('" + tag + "', 1, 'c', 't', 'p', 'o', 1) RETURNING 'kept'"
		}
		Expect(ask(ctx, theirs, keep(tagOf(w, neighbour)))).To(Equal("kept"))
		Expect(ask(ctx, url, "SELECT count(*)::text FROM enigma.audit")).To(Equal("0"))
		_, err := ask(ctx, url, keep(tagOf(w, neighbour)))
		Expect(err).To(HaveOccurred())
		w.ExpectNoWrites(ctx, t)

		w.Clock.SetTime(w.Clock.Now().Add(91 * 24 * time.Hour))
		w.ExpectReconciled(ctx, t)
		next, other, _ := podLogin(ctx, w, t, "postgres", tenantconfig.StateURLFile)
		Expect(other).NotTo(Equal(user))
		for _, u := range []string{url, next} {
			Expect(ask(ctx, u, "SELECT 'in'")).To(Equal("in"))
		}
		w.ExpectReady(ctx, t)
		_, err = ask(ctx, url, "SELECT 'in'")
		Expect(err).To(HaveOccurred(), "the old login is closed")
		Expect(ask(ctx, next, "SELECT 'in'")).To(Equal("in"))
		w.ExpectNoWrites(ctx, t)
	})

	It("keeps limits elsewhere, on a server of its own", func(ctx SpecContext) {
		w, r := newWorld(ctx), servers.Redis(GinkgoTB(), servers.RedisOptions{})
		_, admin := servers.Postgres(GinkgoTB()).Database(GinkgoTB())
		class := offering(ctx, w, "", admin)
		t := w.ExpectCreated(ctx, "acme", testenv.WithClass(class.Name), func(t *v1alpha1.Tenant) {
			t.Spec.State = &v1alpha1.State{
				LimitsOn: "valkey", Postgres: &v1alpha1.SharedState{},
				Valkey: &v1alpha1.SharedState{SecretRef: &v1alpha1.StateSecretReference{Name: "own-valkey"}},
			}
		})
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
		own := r.URL("default", servers.RedisAdmin)
		create(ctx, w, urlSecret(w, "own-valkey", own+"\n"))
		w.ExpectReady(ctx, t)
		c := document(ctx, w, t)
		Expect(c.State.Driver).To(Equal("postgres"))
		Expect(c.State.LimitsOn).To(Equal("valkey"))
		config := secret(ctx, w, "tenant-acme-config")
		Expect(string(config.Data[c.State.LimitsServer.URLFile])).To(Equal(own), "copied as it is")
		Expect(config.Data[c.State.Server.URLFile]).NotTo(BeEmpty())
		Expect(strings.Contains(config.Annotations[resources.AnnotationLogins], resources.LimitsRole)).To(BeFalse())
		w.ExpectNoWrites(ctx, t)
	})
})
