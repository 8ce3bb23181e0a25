package v1alpha1_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
)

// of repeats a YAML list entry, %d being its number.
func of(n int, entry string) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = entry
		if strings.Contains(entry, "%d") {
			entries[i] = fmt.Sprintf(entry, i)
		}
	}
	return "[" + strings.Join(entries, ", ") + "]"
}

const (
	secret = "secretRef: {name: s}"
	openai = "type: openai, baseURL: 'http://m/v1'"
	cf     = "type: workersai, accountRef: {name: a}"
)

func key(fields string) string    { return "{auth: {keys: [{name: k, " + fields + "}]}}" }
func tol(fields string) string    { return "{runtime: {tolerations: [{" + fields + "}]}}" }
func volume(fields string) string { return "{state: {embedded: {persistence: {" + fields + "}}}}" }
func gateway(fields string) string {
	return "{exposure: {hosts: [a.example], gateway: {" + fields + "}}}"
}
func resources(fields string) string { return "{runtime: {resources: {" + fields + "}}}" }
func upstream(fields string) string  { return "{upstream: {" + fields + "}}" }
func baseURL(url string) string      { return upstream("type: openai, baseURL: '" + url + "'") }

const badBaseURL = "must be an http or https address without user name, query or fragment, for example http://ollama.models:11434/v1"

var identityRules = []rule{
	{"{classRef: {name: gold.v1}}", "{classRef: {name: Gold}}", "spec.classRef.name", "must be the name of a TenantClass"},
	{"{classRef: {name: gold}}", "{classRef: {}}", "spec.classRef.name", "Required value"},
	{"{tenantID: acme-1}", "{tenantID: -acme}", "spec.tenantID", "must be a DNS label: lower-case letters, digits and '-', with a letter or digit at both ends"},
	{"{tenantID: " + strings.Repeat("a", 40) + "}", "{tenantID: " + strings.Repeat("a", 41) + "}", "spec.tenantID", "may not be more than 40"},
	{"{environment: staging}", "{environment: prod}", "spec.environment", `supported values: "development", "staging", "production"`},
	{"{deletionPolicy: Delete}", "{deletionPolicy: Keep}", "spec.deletionPolicy", `supported values: "Retain", "Delete"`},
	{"{}", "{colour: blue}", "", `unknown field "spec.colour"`},
}

var modelRules = []rule{
	{upstream(openai), upstream("type: openai"), "spec.upstream", "spec.upstream.baseURL is required with type openai: the server's address up to and with /v1, for example http://ollama.models:11434/v1"},
	{upstream("type: embedded"), upstream("type: embedded, baseURL: 'http://m/v1'"), "spec.upstream", "spec.upstream.baseURL is only for type openai; remove it, or set spec.upstream.type to openai"},
	{upstream(openai + ", credentialsSecretRef: {name: s}"), upstream(cf + ", credentialsSecretRef: {name: s}"), "spec.upstream", "spec.upstream.credentialsSecretRef is only for type openai; Workers AI takes its token from the CloudflareAccount"},
	{upstream(cf), upstream("type: workersai"), "spec.upstream", "spec.upstream.accountRef is required with type workersai: name a CloudflareAccount"},
	{upstream(cf + ", gateway: {}"), upstream(openai + ", gateway: {}"), "spec.upstream", "spec.upstream.gateway is only for type workersai; remove it"},
	{upstream("type: embedded"), upstream("type: ollama"), "spec.upstream.type", `supported values: "embedded", "openai", "workersai"`},
	{baseURL("https://user-less.example:8443/openai/v1"), baseURL("m:11434/v1"), "spec.upstream.baseURL", badBaseURL},
	{baseURL("http://[::1]:8080/v1"), baseURL("ftp://m/v1"), "spec.upstream.baseURL", badBaseURL},
	{baseURL("http://m"), baseURL("http:///v1"), "spec.upstream.baseURL", badBaseURL},
	{baseURL("http://m/v1/"), baseURL("http://me:pw@m/v1"), "spec.upstream.baseURL", badBaseURL},
	{baseURL("http://m/v1"), baseURL("http://m/v1?key=x"), "spec.upstream.baseURL", badBaseURL},
	{baseURL("http://m/v1"), baseURL("http://m/v1#x"), "spec.upstream.baseURL", badBaseURL},
	{baseURL("http://m/v1"), baseURL("http://m/v1/chat/completions"), "spec.upstream.baseURL", "must end before /chat/completions"},
	{upstream(openai + ", credentialsSecretRef: {name: s, key: api.key}"), upstream(openai + ", credentialsSecretRef: {name: S_}"), "spec.upstream.credentialsSecretRef.name", "must be the name of a Secret in the same namespace"},
	{upstream(openai + ", credentialsSecretRef: {name: s, key: API_KEY}"), upstream(openai + ", credentialsSecretRef: {name: s, key: a/b}"), "spec.upstream.credentialsSecretRef.key", "must be a key of the Secret's data"},
	{upstream("type: workersai, accountRef: {name: a.b}"), upstream("type: workersai, accountRef: {name: a_b}"), "accountRef.name", "must be the name of a CloudflareAccount"},
	{upstream("type: workersai, accountRef: {name: a, namespace: b}"), upstream("type: workersai, accountRef: {name: a, namespace: b.c}"), "spec.upstream.accountRef.namespace", "must be the name of a namespace"},
	{upstream(cf + ", gateway: {cacheTTL: 60s}"), upstream(cf + ", gateway: {cacheTTL: 59s}"), "spec.upstream.gateway.cacheTTL", "must be 0s (off) or from 60s to 720h"},
	{upstream(cf + ", gateway: {cacheTTL: 0s}"), upstream(cf + ", gateway: {cacheTTL: 721h}"), "spec.upstream.gateway.cacheTTL", "must be 0s (off) or from 60s to 720h"},
	{upstream(cf + ", gateway: {cacheTTL: 720h}"), upstream(cf + ", gateway: {cacheTTL: 1d}"), "spec.upstream.gateway.cacheTTL", "must be 0s (off) or from 60s to 720h"},
	{upstream(cf + ", gateway: {mode: Dedicated, bindingRef: {name: g.h}}"), upstream(cf + ", gateway: {bindingRef: {name: g}}"), "spec.upstream.gateway", "spec.upstream.gateway.bindingRef names a gateway other than the account's shared one; set spec.upstream.gateway.mode to Dedicated with it"},
	{upstream(cf + ", gateway: {mode: Dedicated, bindingRef: {name: g}}"), upstream(cf + ", gateway: {mode: Dedicated, bindingRef: {name: G}}"), "spec.upstream.gateway.bindingRef.name", "must be the name of a CloudflareBinding in the same namespace: lower-case letters, digits, '-' and '.'"},
	{upstream(cf + ", gateway: {mode: Shared}"), upstream(cf + ", gateway: {mode: Own}"), "spec.upstream.gateway.mode", `supported values: "Shared", "Dedicated"`},
	{"{models: {chat: '@cf/meta/llama-3.1-8b-instruct-fast'}}", "{models: {chat: 'llama 3'}}", "spec.models.chat", "must be a model's name without spaces, in ASCII"},
	{"{models: {fallbacks: [a, b]}}", "{models: {fallbacks: ['a b']}}", "spec.models.fallbacks[0]", "must hold models' names without spaces, in ASCII"},
	{"{models: {fallbacks: [a, b]}}", "{models: {fallbacks: [a, a]}}", "spec.models.fallbacks", "must name each model once"},
	{"{models: {fallbacks: " + of(8, "m%d") + "}}", "{models: {fallbacks: " + of(9, "m%d") + "}}", "spec.models.fallbacks", "must have at most 8 items"},
	{"{models: {chat: a, fallbacks: [b]}}", "{models: {chat: a, fallbacks: [b, a]}}", "spec.models", "spec.models.fallbacks must not hold spec.models.chat: it has failed when a fallback is asked"},
	{"{models: {allowed: [a]}}", "{models: {allowed: [ä]}}", "spec.models.allowed[0]", "must hold models' names without spaces, in ASCII"},
	{"{models: {allowed: [a, b]}}", "{models: {allowed: [a, a]}}", "spec.models.allowed[1]", "Duplicate value"},
	{"{models: {chat: a, allowed: [a, b]}}", "{models: {chat: a, allowed: [b]}}", "spec.models", "spec.models.allowed must hold spec.models.chat: without it every request that names no model would be refused"},
	{"{prompt: {system: 'Hi {{ name }} {not}', variables: {name: x}}}", "{prompt: {system: 'Hi {{name}}', variables: {other: x}}}", "spec.prompt", "spec.prompt.system names a {{variable}} that spec.prompt.variables doesn't hold; add its value, or write it without the double braces"},
	{"{prompt: {system: '{{a}}{{b}}', variables: {a: x, b: z}}}", "{prompt: {system: '{{a}}{{b}}', variables: {a: x}}}", "spec.prompt", "spec.prompt.variables doesn't hold"},
	{"{prompt: {system: hi}}", "{prompt: {system: 'Hi {{name}}'}}", "spec.prompt", "spec.prompt.variables doesn't hold"},
	{"{prompt: {variables: {_a1: x}}}", "{prompt: {variables: {1a: x}}}", "spec.prompt.variables", "must have names of at most 63 letters, digits and '_', and not begin with a digit"},
	{"{prompt: {system: '" + strings.Repeat("x", 32768) + "'}}", "{prompt: {system: '" + strings.Repeat("x", 32769) + "'}}", "spec.prompt.system", "may not be more than 32768"},
	{"{prompt: {temperature: 0}}", "{prompt: {temperature: -0.1}}", "spec.prompt.temperature", "should be greater than or equal to 0"},
	{"{prompt: {temperature: 2}}", "{prompt: {temperature: 2.1}}", "spec.prompt.temperature", "should be less than or equal to 2"},
	{"{prompt: {maxTokens: 1}}", "{prompt: {maxTokens: 0}}", "spec.prompt.maxTokens", "should be greater than or equal to 1"},
}

var accessRules = []rule{
	{"{auth: {mode: none}}", "{auth: {mode: oauth}}", "spec.auth.mode", `supported values: "apiKey", "none"`},
	{"{auth: {keys: [{name: a}, {name: b}]}}", "{auth: {keys: [{name: a}, {name: a}]}}", "spec.auth.keys[1]", "Duplicate value"},
	{"{auth: {keys: [{name: a}]}}", "{auth: {keys: []}}", "spec.auth.keys", "should have at least 1 items"},
	{"{auth: {keys: [{name: a-1}]}}", "{auth: {keys: [{name: A}]}}", "spec.auth.keys[0].name", "must be a DNS label: lower-case letters, digits and '-'"},
	{"{auth: {keys: [{name: a, secretRef: {name: s}}, {name: b, secretRef: {name: s, key: b}}]}}", "{auth: {keys: [{name: a, secretRef: {name: s}}, {name: b, secretRef: {name: s}}]}}", "spec.auth", "spec.auth.keys[].secretRef must differ from key to key: one value can't tell two callers apart"},
	{key("rotateAfter: 24h"), key(secret + ", rotateAfter: 24h"), "spec.auth.keys[0]", "spec.auth.keys[].rotateAfter is only for generated keys; rotate a referenced key by changing its Secret"},
	{key("revision: 2"), key(secret + ", revision: 2"), "spec.auth.keys[0]", "spec.auth.keys[].revision is only for generated keys; rotate a referenced key by changing its Secret"},
	{key("revision: 1"), key("revision: 0"), "spec.auth.keys[0].revision", "should be greater than or equal to 1"},
	{key("rotateAfter: 1h, gracePeriod: 1h"), key("rotateAfter: 59m, gracePeriod: 1h"), "spec.auth.keys[0].rotateAfter", "must be at least 1h"},
	{key("rotateAfter: 24h"), key("rotateAfter: 23h"), "spec.auth.keys[0]", "spec.auth.keys[].gracePeriod (24h if omitted) must not exceed rotateAfter, or old values pile up; lower it"},
	{key("gracePeriod: 0s"), key("gracePeriod: -1s"), "spec.auth.keys[0].gracePeriod", "must be from 0s to 720h"},
	{key("gracePeriod: 720h"), key("gracePeriod: 721h"), "spec.auth.keys[0].gracePeriod", "must be from 0s to 720h"},
	{key("gracePeriod: 1h30m"), key("gracePeriod: soon"), "spec.auth.keys[0].gracePeriod", "must be from 0s to 720h"},
	{key("scopes: ['sessions:all']"), key("scopes: [admin]"), "spec.auth.keys[0].scopes[0]", "spec.auth.keys[].scopes must be sessions:all, metrics:read, documents:read or tools:<tool>"},
	{"{cors: {origins: ['https://*.app.example', 'http://localhost:3000']}}", "{cors: {origins: ['https://app.example/']}}", "spec.cors.origins[0]", "must be origins such as https://app.example or https://*.app.example, in lower case, without a path"},
	{"{cors: {origins: ['https://a.example']}}", "{cors: {origins: ['*']}}", "spec.cors.origins[0]", "must be origins such as"},
	{"{cors: {origins: ['https://a.example']}}", "{cors: {origins: ['https://a..example']}}", "spec.cors.origins[0]", "must be origins such as"},
	{"{trustedProxies: [10.0.0.0/8, 'fd00::/8']}", "{trustedProxies: [10.0.0.1]}", "spec.trustedProxies[0]", "must hold networks in CIDR form without host bits, for example 10.0.0.0/8, and not the whole Internet"},
	{"{trustedProxies: [10.0.0.0/8]}", "{trustedProxies: [10.0.0.1/8]}", "spec.trustedProxies[0]", "without host bits"},
	{"{trustedProxies: [10.0.0.0/8]}", "{trustedProxies: [0.0.0.0/0]}", "spec.trustedProxies[0]", "not the whole Internet"},
	{"{exposure: {hosts: [acme.example.com, xn--bcher-kva.example]}}", "{exposure: {hosts: [Acme.example.com]}}", "spec.exposure.hosts[0]", "must be full DNS names in lower case, for example acme.example.com, without scheme, port, wildcard or trailing dot"},
	{"{exposure: {hosts: [a.example]}}", "{exposure: {hosts: ['https://a.example']}}", "spec.exposure.hosts[0]", "must be full DNS names"},
	{"{exposure: {hosts: [a.example]}}", "{exposure: {hosts: ['a.example:443']}}", "spec.exposure.hosts[0]", "must be full DNS names"},
	{"{exposure: {hosts: [a.example]}}", "{exposure: {hosts: ['*.example']}}", "spec.exposure.hosts[0]", "must be full DNS names"},
	{"{exposure: {hosts: [a.example]}}", "{exposure: {hosts: ['a.example.']}}", "spec.exposure.hosts[0]", "must be full DNS names"},
	{"{exposure: {hosts: [a.example]}}", "{exposure: {hosts: [10.0.0.1]}}", "spec.exposure.hosts[0]", "must be full DNS names"},
	{"{exposure: {hosts: [a.example, b.example]}}", "{exposure: {hosts: [a.example, a.example]}}", "spec.exposure.hosts[1]", "Duplicate value"},
	{gateway("name: g"), "{exposure: {gateway: {name: g}}}", "spec.exposure", "spec.exposure.hosts is required with gateway or ingressClassName: name at least one host"},
	{gateway("name: g"), "{exposure: {hosts: [a.example], gateway: {name: g}, ingressClassName: nginx}}", "spec.exposure", "spec.exposure takes one of gateway and ingressClassName, not both"},
	{gateway("name: g.h"), gateway("name: G"), "spec.exposure.gateway.name", "must be the name of a Gateway"},
	{gateway("name: g, namespace: infra"), gateway("name: g, namespace: in.fra"), "spec.exposure.gateway.namespace", "must be the name of a namespace"},
	{gateway("name: g, sectionName: https"), gateway("name: g, sectionName: HTTPS"), "spec.exposure.gateway.sectionName", "must be the name of a listener"},
	{"{exposure: {hosts: [a.example], ingressClassName: nginx}}", "{exposure: {hosts: [a.example], ingressClassName: NGINX}}", "spec.exposure.ingressClassName", "must be the name of an IngressClass"},
}

var limitRules = []rule{
	{"{limits: {bodyBytes: 64Mi}}", "{limits: {bodyBytes: 2Gi}}", "spec.limits.bodyBytes", "must be from 1Ki to 64Mi"},
	{"{limits: {bodyBytes: 1024}}", "{limits: {bodyBytes: 1023}}", "spec.limits.bodyBytes", "must be from 1Ki to 64Mi"},
	{"{limits: {bodyBytes: 1Mi}}", "{limits: {bodyBytes: -1Mi}}", "spec.limits.bodyBytes", "must be from 1Ki to 64Mi"},
	{"{limits: {messageChars: 10000}}", "{limits: {messageChars: 10001}}", "spec.limits.messageChars", "should be less than or equal to 10000"},
	{"{limits: {requests: {perMinute: 1}}}", "{limits: {requests: {perMinute: 0}}}", "spec.limits.requests.perMinute", "should be greater than or equal to 1"},
	{"{limits: {requests: {windowSec: 3600}}}", "{limits: {requests: {windowSec: 3601}}}", "spec.limits.requests.windowSec", "should be less than or equal to 3600"},
	{"{limits: {requests: {onStoreFailure: deny}}}", "{limits: {requests: {onStoreFailure: allow}}}", "spec.limits.requests.onStoreFailure", `supported values: "local", "deny"`},
	{"{limits: {requests: {burst: 5, burstWindowSec: 60}}}", "{limits: {requests: {burst: 5, burstWindowSec: 61}}}", "spec.limits.requests", "spec.limits.requests.burstWindowSec must not exceed windowSec"},
	{"{limits: {tokens: {daily: 1}}}", "{limits: {tokens: {daily: 0}}}", "spec.limits.tokens.daily", "should be greater than or equal to 1"},
	{"{limits: {tokens: {monthly: 1}}}", "{limits: {tokens: {monthly: -5}}}", "spec.limits.tokens.monthly", "should be greater than or equal to 1"},
	{"{budget: {monthlyUSD: 50}}", "{budget: {monthlyUSD: 0}}", "spec.budget.monthlyUSD", `must be an amount from 0.01 to 1000000000, for example 50 or "12.50"`},
	{"{budget: {monthlyUSD: '0.01'}}", "{budget: {monthlyUSD: '0.009'}}", "spec.budget.monthlyUSD", "must be an amount from 0.01"},
	{"{budget: {monthlyUSD: '12.50'}}", "{budget: {monthlyUSD: -1}}", "spec.budget.monthlyUSD", "must be an amount from 0.01"},
	{"{budget: {monthlyUSD: 1}}", "{budget: {onExceeded: Warn}}", "spec.budget.monthlyUSD", "Required value"},
	{"{budget: {monthlyUSD: 1, onExceeded: Throttle}}", "{budget: {monthlyUSD: 1, onExceeded: Stop}}", "spec.budget.onExceeded", `supported values: "Warn", "Throttle", "Block"`},
	{"{sessions: {retentionDays: 3650}}", "{sessions: {retentionDays: 0}}", "spec.sessions.retentionDays", "should be greater than or equal to 1"},
	{"{sessions: {maxMessages: 2}}", "{sessions: {maxMessages: 1}}", "spec.sessions.maxMessages", "should be greater than or equal to 2"},
}

var podRules = []rule{
	{"{state: {embedded: {ephemeral: {}}}}", "{state: {embedded: {}}}", "spec.state.embedded", "exactly one of the fields in [persistence ephemeral] must be set"},
	{volume(""), "{state: {embedded: {ephemeral: {}, persistence: {}}}}", "spec.state.embedded", "exactly one of the fields in [persistence ephemeral] must be set"},
	{volume("size: 16Mi"), volume("size: 15Mi"), "spec.state.embedded.persistence.size", "must be at least 16Mi"},
	{volume("storageClassName: fast"), volume("storageClassName: Fast"), "spec.state.embedded.persistence.storageClassName", "must be the name of a StorageClass"},
	{"{runtime: {replicas: 1}}", "{runtime: {replicas: 2}}", "spec", "spec.runtime.replicas above 1 needs a state store that replicas share, and the embedded state serves one replica; set spec.state.valkey or spec.state.postgres ({} takes the class's server), or replicas to 0 or 1"},
	{"{runtime: {replicas: 2}, state: {valkey: {}}}", "{runtime: {replicas: 2}, state: {embedded: {persistence: {}}}}", "spec", "spec.runtime.replicas above 1 needs a state store that replicas share"},
	{"{runtime: {replicas: 0}}", "{runtime: {replicas: -1}}", "spec.runtime.replicas", "should be greater than or equal to 0"},
	{"{runtime: {autoscaling: {max: 3}}, state: {postgres: {}}}", "{runtime: {autoscaling: {max: 3}}}", "spec", "spec.runtime.autoscaling needs a state store that replicas share, and the embedded state serves one replica; set spec.state.valkey or spec.state.postgres ({} takes the class's server), or remove it"},
	{"{}", "{runtime: {replicas: 1, autoscaling: {max: 3}}}", "spec.runtime", "spec.runtime takes one of replicas and autoscaling, not both"},
	{"{}", "{runtime: {autoscaling: {min: 4, max: 3}}}", "spec.runtime.autoscaling", "spec.runtime.autoscaling.min must not exceed max"},
	{resources("requests: {cpu: 0}"), resources("requests: {cpu: -1}"), "spec.runtime.resources", "spec.runtime.resources.requests must not be negative"},
	{resources("limits: {cpu: 10m}"), resources("limits: {cpu: 0}"), "spec.runtime.resources", "spec.runtime.resources.limits must be above 0"},
	{resources("limits: {memory: 32Mi}"), resources("limits: {memory: 256}"), "spec.runtime.resources", "spec.runtime.resources.limits.memory must be at least 32Mi: the runtime needs so much to start; a bare number is bytes, for example write 256Mi"},
	{resources("requests: {memory: 64Mi}, limits: {memory: 64Mi}"), resources("requests: {memory: 65Mi}, limits: {memory: 64Mi}"), "spec.runtime.resources", "spec.runtime.resources.requests must not exceed the limits of the same name"},
	{resources("claims: []"), resources("claims: [{name: gpu}]"), "spec.runtime.resources", "spec.runtime.resources.claims must be empty: the tenant's pods claim no devices; remove it"},
	{"{runtime: {nodeSelector: {kubernetes.io/arch: amd64, zone: ''}}}", "{runtime: {nodeSelector: {'a b': x}}}", "spec.runtime.nodeSelector", "must hold node labels, named as in kubernetes.io/arch"},
	{"{runtime: {nodeSelector: {zone: a_b}}}", "{runtime: {nodeSelector: {zone: 'a b'}}}", "spec.runtime.nodeSelector.zone", "should match"},
	{tol("key: a, operator: Exists"), tol("key: a, operator: In"), "spec.runtime.tolerations", "spec.runtime.tolerations[].operator must be Equal or Exists"},
	{tol("key: a, value: b"), tol("key: a, operator: Exists, value: b"), "spec.runtime.tolerations", "spec.runtime.tolerations[].value must be left out with operator Exists"},
	{tol("operator: Exists"), tol("value: b"), "spec.runtime.tolerations", "spec.runtime.tolerations[].key is required, but with operator Exists, which then tolerates every taint"},
	{tol("key: a, effect: NoExecute"), tol("key: a, effect: Never"), "spec.runtime.tolerations", "spec.runtime.tolerations[].effect must be NoSchedule, PreferNoSchedule or NoExecute; left out it is any"},
	{tol("key: a, effect: NoExecute, tolerationSeconds: 5"), tol("key: a, tolerationSeconds: 5"), "spec.runtime.tolerations", "spec.runtime.tolerations[].tolerationSeconds is only for effect NoExecute"},
	{"{runtime: {priorityClassName: high}}", "{runtime: {priorityClassName: HIGH}}", "spec.runtime.priorityClassName", "must be the name of a PriorityClass"},
}

var _ = Describe("A Tenant", func() {
	for topic, rules := range map[string][]rule{
		"identity": identityRules, "models": modelRules, "access": accessRules, "limits": limitRules, "pods": podRules,
		"state": stateRules, "cloudflare": cloudflareRules,
		"documents": documentRules, "tools": toolRules, "speech": speechRules,
	} {
		for _, r := range rules {
			It("is refused ("+topic+"): "+shorten(r.refused), func(ctx context.Context) { check(ctx, "Tenant", r) })
		}
	}
})

func shorten(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}
