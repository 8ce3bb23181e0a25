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
	volumeStays   = "spec.state.embedded.persistence can't be removed: the sessions on the volume would be lost to the tenant; make a new Tenant with the other state"
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
	{"{state: {embedded: {ephemeral: {}}}}", volume(""), "{state: {embedded: {}}}", "spec.state.embedded", "exactly one of the fields in [persistence ephemeral] must be set"},
}

var accountChanges = []change{
	{account(""), account("gatewayID: other"), "{accountID: " + strings.Repeat("f", 32) + ", credentials: {secretRef: {name: s}}}", "spec.accountID", "can't change: Tenants own things in that account; make a new CloudflareAccount"},
}

// keepsVolume is what the schema says of a Tenant whose status tells of a volume that its
// spec never named.
const keepsVolume = "spec.state.embedded.ephemeral can't be set: the tenant already keeps its sessions on a volume, and they would be lost to it; make a new Tenant with the other state"

var _ = Describe("A change of", func() {
	for _, c := range tenantChanges {
		It("a Tenant is refused: "+c.from+" → "+c.refused, func(ctx context.Context) { checkChange(ctx, "Tenant", "changing", c) })
	}
	for _, c := range accountChanges {
		It("a CloudflareAccount is refused: "+c.from+" → "+c.refused, func(ctx context.Context) { checkChange(ctx, "CloudflareAccount", "changing", c) })
	}

	It("a Tenant that got its volume by default to ephemeral state is refused", func(ctx context.Context) {
		u := object("Tenant", "settled", "{}")
		Expect(api.Create(ctx, u)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, u)).To(Succeed()) })
		ephemeral := object("Tenant", "settled", "{state: {embedded: {ephemeral: {}}}}").Object["spec"]

		undecided := u.DeepCopy()
		undecided.Object["spec"] = ephemeral
		Expect(api.Update(ctx, undecided, client.DryRunAll)).To(Succeed())

		u.Object["status"] = map[string]any{"state": "Persistent"}
		Expect(api.Status().Update(ctx, u)).To(Succeed())
		decided := u.DeepCopy()
		decided.Object["spec"] = ephemeral
		err := api.Update(ctx, decided, client.DryRunAll)
		Expect(err).To(MatchError(ContainSubstring(keepsVolume)))
	})
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
