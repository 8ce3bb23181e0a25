package tenant_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

// withStateDocuments keeps documents with the state.
func withStateDocuments(t *v1alpha1.Tenant) {
	t.Spec.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsState}
}

// withServer has a server of tools, with the token of a Secret.
func withServer(name, secret string) testenv.Option {
	return func(t *v1alpha1.Tenant) {
		server := v1alpha1.MCPServer{Name: name, URL: "https://" + name + ".example.com/mcp"}
		if secret != "" {
			server.TokenSecretRef = &v1alpha1.SecretKeyReference{Name: secret}
		}
		if t.Spec.Tools == nil {
			t.Spec.Tools = &v1alpha1.Tools{Enabled: true}
		}
		t.Spec.Tools.MCP = append(t.Spec.Tools.MCP, server)
	}
}

// withOrders has an http tool, with a header from a Secret.
func withOrders(t *v1alpha1.Tenant) {
	t.Spec.Tools = &v1alpha1.Tools{Enabled: true, HTTP: []v1alpha1.HTTPTool{{
		Name: "orders", Description: "Looks up an order.", Method: "GET", URL: "https://orders.example.com/{id}", Effect: v1alpha1.EffectRead,
		SecretHeaders: []v1alpha1.SecretHeader{{Name: "Authorization", Prefix: "Bearer ", SecretRef: v1alpha1.SecretKeyReference{Name: "orders", Key: "key"}}},
	}}}
}

// toolFiles are what the Tenant's pods have of its tools' secrets, by name.
func toolFiles(data map[string][]byte) map[string]string {
	out := map[string]string{}
	for name, value := range data {
		if strings.HasPrefix(name, tenantconfig.ToolSecretPrefix) {
			out[name] = string(value)
		}
	}
	return out
}

var _ = Describe("the secrets of tools", func() {
	It("come to the pods, rotate live and go, and one that is missing stops nothing else", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", withOrders, withServer("crm", "crm"))
		w.ExpectReady(ctx, t)
		tools := t.Condition(v1alpha1.ConditionToolsReady)
		Expect(tools.Reason).To(Equal(v1alpha1.ReasonSecretNotFound))
		Expect(tools.Message).To(And(ContainSubstring("spec.tools.http[orders].secretHeaders[Authorization].secretRef"), ContainSubstring(`"orders"`)))
		Expect(t.Condition(v1alpha1.ConditionCredentialsReady).Status).To(Equal(metav1.ConditionTrue))
		Expect(w.ExpectReconciled(ctx, t).RequeueAfter.Seconds()).To(BeNumerically("<=", 12), "it is looked for")
		w.ExpectNoWrites(ctx, t)

		By("telling of an entry that isn't there, and of a value that no header can hold")
		create(ctx, w, tokenSecret(w, "crm", "c4nary-of-the-crm"))
		orders := tokenSecret(w, "orders", "c4nary-of-another-entry")
		create(ctx, w, orders)
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionToolsReady).Reason).To(Equal(v1alpha1.ReasonSecretKeyMissing))
		orders.Data = map[string][]byte{"key": []byte("c4nary\nwith a line end")}
		orders.StringData = nil
		Expect(w.Client.Update(ctx, orders)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionToolsReady).Reason).To(Equal(v1alpha1.ReasonTokenMalformed))

		By("being there")
		orders.Data["key"] = []byte("c4nary-of-the-orders")
		Expect(w.Client.Update(ctx, orders)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionToolsReady).Reason).To(Equal(v1alpha1.ReasonToolsUsable))
		before := document(ctx, w, t).Tools
		files := toolFiles(secret(ctx, w, "tenant-acme-config").Data)
		Expect(files[before.HTTP[0].SecretHeaders[0].ValueFile] == "c4nary-of-the-orders").To(BeTrue())
		Expect(files[before.MCP[0].TokenFile] == "c4nary-of-the-crm").To(BeTrue())
		pod, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		w.ExpectNoWrites(ctx, t)

		By("rotating one")
		orders.Data["key"] = []byte("c4nary-of-the-orders-2")
		Expect(w.Client.Update(ctx, orders)).To(Succeed())
		w.ExpectReady(ctx, t)
		after := document(ctx, w, t).Tools
		Expect(after.HTTP[0].SecretHeaders[0].Revision).NotTo(Equal(before.HTTP[0].SecretHeaders[0].Revision))
		Expect(after.MCP[0].Revision).To(Equal(before.MCP[0].Revision))
		same, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		Expect(same.UID).To(Equal(pod.UID), "no pod was rolled")

		By("losing one, whose value leaves the pods")
		Expect(w.Client.Delete(ctx, orders)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionToolsReady).Reason).To(Equal(v1alpha1.ReasonSecretNotFound))
		Expect(toolFiles(secret(ctx, w, "tenant-acme-config").Data)).To(HaveLen(1))

		By("having no tools any more")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Tools = nil })
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionToolsReady)).To(BeNil())
		Expect(toolFiles(secret(ctx, w, "tenant-acme-config").Data)).To(BeEmpty())
		for what, text := range map[string]string{"the Tenant": dump(t), "a log": w.Logs(), "an event": fmt.Sprint(w.Events.All())} {
			Expect(strings.Contains(text, "c4nary")).To(BeFalse(), what+" holds a secret")
		}
	})

	It("that don't fit beside the document take their tools away alone", func(ctx SpecContext) {
		w := newWorld(ctx)
		create(ctx, w, tokenSecret(w, "long", strings.Repeat("x", 32<<10)))
		create(ctx, w, tokenSecret(w, "short", "x"))
		t := w.ExpectCreated(ctx, "acme", withServer("long", "long"), withServer("short", "short"))
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionToolsReady).Reason).To(Equal(v1alpha1.ReasonTokenMalformed))
		Expect(t.Condition(v1alpha1.ConditionToolsReady).Message).To(ContainSubstring("spec.tools.mcp[short].tokenSecretRef"))
		Expect(toolFiles(secret(ctx, w, "tenant-acme-config").Data)).To(HaveLen(1))
	})

	It("wake the Tenants that name them", func() {
		t := testenv.NewTenant("shop", "acme", withOrders, withServer("crm", "crm"))
		Expect(tenant.Indexes()["ref.secret"](t)).To(ConsistOf("orders", "crm"))
	})
})

var _ = Describe("tools that don't work", func() {
	It("are told by name, and the Tenant is Ready", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", withServer("crm", ""))
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionToolsReady).Status).To(Equal(metav1.ConditionTrue))
		connecting := tenantconfig.ToolStatus{Name: "crm", Reason: "Connecting", Message: "it is being connected for the first time"}
		w.Runtime.Tell(func(s *tenantconfig.Status) { s.Tools = []tenantconfig.ToolStatus{connecting} })
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionToolsReady).Reason).To(Equal(v1alpha1.ReasonToolsConnecting))
		w.Runtime.Tell(func(s *tenantconfig.Status) {
			s.Tools = []tenantconfig.ToolStatus{connecting, {Name: "a", Reason: "Unreachable", Message: "it can't be reached:\ncheck its url"}}
			for range 9 {
				s.Tools = append(s.Tools, tenantconfig.ToolStatus{Name: "z" + strings.Repeat("z", len(s.Tools)), Reason: "BadServer", Message: strings.Repeat("x", 5000)})
			}
		})
		w.ExpectReady(ctx, t)
		tools := t.Condition(v1alpha1.ConditionToolsReady)
		Expect(tools.Status).To(Equal(metav1.ConditionFalse))
		Expect(tools.Reason).To(Equal(v1alpha1.ReasonToolsFailing))
		Expect(tools.Message).To(HavePrefix(`tool "a": it can't be reached: check its url; tool "crm": it is being connected`))
		Expect(tools.Message).To(HaveSuffix("; and 6 more"))
		Expect(len(tools.Message)).To(BeNumerically("<", 3000))
		w.ExpectNoWrites(ctx, t)

		By("not being known while nobody runs")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Suspend = true })
		Expect(w.Settle(ctx, t)).To(Succeed())
		w.ExpectReconciled(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionToolsReady).Reason).To(Equal(v1alpha1.ReasonNotTold))
	})
})

var _ = Describe("a Tenant's documents", func() {
	It("are told of as the pods do, and the Tenant is Ready whatever they say", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", withStateDocuments)
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionDocumentsReady).Reason).To(Equal(v1alpha1.ReasonDocumentsFound))
		Expect(t.Status.Documents.Model).To(Equal(tenantconfig.EmbeddingLSA))

		w.Runtime.Tell(func(s *tenantconfig.Status) {
			s.Index = tenantconfig.IndexStatus{Documents: 3, Passages: 70, OpenJobs: 2, Model: tenantconfig.EmbeddingLSA}
		})
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionDocumentsReady).Reason).To(Equal(v1alpha1.ReasonIndexLoading))
		Expect(*t.Status.Documents).To(Equal(v1alpha1.DocumentsStatus{Documents: 3, Passages: 70, OpenJobs: 2, Model: tenantconfig.EmbeddingLSA}))
		w.ExpectNoWrites(ctx, t)

		w.Runtime.Tell(func(s *tenantconfig.Status) {
			s.Index.Ready = true
			s.Store = tenantconfig.StoreStatus{Driver: "embedded", Reason: "disk full"}
		})
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionDocumentsReady).Reason).To(Equal(v1alpha1.ReasonDocumentsFailing))
		w.Runtime.Tell(func(s *tenantconfig.Status) {
			s.Documents = tenantconfig.StoreStatus{Driver: tenantconfig.DocumentsVectorize, Reason: "unauthorized"}
		})
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionDocumentsReady).Message).To(ContainSubstring("unauthorized"))

		By("not taking an image that knows of none for an empty index")
		w.Runtime.Tell(func(s *tenantconfig.Status) { s.Index = tenantconfig.IndexStatus{} })
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionDocumentsReady).Reason).To(Equal(v1alpha1.ReasonNotTold))
		w.Runtime.Tell(nil)
		w.ExpectReady(ctx, t)
	})

	It("aren't ready while one of several pods can't find them", func() {
		pod := func(edit func(*tenantconfig.Status)) *tenantconfig.Status {
			s := &tenantconfig.Status{Store: tenantconfig.StoreStatus{OK: true}, Index: tenantconfig.IndexStatus{Ready: true, Documents: 3, Model: "m"}}
			if edit != nil {
				edit(s)
			}
			return s
		}
		loading := pod(func(s *tenantconfig.Status) { s.Index.Ready = false })
		away := pod(func(s *tenantconfig.Status) { s.Store.OK = false })
		t := testenv.NewTenant("shop", "acme", withStateDocuments)
		for _, c := range []struct {
			pods []*tenantconfig.Status
			want string
		}{
			{[]*tenantconfig.Status{pod(nil), pod(nil)}, v1alpha1.ReasonDocumentsFound},
			{[]*tenantconfig.Status{pod(nil), nil}, v1alpha1.ReasonDocumentsFound},
			{[]*tenantconfig.Status{pod(nil), nil, loading}, v1alpha1.ReasonIndexLoading},
			{[]*tenantconfig.Status{loading, away}, v1alpha1.ReasonDocumentsFailing},
			{[]*tenantconfig.Status{away, loading}, v1alpha1.ReasonDocumentsFailing},
		} {
			tenant.DocumentsOf(t, c.pods...)
			Expect(t.Condition(v1alpha1.ConditionDocumentsReady).Reason).To(Equal(c.want))
		}
		Expect(t.Status.Documents.Documents).To(Equal(int64(3)))
	})

	It("come with memory, by one roll of the pods", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		Expect(t.Condition(v1alpha1.ConditionDocumentsReady)).To(BeNil())
		Expect(t.Status.Documents).To(BeNil())
		w.ExpectUpdated(ctx, t, withStateDocuments)
		w.ExpectReady(ctx, t)
		d := &appsv1.Deployment{}
		Expect(w.Client.Get(ctx, key(w, resources.NamesOf("acme").Base), d)).To(Succeed())
		Expect(d.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().String()).To(Equal("768Mi"))
		pod, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())

		By("changing live how they are searched")
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.Documents.FetchHosts, t.Spec.Documents.MaxPassages = []string{"docs.example.com"}, 7
			t.Spec.Playground = true
		})
		w.ExpectReady(ctx, t)
		Expect(document(ctx, w, t).Documents.MaxPassages).To(Equal(7))
		same, err := w.Pod(ctx, t)
		Expect(err).NotTo(HaveOccurred())
		Expect(same.UID).To(Equal(pod.UID))
		w.ExpectNoWrites(ctx, t)
	})
})
