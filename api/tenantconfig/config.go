package tenantconfig

import "time"

// Version is the document version that this build writes, and the newest that it
// reads.
const Version = 1

// Config is all that one runtime needs to know to serve one tenant.
type Config struct {
	// Version of the document's format, 1 or more.
	Version int `json:"version"`
	// Tenant says whom this document is about.
	Tenant Tenant `json:"tenant"`
	// Server holds the listeners. A change needs a restart.
	Server Server `json:"server"`
	// State says where sessions, limits, budgets and usage are kept. A change
	// needs a restart.
	State State `json:"state"`
	// Hosts are the names under which this tenant is reached, in canonical form:
	// lower case, punycode, no trailing dot, no port.
	Hosts []string `json:"hosts,omitempty"`
	// Auth says who may call.
	Auth Auth `json:"auth"`
	// CORS lists the browser origins that may call.
	CORS CORS `json:"cors,omitzero"`
	// TrustedProxies are CIDRs whose X-Forwarded-For is believed.
	TrustedProxies []string `json:"trustedProxies,omitempty"`
	// Upstream is where models are.
	Upstream Upstream `json:"upstream"`
	// Models names what is asked.
	Models Models `json:"models"`
	// Prompt shapes every conversation.
	Prompt Prompt `json:"prompt,omitzero"`
	// Limits say how much.
	Limits Limits `json:"limits"`
	// Budget is the spending limit in money.
	Budget Budget `json:"budget,omitzero"`
	// Sessions bounds the chat history.
	Sessions Sessions `json:"sessions"`
	// Documents says where the tenant's documents are kept and how they are searched. A
	// change of Store, Vectorize or Embedding needs a restart.
	Documents Documents `json:"documents,omitzero"`
	// Tools says what models and callers may do.
	Tools Tools `json:"tools,omitzero"`
	// Speech says who reads texts out.
	Speech Speech `json:"speech,omitzero"`
	// Playground serves a page at / that tries the API.
	Playground bool `json:"playground,omitempty"`
	// Cloudflare holds what else of the tenant's Cloudflare account its pods use. A
	// change needs a restart, but for that of the token.
	Cloudflare Cloudflare `json:"cloudflare,omitzero"`
}

// Tenant identifies the tenant.
type Tenant struct {
	// ID is public: a DNS label of at most 40 characters.
	ID string `json:"id"`
	// Identity is the tenant's storage identity,
	// <ownerID>/<namespace>/<environment>/<tenantID>. Every stored key carries it.
	Identity string `json:"identity"`
	// Environment is development, staging or production.
	Environment string `json:"environment"`
}

// Server holds the addresses the runtime listens on.
type Server struct {
	// APIPort serves the tenant's API. 1 to 65535.
	APIPort int `json:"apiPort"`
	// MetricsPort serves /metrics, /healthz, /readyz and /status. 1 to 65535.
	MetricsPort int `json:"metricsPort"`
	// DrainSeconds is how long open streams may go on after SIGTERM.
	DrainSeconds int `json:"drainSeconds"`
}

// State drivers.
const (
	// StateMemory keeps everything in the process: lost with it.
	StateMemory = "memory"
	// StateEmbedded keeps everything in one SQLite file under Path.
	StateEmbedded = "embedded"
	// StateValkey keeps everything in a Valkey or Redis server.
	StateValkey = "valkey"
	// StatePostgres keeps everything in a PostgreSQL database.
	StatePostgres = "postgres"
)

// State says where the tenant's data is kept.
type State struct {
	// Driver is StateMemory, StateEmbedded, StateValkey or StatePostgres.
	Driver string `json:"driver"`
	// Path is the directory of the embedded store's file. With another driver it is
	// where the tenant's data comes from: it is moved before the first request.
	Path string `json:"path,omitempty"`
	// Server of the drivers StateValkey and StatePostgres.
	Server StateServer `json:"server,omitzero"`
	// LimitsOn is StateValkey if rate windows and budgets are kept there though Driver
	// is StatePostgres; LimitsServer is the server then. Empty keeps them with the rest.
	LimitsOn     string      `json:"limitsOn,omitempty"`
	LimitsServer StateServer `json:"limitsServer,omitzero"`
}

// StateServer is a server that state is kept on.
type StateServer struct {
	// URLFile is the name, beside this document, of the file with the server's address
	// and login, for example "rediss://user:password@valkey:6379".
	URLFile string `json:"urlFile,omitempty"`
	// CAFile is the name, beside this document, of the file with the certificates, in
	// PEM, that the server's is checked against. Empty for the system's.
	CAFile string `json:"caFile,omitempty"`
	// Revision changes whenever the address, the login or the certificates do. It is a
	// keyed hash and tells nothing about them.
	Revision string `json:"revision,omitempty"`
}

// Authentication modes.
const (
	// AuthAPIKey demands one of Auth.Keys.
	AuthAPIKey = "apiKey"
	// AuthNone trusts whoever reaches the port.
	AuthNone = "none"
)

// Auth says who may call.
type Auth struct {
	// Mode is AuthAPIKey or AuthNone.
	Mode string `json:"mode"`
	// Keys are the keys that open this tenant.
	Keys []Key `json:"keys,omitempty"`
}

// Key is one named API key: its digests, never its value.
type Key struct {
	// Name is unique within the tenant and identifies the caller.
	Name string `json:"name"`
	// Digests are what the key's value may hash to: the current one first, then
	// those still in their grace period.
	Digests []Digest `json:"digests"`
	// Scopes are what the key may do beyond calling the API, for example
	// "sessions:all".
	Scopes []string `json:"scopes,omitempty"`
	// TrustUserHeader makes the caller's user id part of the caller's identity.
	TrustUserHeader bool `json:"trustUserHeader,omitempty"`
}

// Digest is the SHA-256 of one key value.
type Digest struct {
	// SHA256 is 64 lower-case hexadecimal digits.
	SHA256 string `json:"sha256"`
	// NotAfter ends a rotated key's grace period. Zero means no end.
	NotAfter time.Time `json:"notAfter,omitzero"`
}

// CORS lists browser origins.
type CORS struct {
	// Origins are exact ("https://app.example") or have one leading wildcard label
	// ("https://*.example").
	Origins []string `json:"origins,omitempty"`
}

// Upstream types.
const (
	// UpstreamEmbedded is the built-in extractive answerer.
	UpstreamEmbedded = "embedded"
	// UpstreamOpenAI is any server that speaks OpenAI's chat completions.
	UpstreamOpenAI = "openai"
	// UpstreamWorkersAI is Cloudflare Workers AI, through AI Gateway if one is named.
	UpstreamWorkersAI = "workersai"
)

// Upstream is where models are.
type Upstream struct {
	// Type is UpstreamEmbedded, UpstreamOpenAI or UpstreamWorkersAI.
	Type string `json:"type"`
	// BaseURL of an OpenAI-compatible server, ending before /chat/completions, for
	// example "http://ollama.models:11434/v1". For Workers AI it overrides
	// Cloudflare's own address.
	BaseURL string `json:"baseURL,omitempty"`
	// CredentialsFile is the name, beside this document, of the file with the bearer
	// token. Empty means that none is sent.
	CredentialsFile string `json:"credentialsFile,omitempty"`
	// CredentialsRevision changes whenever the credential does. It is a keyed hash
	// and tells nothing about the value.
	CredentialsRevision string `json:"credentialsRevision,omitempty"`
	// AccountID is the Cloudflare account, 32 hexadecimal digits.
	AccountID string `json:"accountID,omitempty"`
	// Gateway is the AI Gateway in front of Workers AI.
	Gateway Gateway `json:"gateway,omitzero"`
}

// Gateway is a Cloudflare AI Gateway.
type Gateway struct {
	// ID of the gateway; empty calls Workers AI directly.
	ID string `json:"id,omitempty"`
	// CacheTTLSeconds lets the gateway answer from its cache: 60 to 2592000, 0 = off.
	CacheTTLSeconds int `json:"cacheTTLSeconds,omitempty"`
	// CollectLogs lets the gateway keep request and response logs.
	CollectLogs bool `json:"collectLogs,omitempty"`
}

// Models names the models.
type Models struct {
	// Chat is the default chat model.
	Chat string `json:"chat"`
	// Fallbacks are tried in order when Chat fails before its first token.
	Fallbacks []string `json:"fallbacks,omitempty"`
	// Allowed are the models that a request may name. Empty allows any.
	Allowed []string `json:"allowed,omitempty"`
	// Prices of models; a model that is not listed has an unknown price.
	Prices []Price `json:"prices,omitempty"`
}

// Price of one model in US dollars.
type Price struct {
	// Model is the model's id.
	Model string `json:"model"`
	// InputPerMillion is the price of 1,000,000 input tokens in micro-dollars.
	InputPerMillion int64 `json:"inputPerMillion"`
	// OutputPerMillion is the price of 1,000,000 output tokens in micro-dollars.
	OutputPerMillion int64 `json:"outputPerMillion"`
}

// Prompt shapes every conversation.
type Prompt struct {
	// System is the system prompt; {{name}} is replaced from Variables.
	System string `json:"system,omitempty"`
	// Variables are the values for System.
	Variables map[string]string `json:"variables,omitempty"`
	// TemperatureMilli is the sampling temperature in thousandths, 0 to 2000. Nil
	// leaves it to the model.
	TemperatureMilli *int `json:"temperatureMilli,omitempty"`
	// MaxTokens is always sent upstream, 1 or more.
	MaxTokens int `json:"maxTokens,omitempty"`
	// TopPMilli is nucleus sampling in thousandths, 1 to 1000. Nil leaves it to the model.
	TopPMilli *int `json:"topPMilli,omitempty"`
	// Stop ends an answer where the model writes one of these, at most 4.
	Stop []string `json:"stop,omitempty"`
	// ContextTokens is how long a prompt may be, answer included: the model's context
	// window, 1024 or more. 0 is 8192.
	ContextTokens int `json:"contextTokens,omitempty"`
	// Summarize tells that messages that no longer fit into the context are summed up by
	// the model instead of left out.
	Summarize bool `json:"summarize,omitempty"`
}

// Limits say how much a tenant may ask.
type Limits struct {
	// Requests are the two sliding windows per caller.
	Requests RequestLimits `json:"requests"`
	// Tokens are the tenant's budgets per UTC day and month.
	Tokens TokenLimits `json:"tokens,omitzero"`
	// BodyBytes is the largest request body.
	BodyBytes int64 `json:"bodyBytes"`
	// MessageChars is the longest chat message in Unicode code points.
	MessageChars int `json:"messageChars"`
}

// RequestLimits are two sliding windows. Zero means no limit.
type RequestLimits struct {
	// PerMinute is the number of requests in any WindowSec seconds.
	PerMinute int `json:"perMinute,omitempty"`
	// WindowSec is the length of the long window in seconds.
	WindowSec int `json:"windowSec,omitempty"`
	// Burst is the number of requests in any BurstWindowSec seconds.
	Burst int `json:"burst,omitempty"`
	// BurstWindowSec is the length of the short window in seconds.
	BurstWindowSec int `json:"burstWindowSec,omitempty"`
	// OnStoreFailure is FailLocal or FailDeny; empty is FailLocal.
	OnStoreFailure string `json:"onStoreFailure,omitempty"`
	// Replicas is the largest number of pods that serve the tenant, by which limits
	// are divided under FailLocal. 0 is 1.
	Replicas int `json:"replicas,omitempty"`
}

// What a request meets while the store of rate windows can't be reached.
const (
	// FailLocal counts in the pod itself, with the limit divided by the pods.
	FailLocal = "local"
	// FailDeny refuses it.
	FailDeny = "deny"
)

// TokenLimits are budgets in tokens, input and output together. Zero means no limit.
type TokenLimits struct {
	// Daily tokens per UTC day.
	Daily int64 `json:"daily,omitempty"`
	// Monthly tokens per UTC month.
	Monthly int64 `json:"monthly,omitempty"`
}

// What happens when the money is spent.
const (
	// BudgetWarn serves on and reports.
	BudgetWarn = "Warn"
	// BudgetThrottle lets one request in ten of the rate limit through.
	BudgetThrottle = "Throttle"
	// BudgetBlock refuses.
	BudgetBlock = "Block"
)

// Budget is the spending limit per UTC month.
type Budget struct {
	// MonthlyMicroUSD is the limit in micro-dollars. Zero means no limit.
	MonthlyMicroUSD int64 `json:"monthlyMicroUSD,omitempty"`
	// OnExceeded is BudgetWarn, BudgetThrottle or BudgetBlock.
	OnExceeded string `json:"onExceeded,omitempty"`
}

// Sessions bounds the chat history.
type Sessions struct {
	// RetentionDays is how long a session is kept after its last message.
	RetentionDays int `json:"retentionDays"`
	// MaxMessages is how many messages a session keeps; older ones are dropped.
	MaxMessages int `json:"maxMessages"`
}

// Cloudflare holds what the tenant uses of its Cloudflare account beside models.
type Cloudflare struct {
	// AccountID is the account, 32 hexadecimal digits.
	AccountID string `json:"accountID,omitempty"`
	// API replaces https://api.cloudflare.com/client/v4, S3
	// https://<account>.r2.cloudflarestorage.com.
	API string `json:"api,omitempty"`
	S3  string `json:"s3,omitempty"`
	// CredentialsFile is the name, beside this document, of the file with the API token.
	CredentialsFile string `json:"credentialsFile,omitempty"`
	// CredentialsRevision changes whenever the token does, see Upstream.
	CredentialsRevision string `json:"credentialsRevision,omitempty"`
	// TokenID is the API token's id: with the token's digest it opens R2 over S3.
	TokenID string `json:"tokenID,omitempty"`
	// UsageLedger is the D1 database that usage is copied to.
	UsageLedger string `json:"usageLedger,omitempty"`
	// ConfigExport is the KV namespace that this document is copied to.
	ConfigExport string `json:"configExport,omitempty"`
	// Originals is the R2 bucket of uploaded documents, OriginalsJurisdiction its
	// jurisdiction: "default", "eu" or "fedramp".
	Originals             string `json:"originals,omitempty"`
	OriginalsJurisdiction string `json:"originalsJurisdiction,omitempty"`
}
