package v1alpha1_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// tenantDefaults is the whole of what a Tenant gets that says nothing.
const tenantDefaults = `
environment: production
suspend: false
deletionProtection: true
upstream: {type: embedded}
playground: false
prompt: {maxTokens: 1024, summarize: false}
auth:
  mode: apiKey
  keys: [{name: default, trustUserHeader: false, revision: 1, gracePeriod: 24h}]
limits:
  requests: {windowSec: 60, onStoreFailure: local}
  messageChars: 10000
sessions: {retentionDays: 30, maxMessages: 1000}
`

// accountDefaults is the same for a CloudflareAccount.
const accountDefaults = `
accountID: ` + accountID + `
credentials: {secretRef: {name: s, key: token}}
tenantTokens: Mint
apiBudget: {requests: 1200, window: 5m, reservePercent: 20}
actuation: Reconciling
allowedNamespaces: {from: Same}
`

var _ = Describe("Defaults", func() {
	spec := func(u *unstructured.Unstructured) string {
		GinkgoHelper()
		out, err := yaml.Marshal(u.Object["spec"])
		Expect(err).NotTo(HaveOccurred())
		return string(out)
	}
	It("fill a Tenant whose spec is empty, and one without a spec, alike", func(ctx context.Context) {
		for _, empty := range []string{"{}", ""} {
			u := object("Tenant", "bare", empty)
			Expect(dryCreate(ctx, u)).To(Succeed())
			Expect(spec(u)).To(MatchYAML(tenantDefaults))
			generation, found, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
			Expect(err).NotTo(HaveOccurred())
			Expect(found).To(BeTrue())
			Expect(generation).To(Equal(int64(-1)), "a client must not take an unseen Tenant for a settled one")
		}
	})
	It("fill what is named but empty", func(ctx context.Context) {
		u := object("Tenant", "bare", "{auth: {}, upstream: {}, sessions: {}, limits: {requests: {}}, prompt: {}, "+
			"budget: {monthlyUSD: 5}, state: {embedded: {persistence: {}}}}")
		Expect(dryCreate(ctx, u)).To(Succeed())
		Expect(spec(u)).To(MatchYAML(tenantDefaults + `
budget: {monthlyUSD: 5, onExceeded: Block}
state: {embedded: {persistence: {size: 1Gi}}}
`))
	})
	It("fill a TenantClass", func(ctx context.Context) {
		u := object("TenantClass", "bare", "")
		Expect(dryCreate(ctx, u)).To(Succeed())
		Expect(spec(u)).To(MatchYAML("{default: false, allowPrivateTools: false}"))
	})
	It("fill a CloudflareAccount that says no more than it must", func(ctx context.Context) {
		u := object("CloudflareAccount", "bare", account(""))
		Expect(dryCreate(ctx, u)).To(Succeed())
		Expect(spec(u)).To(MatchYAML(accountDefaults))
	})
	It("fill each block of a CloudflareBinding", func(ctx context.Context) {
		const all = "accountRef: {name: a}\nadoption: IfOwned\npollInterval: 10m\n"
		for kind, c := range map[string][2]string{
			"KV":        {"", ""},
			"D1":        {"d1: {}", "d1: {readReplication: disabled}"},
			"R2":        {"r2: {}", "r2: {jurisdiction: default, storageClass: Standard}"},
			"Vectorize": {"vectorize: {dimensions: 8, metadataIndexes: [{property: a}]}", "vectorize: {dimensions: 8, metric: cosine, replacement: Never, metadataIndexes: [{property: a, type: string}]}"},
			"AIGateway": {"aiGateway: {rateLimit: {requests: 5}}", "aiGateway: {collectLogs: false, authentication: true, rateLimit: {requests: 5, interval: 1m, technique: sliding}}"},
			"APIToken":  {"apiToken: {permissions: [p]}", "apiToken: {permissions: [p], revision: 1, rotateAfter: 2160h, overlap: 1h}"},
		} {
			u := object("CloudflareBinding", "bare", binding(kind, c[0]))
			Expect(dryCreate(ctx, u)).To(Succeed())
			Expect(spec(u)).To(MatchYAML(all + "type: " + kind + "\n" + c[1]))
			generation, _, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
			Expect(err).NotTo(HaveOccurred())
			Expect(generation).To(Equal(int64(-1)))
		}
	})
	It("fill the server of a class, and a Tenant's gateway and index", func(ctx context.Context) {
		class := object("TenantClass", "bare", server("namespace: p, name: s"))
		Expect(dryCreate(ctx, class)).To(Succeed())
		Expect(spec(class)).To(MatchYAML("{default: false, allowPrivateTools: false, stateServers: {valkey: {adminSecretRef: {namespace: p, name: s}, rotateAfter: 2160h}}}"))
		u := object("Tenant", "bare", "{upstream: {type: workersai, accountRef: {name: a}, gateway: {}}, documents: {store: vectorize, vectorize: {index: {dimensions: 8}}}}")
		Expect(dryCreate(ctx, u)).To(Succeed())
		Expect(u.Object["spec"]).To(And(
			HaveKeyWithValue("upstream", HaveKeyWithValue("gateway", Equal(map[string]any{"mode": "Shared", "collectLogs": false}))),
			HaveKeyWithValue("documents", HaveKeyWithValue("vectorize", HaveKeyWithValue("index", Equal(map[string]any{"dimensions": int64(8), "metric": "cosine", "replacement": "Never"})))),
		))
	})
	It("fill a CloudflareAccount's blocks", func(ctx context.Context) {
		u := object("CloudflareAccount", "bare", account("gatewayID: mine, apiBudget: {}, allowedNamespaces: {}"))
		Expect(dryCreate(ctx, u)).To(Succeed())
		Expect(spec(u)).To(MatchYAML(accountDefaults + "gatewayID: mine"))
	})
	It("stay where they are when the same manifest is applied again", func(ctx context.Context) {
		apply := func() string {
			u := object("Tenant", "again", "{}")
			Expect(api.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("user"))).To(Succeed())
			return u.GetResourceVersion()
		}
		apply()
		DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, object("Tenant", "again", ""))).To(Succeed()) })
		second := apply() // stores the status's default, which creation drops
		Expect(apply()).To(Equal(second))
	})
})

// The server bounds what the rules of one request may cost while they run, and not only
// what it estimates when the CRD is installed.
var _ = Describe("The largest legal", func() {
	name253 := strings.Repeat(strings.Repeat("a", 62)+".", 4) + "a"
	variables, labels := map[string]string{}, map[string]string{}
	var system strings.Builder
	for i := range 64 {
		name := fmt.Sprintf("v%062d", i)
		variables[name] = strings.Repeat("x", 4096)
		system.WriteString("{{" + name + "}}")
	}
	system.WriteString(strings.Repeat("x", 32768-system.Len()))
	for i := range 32 {
		labels[fmt.Sprintf("example.com/%061d", i)] = strings.Repeat("b", 63)
	}
	host := func(i int) string { return fmt.Sprintf("h%061d.", i) + name253[63:] }
	each := func(n int, entry func(int) any) []any {
		entries := make([]any, n)
		for i := range entries {
			entries[i] = entry(i)
		}
		return entries
	}
	spec := map[string]any{
		"classRef": map[string]any{"name": name253},
		"tenantID": strings.Repeat("a", 40),
		"upstream": map[string]any{"type": "openai", "baseURL": "https://" + name253 + "/" + strings.Repeat("p", 1700),
			"credentialsSecretRef": map[string]any{"name": name253, "key": strings.Repeat("k", 253)}},
		"models": map[string]any{
			"chat":      strings.Repeat("m", 256),
			"fallbacks": each(8, func(i int) any { return fmt.Sprintf("f%0255d", i) }),
			"allowed":   append(each(63, func(i int) any { return fmt.Sprintf("a%0255d", i) }), strings.Repeat("m", 256)),
		},
		"prompt": map[string]any{"system": system.String(), "variables": variables},
		"auth": map[string]any{"keys": each(64, func(i int) any {
			return map[string]any{"name": fmt.Sprintf("k%039d", i), "gracePeriod": "720h",
				"secretRef": map[string]any{"name": name253, "key": fmt.Sprintf("k%0252d", i)}}
		})},
		"cors":           map[string]any{"origins": each(64, func(i int) any { return "https://" + host(i)[:240] + "a" })},
		"trustedProxies": each(32, func(i int) any { return fmt.Sprintf("2001:db8:%x::/48", i) }),
		"exposure": map[string]any{"hosts": each(16, func(i int) any { return host(i) }),
			"gateway": map[string]any{"name": name253, "namespace": strings.Repeat("n", 63), "sectionName": name253}},
		"runtime": map[string]any{
			"nodeSelector": labels, "priorityClassName": name253,
			"resources": map[string]any{"requests": map[string]any{"cpu": "1", "memory": "1Gi"}, "limits": map[string]any{"cpu": "1", "memory": "1Gi"}},
			"tolerations": each(32, func(i int) any {
				return map[string]any{"key": fmt.Sprintf("k%062d", i), "operator": "Equal", "value": strings.Repeat("v", 63), "effect": "NoExecute", "tolerationSeconds": 60}
			}),
		},
	}
	It("Tenant is accepted, created and changed", func(ctx context.Context) {
		text, err := yaml.Marshal(spec)
		Expect(err).NotTo(HaveOccurred())
		u := object("Tenant", strings.Repeat("a", 40), string(text))
		Expect(api.Create(ctx, u, client.FieldValidation("Strict"))).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, u)).To(Succeed()) })
		Expect(unstructured.SetNestedField(u.Object, true, "spec", "suspend")).To(Succeed())
		Expect(api.Update(ctx, u)).To(Succeed())
	})
	It("TenantClass is accepted", func(ctx context.Context) {
		text, err := yaml.Marshal(map[string]any{
			"image":  strings.Repeat("i", 512),
			"models": map[string]any{"allowed": each(256, func(i int) any { return fmt.Sprintf("m%0255d", i) })},
			"prices": each(256, func(i int) any {
				return map[string]any{"model": fmt.Sprintf("m%0255d", i), "input": "0.045", "output": "0.384"}
			}),
			"hostSuffixes": each(64, func(i int) any { return map[string]any{"suffix": host(i)} }),
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(dryCreate(ctx, object("TenantClass", "largest", string(text)))).To(Succeed())
	})
})
