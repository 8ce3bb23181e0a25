package v1alpha1_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
)

func server(ref string) string { return "{stateServers: {valkey: {adminSecretRef: {" + ref + "}}}}" }

func price(fields string) string { return "{prices: [{model: m, " + fields + "}]}" }

var classRules = []rule{
	{"{image: 'ghcr.io/a/b@sha256:0123'}", "{image: 'a b'}", "spec.image", "must be an image reference"},
	{"{imagePullPolicy: Never}", "{imagePullPolicy: Sometimes}", "spec.imagePullPolicy", `supported values: "Always", "IfNotPresent", "Never"`},
	{"{podPatch: {spec: {nodeSelector: {a: b}}}}", "{podPatch: 3}", "spec.podPatch", "must be of type object"},
	{"{resources: {requests: {cpu: 0}}}", "{resources: {requests: {cpu: -1}}}", "spec.resources", "spec.resources.requests must not be negative"},
	{"{resources: {limits: {cpu: 1}}}", "{resources: {limits: {cpu: 0}}}", "spec.resources", "spec.resources.limits must be above 0"},
	{"{resources: {limits: {memory: 32Mi}}}", "{resources: {limits: {memory: 31Mi}}}", "spec.resources", "spec.resources.limits.memory must be at least 32Mi: the runtime needs so much to start; a bare number is bytes, for example write 256Mi"},
	{"{resources: {requests: {cpu: 1}, limits: {cpu: 1}}}", "{resources: {requests: {cpu: 2}, limits: {cpu: 1}}}", "spec.resources", "spec.resources.requests must not exceed the limits of the same name"},
	{"{resources: {claims: []}}", "{resources: {claims: [{name: gpu}]}}", "spec.resources", "spec.resources.claims must be empty: the tenant's pods claim no devices; remove it"},
	{"{maxResources: {memory: 1Gi}}", "{maxResources: {memory: 0}}", "spec.maxResources", "must be above 0"},
	{"{maxReplicas: 1}", "{maxReplicas: 0}", "spec.maxReplicas", "should be greater than or equal to 1"},
	{"{limits: {perMinute: 5}, maxLimits: {perMinute: 5}}", "{limits: {perMinute: 6}, maxLimits: {perMinute: 5}}", "spec", "spec.limits.perMinute must not exceed spec.maxLimits.perMinute: every tenant that names none would be refused"},
	{"{limits: {burst: 5}, maxLimits: {burst: 5}}", "{limits: {burst: 6}, maxLimits: {burst: 5}}", "spec", "spec.limits.burst must not exceed spec.maxLimits.burst: every tenant that names none would be refused"},
	{"{limits: {dailyTokens: 5}, maxLimits: {dailyTokens: 5}}", "{limits: {dailyTokens: 6}, maxLimits: {dailyTokens: 5}}", "spec", "spec.limits.dailyTokens must not exceed spec.maxLimits.dailyTokens: every tenant that names none would be refused"},
	{"{limits: {monthlyTokens: 5}, maxLimits: {monthlyTokens: 5}}", "{limits: {monthlyTokens: 6}, maxLimits: {monthlyTokens: 5}}", "spec", "spec.limits.monthlyTokens must not exceed spec.maxLimits.monthlyTokens: every tenant that names none would be refused"},
	{"{limits: {bodyBytes: 1Mi}, maxLimits: {bodyBytes: 1Mi}}", "{limits: {bodyBytes: 2Mi}, maxLimits: {bodyBytes: 1Mi}}", "spec", "spec.limits.bodyBytes must not exceed spec.maxLimits.bodyBytes: every tenant that names none would be refused"},
	{"{limits: {passages: 5}, maxLimits: {passages: 5}}", "{limits: {passages: 6}, maxLimits: {passages: 5}}", "spec", "spec.limits.passages must not exceed spec.maxLimits.passages: every tenant that names none would be refused"},
	{"{maxLimits: {passages: 2000000}}", "{maxLimits: {passages: 2000001}}", "spec.maxLimits.passages", "should be less than or equal to 2000000"},
	{"{maxLimits: {bodyBytes: 1Ki}}", "{maxLimits: {bodyBytes: 1}}", "spec.maxLimits.bodyBytes", "must be from 1Ki to 64Mi"},
	{"{limits: {perMinute: 1}}", "{limits: {perMinute: 0}}", "spec.limits.perMinute", "should be greater than or equal to 1"},
	{"{models: {chat: a}}", "{models: {chat: 'a b'}}", "spec.models.chat", "must be a model's name without spaces, in ASCII"},
	{"{models: {allowed: [a]}}", "{models: {allowed: ['a b']}}", "spec.models.allowed[0]", "must hold models' names without spaces, in ASCII"},
	{"{models: {chat: a, allowed: [a]}}", "{models: {chat: a, allowed: [b]}}", "spec.models", "spec.models.allowed must hold spec.models.chat: every tenant that names no model would be refused"},
	{price("input: '0.045', output: 0"), price("input: -1, output: 0"), "spec.prices[0].input", "must be from 0 to 1000000 US dollars"},
	{price("input: 0, output: '0.384'"), price("input: 0, output: 2M"), "spec.prices[0].output", "must be from 0 to 1000000 US dollars"},
	{price("input: 0, output: 0"), price("input: 0"), "spec.prices[0].output", "Required value"},
	{price("input: 0, output: 0"), "{prices: [{model: 'a b', input: 0, output: 0}]}", "spec.prices[0].model", "must be a model's name without spaces, in ASCII"},
	{price("input: 0, output: 0"), "{prices: [{model: m, input: 0, output: 0}, {model: m, input: 1, output: 1}]}", "spec.prices[1]", "Duplicate value"},
	{"{hostSuffixes: [{suffix: .apps.example.com}]}", "{hostSuffixes: [{suffix: '*.example.com'}]}", "spec.hostSuffixes[0].suffix", "must be a domain in lower case, for example .apps.example.com"},
	{"{hostSuffixes: [{suffix: example.com}]}", "{hostSuffixes: [{suffix: example..com}]}", "spec.hostSuffixes[0].suffix", "must be a domain in lower case"},
	{"{state: {embedded: {ephemeral: {}}}}", "{state: {embedded: {}}}", "spec.state.embedded", "exactly one of the fields in [persistence ephemeral] must be set"},
	{"{state: {embedded: {persistence: {size: 16Mi}}}}", "{state: {embedded: {persistence: {size: 1Mi}}}}", "spec.state.embedded.persistence.size", "must be at least 16Mi"},
	{"{state: {valkey: {}}}", "{state: {valkey: {}, postgres: {}}}", "spec.state", twoStores},
	{server("namespace: platform, name: valkey"), server("namespace: plat.form, name: valkey"), "spec.stateServers.valkey.adminSecretRef.namespace", "adminSecretRef.namespace must be the name of a namespace: lower-case letters, digits and '-'"},
	{server("namespace: platform, name: valkey.admin"), server("namespace: platform, name: Valkey"), "spec.stateServers.valkey.adminSecretRef.name", "adminSecretRef.name must be the name of a Secret: lower-case letters, digits, '-' and '.'"},
	{server("namespace: platform, name: v"), "{stateServers: {valkey: {}}}", "spec.stateServers.valkey.adminSecretRef", "Required value"},
	{"{stateServers: {postgres: {adminSecretRef: {namespace: p, name: s}, rotateAfter: 1h}}}", "{stateServers: {postgres: {adminSecretRef: {namespace: p, name: s}, rotateAfter: 59m}}}", "spec.stateServers.postgres.rotateAfter", "spec.stateServers rotateAfter must be from 1h to 8760h"},
	{"{deletionPolicy: Retain}", "{deletionPolicy: Maybe}", "spec.deletionPolicy", `supported values: "Retain", "Delete"`},
}

const accountID = "0123456789abcdef0123456789abcdef"

func account(fields string) string {
	return "{accountID: " + accountID + ", credentials: {secretRef: {name: s}}, " + fields + "}"
}

var accountRules = []rule{
	{account(""), "{accountID: my-account, credentials: {secretRef: {name: s}}}", "spec.accountID", "must be 32 lower-case hexadecimal digits, as the dashboard shows it"},
	{account(""), "{accountID: " + strings.ToUpper(accountID) + ", credentials: {secretRef: {name: s}}}", "spec.accountID", "must be 32 lower-case hexadecimal digits"},
	{account(""), "{accountID: " + accountID + "}", "spec.credentials", "Required value"},
	{account(""), "{accountID: " + accountID + ", credentials: {secretRef: {name: S}}}", "spec.credentials.secretRef.name", "must be the name of a Secret in the same namespace"},
	{account(""), "{accountID: " + accountID + ", credentials: {secretRef: {name: s, key: a/b}}}", "spec.credentials.secretRef.key", "must be a key of the Secret's data"},
	{account("gatewayID: my_gateway-1"), account("gatewayID: My--gateway"), "spec.gatewayID", "must be lower-case letters, digits, '_' and single '-'"},
	{account("endpoint: 'https://proxy.example/ai'"), account("endpoint: proxy.example"), "spec.endpoint", "must be an http or https address without user name, query or fragment"},
	{account("endpoint: 'http://127.0.0.1:8080'"), account("endpoint: 'https://a@b.example'"), "spec.endpoint", "must be an http or https address"},
	{account("apiEndpoint: 'https://proxy.example/client/v4'"), account("apiEndpoint: 'https://proxy.example/client/v4?x=y'"), "spec.apiEndpoint", "spec.apiEndpoint must be an http or https address without user name, query or fragment"},
	{account("s3Endpoint: 'https://s3.example'"), account("s3Endpoint: 's3://bucket'"), "spec.s3Endpoint", "spec.s3Endpoint must be an http or https address without user name, query or fragment"},
	{account("tenantTokens: Share"), account("tenantTokens: None"), "spec.tenantTokens", `supported values: "Mint", "Share"`},
	{account("actuation: DryRun"), account("actuation: Off"), "spec.actuation", `supported values: "Reconciling", "Paused", "DryRun"`},
	{account("apiBudget: {requests: 10}"), account("apiBudget: {requests: 9}"), "spec.apiBudget.requests", "should be greater than or equal to 10"},
	{account("apiBudget: {window: 1h}"), account("apiBudget: {window: 61m}"), "spec.apiBudget.window", "spec.apiBudget.window must be from 1s to 1h"},
	{account("apiBudget: {reservePercent: 0}"), account("apiBudget: {reservePercent: 91}"), "spec.apiBudget.reservePercent", "should be less than or equal to 90"},
	{account("ownerID: eu-west-1"), account("ownerID: EU"), "spec.ownerID", "spec.ownerID must be lower-case letters, digits and '-', with a letter or digit at both ends"},
	{account("allowedNamespaces: {from: Selector, selector: {matchLabels: {a: b}}}"), account("allowedNamespaces: {from: Selector}"), "spec.allowedNamespaces", "spec.allowedNamespaces.selector goes with from: Selector, and only with it"},
	{account("allowedNamespaces: {from: All}"), account("allowedNamespaces: {from: All, selector: {}}"), "spec.allowedNamespaces", "goes with from: Selector, and only with it"},
	{account("allowedNamespaces: {from: Same}"), account("allowedNamespaces: {from: Some}"), "spec.allowedNamespaces.from", `supported values: "Same", "Selector", "All"`},
}

var _ = Describe("A TenantClass", func() {
	for _, r := range classRules {
		It("is refused: "+r.refused, func(ctx context.Context) { check(ctx, "TenantClass", r) })
	}
})

var _ = Describe("A CloudflareAccount", func() {
	for _, r := range accountRules {
		It("is refused: "+r.refused, func(ctx context.Context) { check(ctx, "CloudflareAccount", r) })
	}
})
