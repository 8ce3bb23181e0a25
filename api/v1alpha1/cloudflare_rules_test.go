package v1alpha1_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
)

func state(fields string) string { return "{state: {" + fields + "}}" }

// onAccount is a Tenant with a Cloudflare account, whose model needs none.
func onAccount(fields string) string { return "{upstream: {accountRef: {name: a}}, " + fields + "}" }

func vectorize(fields string) string {
	return onAccount("documents: {store: vectorize, vectorize: {" + fields + "}}")
}

const (
	twoStores = "spec.state names more than one store; keep one of embedded, valkey and postgres, or set limitsOn: valkey to keep limits on valkey and all else on postgres"
	limitsOn  = "spec.state.limitsOn: valkey needs both spec.state.valkey and spec.state.postgres"
)

var stateRules = []rule{
	{state("valkey: {secretRef: {name: redis}}"), state("valkey: {secretRef: {name: Redis}}"), "spec.state.valkey.secretRef.name", "must be the name of a Secret: lower-case letters, digits, '-' and '.'"},
	{state("postgres: {}"), state("postgres: {secretRef: {}}"), "spec.state.postgres.secretRef.name", "Required value"},
	{state("valkey: {}, postgres: {}, limitsOn: valkey"), state("valkey: {}, postgres: {}"), "spec.state", twoStores},
	{state("valkey: {}"), state("valkey: {}, embedded: {persistence: {}}"), "spec.state", twoStores},
	{state("valkey: {}, postgres: {}, limitsOn: valkey"), state("embedded: {ephemeral: {}}, valkey: {}, postgres: {}, limitsOn: valkey"), "spec.state", twoStores},
	{state("valkey: {}, postgres: {}, limitsOn: valkey"), state("postgres: {}, limitsOn: valkey"), "spec.state", limitsOn},
	{state("valkey: {}"), state("valkey: {}, limitsOn: valkey"), "spec.state", limitsOn},
	{state("valkey: {}, postgres: {}, limitsOn: valkey"), state("valkey: {}, postgres: {}, limitsOn: postgres"), "spec.state.limitsOn", `supported values: "valkey"`},
}

var cloudflareRules = []rule{
	{onAccount("cloudflare: {usageLedger: {}, configExport: {bindingRef: {name: edge}}, originals: {}}"), "{cloudflare: {usageLedger: {}}}", "spec", "spec.cloudflare needs spec.upstream.accountRef: name the CloudflareAccount that the things lie in"},
	{onAccount("cloudflare: {originals: {bindingRef: {name: a.b}}}"), onAccount("cloudflare: {originals: {bindingRef: {name: a_b}}}"), "bindingRef.name", "must be the name of a CloudflareBinding in the same namespace"},
	{vectorize("index: {dimensions: 768}"), "{documents: {store: vectorize, vectorize: {index: {dimensions: 768}}}}", "spec", "spec.documents.store: vectorize needs spec.upstream.accountRef: name the CloudflareAccount that the index lies in"},
	{vectorize("bindingRef: {name: shared}"), onAccount("documents: {store: vectorize}"), "spec.documents", "spec.documents.vectorize goes with spec.documents.store: vectorize"},
	{vectorize("bindingRef: {name: shared}"), onAccount("documents: {store: sqlite}"), "spec.documents.store", `supported values: "state", "vectorize"`},
	{vectorize("index: {dimensions: 768}"), vectorize("index: {dimensions: 768}, bindingRef: {name: shared}"), "spec.documents.vectorize", "spec.documents.vectorize has either index (an index of the tenant's own) or bindingRef (one that is there); set one of them"},
	{vectorize("index: {dimensions: 768}"), vectorize(""), "spec.documents.vectorize", "set one of them"},
	{vectorize("index: {dimensions: 1536, metric: dot-product}"), vectorize("index: {dimensions: 1537}"), "spec.documents.vectorize.index.dimensions", "should be less than or equal to 1536"},
	{vectorize("index: {dimensions: 1, metadataIndexes: [{property: a.b, type: number}]}"), vectorize("index: {dimensions: 1, metadataIndexes: [{property: $a}]}"), "spec.documents.vectorize.index.metadataIndexes[0].property", "must not begin with '$' or hold a quote"},
}

// binding is a CloudflareBinding of a type in account a.
func binding(kind, fields string) string {
	return "{type: " + kind + ", accountRef: {name: a}, " + fields + "}"
}

func index(fields string) string {
	return binding("Vectorize", "vectorize: {dimensions: 8, "+fields+"}")
}

func apiToken(fields string) string {
	return binding("APIToken", "apiToken: {permissions: [Workers AI Read], "+fields+"}")
}

const otherType = "spec holds the settings of another type; only the block that spec.type names may be set"

var bindingRules = []rule{
	{binding("KV", ""), "{type: KV}", "spec.accountRef", "Required value"},
	{binding("KV", ""), "{type: KV, accountRef: {name: A}}", "spec.accountRef.name", "accountRef.name must be the name of a CloudflareAccount"},
	{"{type: KV, accountRef: {name: a, namespace: platform}}", "{type: KV, accountRef: {name: a, namespace: a.b}}", "spec.accountRef.namespace", "accountRef.namespace must be the name of a namespace"},
	{binding("KV", ""), binding("DNS", ""), "spec.type", `supported values: "KV", "D1", "R2", "Vectorize", "AIGateway", "APIToken"`},
	{binding("KV", "existingID: 0f2ac74b498b48028cb68387c421e279"), binding("KV", "existingID: ../x"), "spec.existingID", "must be letters, digits, '-' and '_'"},
	{binding("R2", "name: acme-originals"), binding("R2", "name: Acme"), "spec.name", "must be lower-case letters, digits and '-', with a letter or digit at both ends"},
	{binding("D1", "name: x"), binding("D1", "name: x, existingID: other"), "spec", "spec.existingID and spec.name exclude each other: set existingID for a thing that exists, name for one that is to have this name, neither for a generated name"},
	{binding("D1", "existingID: other, adoption: Force"), binding("D1", "existingID: other, adoption: Never"), "spec", "spec.existingID adopts a thing that exists; set spec.adoption to IfOwned or, for one that this operator didn't make, Force"},
	{binding("D1", "adoption: Never"), binding("D1", "adoption: Always"), "spec.adoption", `supported values: "Never", "IfOwned", "Force"`},
	{apiToken(""), binding("APIToken", "existingID: t, apiToken: {permissions: [x]}"), "spec", "spec.existingID isn't for type APIToken: Cloudflare shows a token's value once, to who makes it; leave it out"},
	{apiToken(""), binding("APIToken", ""), "spec", "spec.apiToken is required with type APIToken: it names the permissions"},
	{index(""), binding("Vectorize", ""), "spec", "spec.vectorize is required with type Vectorize: it names the dimensions"},
	{binding("KV", "kv: {}"), binding("KV", "d1: {}"), "spec", otherType},
	{binding("D1", "d1: {}"), binding("D1", "kv: {}"), "spec", otherType},
	{binding("R2", "r2: {}"), binding("R2", "aiGateway: {}"), "spec", otherType},
	{binding("AIGateway", "aiGateway: {}"), binding("AIGateway", "r2: {}"), "spec", otherType},
	{binding("KV", ""), binding("KV", "vectorize: {dimensions: 8}"), "spec", otherType},
	{binding("KV", ""), binding("KV", "apiToken: {permissions: [x]}"), "spec", otherType},
	{binding("KV", "pollInterval: 1m"), binding("KV", "pollInterval: 59s"), "spec.pollInterval", "spec.pollInterval must be from 1m to 24h"},
	{binding("KV", "pollInterval: 24h"), binding("KV", "pollInterval: 25h"), "spec.pollInterval", "spec.pollInterval must be from 1m to 24h"},
	{binding("KV", "deletionPolicy: Delete"), binding("KV", "deletionPolicy: Orphan"), "spec.deletionPolicy", `supported values: "Retain", "Delete"`},
	{binding("D1", "d1: {locationHint: weur}"), binding("D1", "d1: {locationHint: weur, jurisdiction: eu}"), "spec.d1", "spec.d1.locationHint and spec.d1.jurisdiction exclude each other; remove one"},
	{binding("D1", "d1: {jurisdiction: eu}"), binding("D1", "d1: {jurisdiction: us}"), "spec.d1.jurisdiction", `supported values: "eu", "fedramp"`},
	{binding("R2", "r2: {storageClass: InfrequentAccess}"), binding("R2", "r2: {storageClass: Cold}"), "spec.r2.storageClass", `supported values: "Standard", "InfrequentAccess"`},
	{index(""), binding("Vectorize", "vectorize: {dimensions: 0}"), "spec.vectorize.dimensions", "should be greater than or equal to 1"},
	{index("metadataIndexes: " + of(10, "{property: p%d}")), index("metadataIndexes: " + of(11, "{property: p%d}")), "spec.vectorize.metadataIndexes", "must have at most 10 items"},
	{index("metadataIndexes: [{property: a}, {property: b}]"), index("metadataIndexes: [{property: a}, {property: a}]"), "spec.vectorize.metadataIndexes[1]", "Duplicate value"},
	{index("metadataIndexes: [{property: lang}]"), index(`metadataIndexes: [{property: 'a"b'}]`), "spec.vectorize.metadataIndexes[0].property", "must not begin with '$' or hold a quote"},
	{binding("AIGateway", "aiGateway: {cacheTTL: 60s}"), binding("AIGateway", "aiGateway: {cacheTTL: 59s}"), "spec.aiGateway.cacheTTL", "spec.aiGateway.cacheTTL must be 0s (off) or from 60s to 720h"},
	{binding("AIGateway", "aiGateway: {rateLimit: {requests: 1, interval: 24h}}"), binding("AIGateway", "aiGateway: {rateLimit: {requests: 1, interval: 25h}}"), "spec.aiGateway.rateLimit.interval", "spec.aiGateway.rateLimit.interval must be from 1s to 24h"},
	{binding("AIGateway", "aiGateway: {rateLimit: {requests: 1}}"), binding("AIGateway", "aiGateway: {rateLimit: {requests: 0}}"), "spec.aiGateway.rateLimit.requests", "should be greater than or equal to 1"},
	{apiToken(""), binding("APIToken", "apiToken: {permissions: []}"), "spec.apiToken", "spec.apiToken lets the token do nothing; name permissions or buckets"},
	{binding("APIToken", "apiToken: {buckets: [b]}"), binding("APIToken", "apiToken: {}"), "spec.apiToken", "lets the token do nothing"},
	{binding("APIToken", "name: handed-over, deletionPolicy: Retain, apiToken: {permissions: [x]}"), binding("APIToken", "deletionPolicy: Retain, apiToken: {permissions: [x]}"), "spec", "spec.deletionPolicy: Retain of type APIToken needs spec.name"},
	{apiToken("secretName: a.b"), apiToken("secretName: A"), "spec.apiToken.secretName", "spec.apiToken.secretName must be the name of a Secret"},
	{apiToken("revision: 2"), apiToken("revision: 0"), "spec.apiToken.revision", "should be greater than or equal to 1"},
	{apiToken("rotateAfter: 1h"), apiToken("rotateAfter: 59m"), "spec.apiToken.rotateAfter", "spec.apiToken.rotateAfter must be from 1h to 8760h"},
	{apiToken("overlap: 168h"), apiToken("overlap: 169h"), "spec.apiToken.overlap", "spec.apiToken.overlap must be from 1m to 168h"},
}

var bindingChanges = []change{
	{binding("KV", ""), binding("KV", "deletionPolicy: Delete"), binding("D1", ""), "spec", "spec.type can't change: the binding is one thing; make a new CloudflareBinding"},
	{binding("KV", ""), binding("KV", "adoption: Force"), "{type: KV, accountRef: {name: b}}", "spec", "spec.accountRef can't change: the thing lies in that account; make a new CloudflareBinding"},
	{binding("KV", "existingID: x"), binding("KV", "existingID: x, adoption: Force"), binding("KV", "existingID: other"), "spec", "spec.existingID can't change: it says which thing the binding is; make a new CloudflareBinding"},
	{binding("KV", ""), binding("KV", ""), binding("KV", "existingID: other"), "spec", "spec.existingID can't change"},
	{binding("KV", "existingID: other"), binding("KV", "existingID: other"), binding("KV", ""), "spec", "spec.existingID can't change"},
	{binding("R2", "name: acme"), binding("R2", "name: acme, r2: {storageClass: InfrequentAccess}"), binding("R2", "name: other"), "spec", "spec.name can't change: it says which thing the binding is; make a new CloudflareBinding"},
	{binding("R2", "name: acme"), binding("R2", "name: acme"), binding("R2", ""), "spec", "spec.name can't change"},
	{binding("D1", "d1: {locationHint: weur}"), binding("D1", "d1: {locationHint: weur, readReplication: auto}"), binding("D1", "d1: {locationHint: oc}"), "spec", "spec.d1.locationHint can't change: a database stays where it was made; make a new CloudflareBinding"},
	{binding("D1", "d1: {jurisdiction: eu}"), binding("D1", "d1: {jurisdiction: eu}"), binding("D1", ""), "spec", "spec.d1.jurisdiction can't change: a database stays where it was made; make a new CloudflareBinding"},
	{binding("D1", ""), binding("D1", "d1: {readReplication: auto}"), binding("D1", "d1: {jurisdiction: eu}"), "spec", "spec.d1.jurisdiction can't change"},
	{binding("R2", "r2: {locationHint: weur}"), binding("R2", "r2: {locationHint: weur}"), binding("R2", ""), "spec", "spec.r2.locationHint can't change: a bucket stays where it was made; make a new CloudflareBinding"},
	{binding("R2", ""), binding("R2", "r2: {jurisdiction: default}"), binding("R2", "r2: {jurisdiction: eu}"), "spec", "spec.r2.jurisdiction can't change: a bucket stays where it was made; make a new CloudflareBinding"},
	{index(""), index("metadataIndexes: [{property: lang}]"), index("metric: euclidean"), "spec.vectorize", "dimensions and metric of an index can't change; set replacement to BlueGreen in the same change to have a new index made beside the old one, ingest everything again, and switch over when it is full"},
	{index(""), binding("Vectorize", "vectorize: {dimensions: 9, metric: euclidean, replacement: BlueGreen}"), binding("Vectorize", "vectorize: {dimensions: 9}"), "spec.vectorize", "dimensions and metric of an index can't change"},
}

var _ = Describe("A CloudflareBinding", func() {
	for _, r := range bindingRules {
		It("is refused: "+shorten(r.refused), func(ctx context.Context) { check(ctx, "CloudflareBinding", r) })
	}
	It("of any type may be as short as it gets", func(ctx context.Context) {
		for _, short := range []string{binding("KV", ""), binding("D1", ""), binding("R2", ""), binding("AIGateway", ""), index(""), apiToken("")} {
			check(ctx, "CloudflareBinding", rule{accepted: short, refused: strings.Replace(short, "name: a", "name: ''", 1), field: "spec.accountRef.name", says: "should be at least 1 chars long"})
		}
	})
})
