package v1alpha1_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	tenantIDStays = "spec.tenantID can't change (omitted, it is metadata.name): stored sessions and budgets are kept under it; make a new Tenant instead"
	accountStays  = "spec.upstream.accountRef can't change once set: what the tenant owns lies in that account; make a new Tenant for the other account"
	classStays    = "spec.state.embedded.persistence.storageClassName can't change: a claim stays with its class; make a new Tenant"
	volumeStays   = "spec.state.embedded.persistence can't be removed: the sessions on the volume would be lost to the tenant; set spec.state.valkey or spec.state.postgres to have them moved there, or make a new Tenant with the other state"
	databaseStays = "spec.state.postgres can't be removed: the sessions in the database would be lost to the tenant; make a new Tenant with the other state and load a snapshot into it"
	serverStays   = "spec.state.valkey can't be removed: the sessions on the server would be lost to the tenant; make a new Tenant with the other state and load a snapshot into it"
)

var tenantChanges = []change{
	{"{tenantID: a}", "{tenantID: a, suspend: true}", "{tenantID: b}", "<nil>", tenantIDStays},
	{"{tenantID: a}", "{tenantID: a}", "{}", "<nil>", tenantIDStays},
	{"{}", "{tenantID: changing}", "{tenantID: a}", "<nil>", tenantIDStays},
	{"{environment: staging}", "{environment: staging}", "{environment: production}", "spec", "spec.environment can't change: stored data is kept under it; make a new Tenant for the other environment"},
	{"{environment: staging}", "{environment: staging}", "{}", "spec", "spec.environment can't change"},
	{upstream(cf), upstream(cf + ", gateway: {}"), upstream("type: workersai, accountRef: {name: b}"), "spec.upstream", accountStays},
	{upstream(cf), upstream("type: embedded, accountRef: {name: a}"), upstream("type: embedded"), "spec.upstream", accountStays},
	{"{}", upstream(cf), upstream("type: openai"), "spec.upstream", "spec.upstream.baseURL is required"},
	{volume("size: 1Gi"), volume("size: 2Gi"), volume("size: 1023Mi"), "spec.state.embedded.persistence", "spec.state.embedded.persistence.size can only grow"},
	{volume("storageClassName: a"), volume("storageClassName: a"), volume("storageClassName: b"), "spec.state.embedded.persistence", classStays},
	{volume("storageClassName: a"), volume("storageClassName: a"), volume(""), "spec.state.embedded.persistence", classStays},
	{volume(""), volume(""), volume("storageClassName: a"), "spec.state.embedded.persistence", classStays},
	{volume(""), volume(""), "{}", "spec", volumeStays},
	{volume(""), volume(""), "{state: {}}", "spec", volumeStays},
	{volume(""), volume(""), "{state: {embedded: {ephemeral: {}}}}", "spec", volumeStays},
	{volume(""), state("valkey: {}"), state("embedded: {ephemeral: {}}"), "spec", volumeStays},
	{volume(""), state("postgres: {}"), "{}", "spec", volumeStays},
	{state("postgres: {}"), state("postgres: {secretRef: {name: own}}"), volume(""), "spec", databaseStays},
	{state("postgres: {}"), state("postgres: {}, valkey: {}, limitsOn: valkey"), "{}", "spec", databaseStays},
	{state("postgres: {}, valkey: {}, limitsOn: valkey"), state("postgres: {}"), state("valkey: {}"), "spec", databaseStays},
	{state("valkey: {}"), state("valkey: {secretRef: {name: own}}"), volume(""), "spec", serverStays},
	{state("valkey: {}"), state("valkey: {}"), state("valkey: {}, postgres: {}, limitsOn: valkey"), "spec", serverStays},
	{state("valkey: {}"), state("valkey: {}"), "{}", "spec", serverStays},
	{vectorize("index: {dimensions: 8}"), vectorize("index: {dimensions: 9, replacement: BlueGreen}"), vectorize("index: {dimensions: 9}"), "spec.documents.vectorize.index", "dimensions and metric of an index can't change"},
	{vectorize("index: {dimensions: 8}"), vectorize("index: {dimensions: 8, metadataIndexes: [{property: lang}]}"), onAccount(""), "spec", "spec.documents can't be removed: the tenant's documents lie there; make a new Tenant"},
	{"{state: {embedded: {ephemeral: {}}}}", volume(""), "{state: {embedded: {}}}", "spec.state.embedded", "exactly one of the fields in [persistence ephemeral] must be set"},
}

var accountChanges = []change{
	{account(""), account("gatewayID: other"), "{accountID: " + strings.Repeat("f", 32) + ", credentials: {secretRef: {name: s}}}", "spec.accountID", "can't change: Tenants own things in that account; make a new CloudflareAccount"},
	{account("ownerID: a"), account("ownerID: a, actuation: Paused"), account("ownerID: b"), "spec", "spec.ownerID can't change: what the operator made in the account carries it and would be a stranger's; make a new CloudflareAccount"},
	{account(""), account(""), account("ownerID: b"), "spec", "spec.ownerID can't change"},
}

// keepsVolume is what the schema says of a Tenant whose status tells of a volume that its
// spec never named.
const keepsVolume = "spec.state.embedded.ephemeral can't be set: the tenant already keeps its sessions on a volume, and they would be lost to it; make a new Tenant with the other state"

// keepsServer is the same of a Tenant whose class gave it a server.
const keepsServer = "spec.state.embedded can't be set: the tenant already keeps its sessions on a server, and they would be lost to it; make a new Tenant and load a snapshot into it"

var _ = Describe("A change of", func() {
	for _, c := range tenantChanges {
		It("a Tenant is refused: "+c.from+" → "+c.refused, func(ctx context.Context) { checkChange(ctx, "Tenant", "changing", c) })
	}
	for _, c := range accountChanges {
		It("a CloudflareAccount is refused: "+c.from+" → "+c.refused, func(ctx context.Context) { checkChange(ctx, "CloudflareAccount", "changing", c) })
	}

	for _, c := range bindingChanges {
		It("a CloudflareBinding is refused: "+c.from+" → "+c.refused, func(ctx context.Context) { checkChange(ctx, "CloudflareBinding", "changing", c) })
	}

	DescribeTable("a Tenant whose status tells where its data is", func(ctx context.Context, kept string, refused, accepted, says string) {
		u := object("Tenant", "settled", "{}")
		Expect(api.Create(ctx, u)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, u)).To(Succeed()) })
		to := func(spec string) error {
			next := u.DeepCopy()
			next.Object["spec"] = object("Tenant", "settled", spec).Object["spec"]
			return api.Update(ctx, next, client.DryRunAll)
		}
		Expect(to(refused)).To(Succeed(), "undecided yet")
		u.Object["status"] = map[string]any{"state": kept}
		Expect(api.Status().Update(ctx, u)).To(Succeed())
		Expect(to(refused)).To(MatchError(ContainSubstring(says)))
		Expect(to(accepted)).To(Succeed())
	},
		Entry("on a volume, to memory", "Persistent", state("embedded: {ephemeral: {}}"), state("valkey: {}"), keepsVolume),
		Entry("on a server, to a volume", "Shared", volume(""), state("postgres: {}"), keepsServer),
		Entry("on a server, to memory", "Shared", state("embedded: {ephemeral: {}}"), "{suspend: true}", keepsServer),
	)
})

const badName = "metadata.name must be a DNS label of at most 40 characters (lower-case letters, digits and '-'): it names the tenant's Service and Deployment; choose a shorter or simpler name"

var _ = DescribeTable("A Tenant's name", func(ctx context.Context, name string, good bool) {
	err := dryCreate(ctx, object("Tenant", name, "{}"))
	if good {
		Expect(err).NotTo(HaveOccurred())
		return
	}
	Expect(err).To(MatchError(ContainSubstring(badName)))
},
	Entry("of 40 characters", strings.Repeat("a", 40), true),
	Entry("of one digit", "7", true),
	Entry("of 41 characters", strings.Repeat("a", 41), false),
	Entry("with a dot, which a Service can't have", "a.b", false),
)
