package v1alpha1_test

import "strings"

// documents is a Tenant that keeps documents, on an upstream that has models.
func documents(fields string) string {
	return "{upstream: {type: openai, baseURL: 'https://models.example/v1'}, models: {chat: a}, documents: {store: state, " + fields + "}}"
}

// workersAI is a Tenant on Workers AI.
func workersAI(fields string) string {
	return "{upstream: {type: workersai, accountRef: {name: a}}, models: {chat: a}, " + fields + "}"
}

// tool is a Tenant with one http tool.
func tool(fields string) string {
	return "{tools: {enabled: true, http: [{name: orders, description: d, method: GET, url: 'https://orders.example/{id}', effect: read, " + fields + "}]}}"
}

// toolWith replaces one field of tool's.
func toolWith(old, new string) string { return strings.Replace(tool("private: false"), old, new, 1) }

// toolServer is a Tenant with one MCP server.
func toolServer(fields string) string { return "{tools: {enabled: true, mcp: [{" + fields + "}]}}" }

var documentRules = []rule{
	{documents("embedding: {model: nomic-embed-text, dimensions: 768}"), "{documents: {store: state, embedding: {model: nomic-embed-text}}}", "spec", "spec.documents.embedding.model must be builtin/lsa with spec.upstream.type: embedded, which has no other; or connect an upstream"},
	{documents("embedding: {model: builtin/lsa}"), onAccount("documents: {store: vectorize, embedding: {model: builtin/lsa}, vectorize: {index: {dimensions: 768}}}"), "spec", "a Vectorize index needs a model of the upstream with its dimensions"},
	{documents("embedding: {model: a}"), documents("embedding: {model: 'a b'}"), "spec.documents.embedding.model", "spec.documents.embedding.model must be a model's name without spaces, in ASCII"},
	{documents("embedding: {model: a}"), documents("embedding: {model: a, dimensions: 4097}"), "spec.documents.embedding.dimensions", "should be less than or equal to 4096"},
	{documents("chunking: {maxChars: 800, overlap: 399}"), documents("chunking: {maxChars: 800, overlap: 400}"), "spec.documents.chunking", "spec.documents.chunking.overlap must be less than half of maxChars (default 1200)"},
	{documents("chunking: {overlap: 599}"), documents("chunking: {overlap: 600}"), "spec.documents.chunking", "must be less than half of maxChars"},
	{documents("fetchHosts: ['*.docs.example', a.example]"), documents("fetchHosts: ['https://a.example']"), "spec.documents.fetchHosts[0]", "spec.documents.fetchHosts must be names of hosts such as docs.example.com or *.example.com, in lower case"},
	{documents("linkHosts: [a.example]"), documents("linkHosts: ['A.example']"), "spec.documents.linkHosts[0]", "spec.documents.linkHosts must be names of hosts such as help.example.com or *.example.com, in lower case"},
	{workersAI("documents: {store: state, rerankModel: '@cf/baai/bge-reranker-base'}"), documents("rerankModel: a"), "spec", "spec.documents.rerankModel needs spec.upstream.type: workersai, which has such models"},
	{workersAI("documents: {store: state, rerankModel: a}"), workersAI("documents: {store: state, rerankModel: 'a b'}"), "spec.documents.rerankModel", "spec.documents.rerankModel must be a model's name without spaces, in ASCII"},
	{documents("minScore: 0.5, vectorWeight: 2"), documents("minScore: 1.5"), "spec.documents.minScore", "should be less than or equal to 1"},
	{documents("cache: {ttl: 0s, similarity: 0.97}"), documents("cache: {ttl: 200h}"), "spec.documents.cache.ttl", "spec.documents.cache.ttl must be 0s, or from 1s to 168h"},
	{documents("cache: {similarity: 0.5}"), documents("cache: {similarity: 0.4}"), "spec.documents.cache.similarity", "should be greater than or equal to 0.5"},
	{documents("maxPassages: 1000"), documents("maxPassages: 3000000"), "spec.documents.maxPassages", "should be less than or equal to 2000000"},
	{documents("uploadLimit: 64Mi"), documents("uploadLimit: 65Mi"), "spec.documents.uploadLimit", "spec.documents.uploadLimit must be from 1Ki to 64Mi"},
	{"{prompt: {topP: 0.9, stop: [END], contextTokens: 32768, summarize: true}}", "{prompt: {contextTokens: 1000}}", "spec.prompt.contextTokens", "should be greater than or equal to 1024"},
	{"{auth: {keys: [{name: a, scopes: ['metrics:read', 'documents:read', 'tools:crm.*', 'tools:none']}]}}", "{auth: {keys: [{name: a, scopes: ['tools:']}]}}", "spec.auth.keys[0].scopes[0]", "spec.auth.keys[].scopes must be sessions:all, metrics:read, documents:read or tools:<tool>"},
}

var toolRules = []rule{
	{"{tools: {enabled: true, allow: [summarize, crm.find, 'crm.*']}}", "{tools: {deny: [summarize]}}", "spec.tools", "spec.tools has settings but isn't enabled; set spec.tools.enabled: true, or remove them"},
	{"{tools: {enabled: true, deny: ['crm.*']}}", "{tools: {enabled: true, deny: ['*']}}", "spec.tools.deny[0]", "spec.tools lists must hold tools' names, <server>.<tool> or <server>.*"},
	{"{tools: {enabled: true, maxSteps: 32}}", "{tools: {enabled: true, maxSteps: 33}}", "spec.tools.maxSteps", "should be less than or equal to 32"},
	{tool("retries: 3"), toolWith("effect: read", "effect: write, retries: 1"), "spec.tools.http[0]", "spec.tools.http[].retries goes with effect: read; what changes something isn't done twice"},
	{tool("private: true"), toolWith("name: orders", "name: search_docs"), "spec.tools.http[0].name", "and not the name of a built-in tool"},
	{tool("private: true"), toolWith("https://orders.example/{id}", "https://{host}/x"), "spec.tools.http[0].url", "spec.tools.http[].url must be an http or https address without user name or fragment, with {parameters} in path and query alone"},
	{tool("private: true"), toolWith("https://orders.example/{id}", "https://u:p@orders.example/"), "spec.tools.http[0].url", "without user name"},
	{tool("parameters: {type: object, properties: {id: {type: string}}, required: [id]}"), tool("parameters: [a]"), "spec.tools.http[0].parameters", "must be of type object"},
	{tool("headers: {accept: application/json}"), tool("headers: {accept: \"a\\nb\"}"), "spec.tools.http[0].headers[accept]", "spec.tools.http[].headers must be one line each, in ASCII"},
	{tool("secretHeaders: [{name: Authorization, prefix: 'Bearer ', secretRef: {name: orders}}]"), tool("secretHeaders: [{name: 'A B', secretRef: {name: orders}}]"), "spec.tools.http[0].secretHeaders[0].name", "spec.tools.http[].secretHeaders[].name must be the name of a header"},
	{tool("secretHeaders: [{name: a, secretRef: {name: orders, key: token}}]"), tool("secretHeaders: [{name: a, prefix: \"a\\nb\", secretRef: {name: orders}}]"), "spec.tools.http[0].secretHeaders[0].prefix", "spec.tools.http[].secretHeaders[].prefix must be one line, in ASCII"},
	{tool("redirectHosts: ['*.orders.example']"), tool("redirectHosts: ['https://a']"), "spec.tools.http[0].redirectHosts[0]", "spec.tools.http[].redirectHosts must be names of hosts in lower case"},
	{tool("timeout: 2m"), tool("timeout: 3m"), "spec.tools.http[0].timeout", "spec.tools.http[].timeout must be from 1s to 2m"},
	{tool("result: /data"), tool("result: data"), "spec.tools.http[0].result", "spec.tools.http[].result must be a JSON Pointer such as /data/items"},
	{toolServer("name: crm, url: 'https://crm.example/mcp', tokenSecretRef: {name: crm}, allow: [find], readOnly: [find]"), toolServer("name: 'c r m', url: 'https://crm.example/mcp'"), "spec.tools.mcp[0].name", "spec.tools.mcp[].name must be letters, digits, '_' and '-', at most 32"},
	{toolServer("name: summarize-it, url: 'https://crm.example/mcp'"), toolServer("name: summarize, url: 'https://crm.example/mcp'"), "spec.tools.mcp[0].name", "and not the name of a built-in tool"},
	{toolServer("name: crm, url: 'https://crm.example/mcp'"), toolServer("name: crm, url: 'https://crm.example/{x}'"), "spec.tools.mcp[0].url", "spec.tools.mcp[].url must be an http or https address without user name or fragment"},
	{toolServer("name: crm, url: 'https://crm.example/mcp', timeout: 1s"), toolServer("name: crm, url: 'https://crm.example/mcp', timeout: 0s"), "spec.tools.mcp[0].timeout", "spec.tools.mcp[].timeout must be from 1s to 2m"},
}

var speechRules = []rule{
	{"{speech: {provider: local, voice: slt}}", "{speech: {provider: cloud}}", "spec.speech.provider", "supported values"},
	{workersAI("speech: {provider: upstream, model: '@cf/myshell-ai/melotts'}"), "{speech: {provider: upstream, model: tts-1}}", "spec", "spec.speech.provider: upstream needs an upstream that speaks; spec.upstream.type: embedded doesn't"},
	{workersAI("speech: {provider: upstream, model: a, voices: [a, b]}"), workersAI("speech: {provider: upstream}"), "spec.speech", "spec.speech.model names a model of the upstream: it goes with, and is needed by, provider: upstream"},
	{workersAI("speech: {provider: upstream, model: a}"), workersAI("speech: {provider: upstream, model: 'a b'}"), "spec.speech.model", "spec.speech.model must be a model's name without spaces, in ASCII"},
}
