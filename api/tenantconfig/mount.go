package tenantconfig

// Where the document and the secrets beside it lie in the pod. The operator mounts
// one Secret as the directory Dir, without subPath, so that changes arrive live.
const (
	// Dir is the directory in the pod.
	Dir = "/etc/crispy-enigma"
	// DocumentFile is the document's name in Dir.
	DocumentFile = "tenant.json"
	// StatusTokenFile holds the bearer token of GET /status.
	StatusTokenFile = "status-token"
	// UpstreamTokenFile holds the upstream's bearer token, if there is one.
	UpstreamTokenFile = "upstream-token"
	// CloudflareTokenFile holds the tenant's Cloudflare API token, if it has one.
	CloudflareTokenFile = "cloudflare-token"
	// StateURLFile and StateCAFile hold the address of the server that state is kept on
	// and its certificates; LimitsURLFile and LimitsCAFile those of rate windows and
	// budgets, where they are kept elsewhere.
	StateURLFile  = "state-url"
	StateCAFile   = "state-ca.crt"
	LimitsURLFile = "limits-url"
	LimitsCAFile  = "limits-ca.crt"
	// ToolSecretPrefix begins the names of the files with the secrets of tools.
	ToolSecretPrefix = "tool-"
	// StateDir is where the volume of the embedded store is mounted.
	StateDir = "/var/lib/crispy-enigma"
	// CacheDir is where a pod with documents and no StateDir may keep what it can make
	// anew, such as the PDF engine's compiled code. It is empty in a new pod.
	CacheDir = "/var/cache/crispy-enigma"
	// EnvDir names the environment variable that replaces Dir.
	EnvDir = "ENIGMA_CONFIG_DIR"
	// EnvExtractMemory names the environment variable with the most memory, in bytes, that
	// whatever reads PDF and office files may take beside the server; unset, there is no
	// other bound than the reader's own.
	EnvExtractMemory = "ENIGMA_EXTRACT_MEMORY"
)

// Ports that the operator renders and the Service targets.
const (
	// APIPort serves the tenant's API.
	APIPort = 8080
	// MetricsPort serves health, metrics and status.
	MetricsPort = 9090
)

// StatusPath is where the runtime tells the operator, on the metrics port, what is
// in force.
const StatusPath = "/status"

// Status is the answer of GET /status.
type Status struct {
	// ConfigDigest is the Digest of the document in force.
	ConfigDigest string `json:"configDigest"`
	// ConfigError says why a newer document was refused, with the field's path.
	ConfigError string `json:"configError,omitempty"`
	// Build is the runtime's version.
	Build string `json:"build"`
	// Model is the default chat model, and whether its upstream answered last.
	Model ModelStatus `json:"model"`
	// Store tells whether the state store answers.
	Store StoreStatus `json:"store"`
	// Documents tells whether the store of documents answers; zero without one.
	Documents StoreStatus `json:"documents,omitzero"`
	// Index tells what can be searched; zero without documents.
	Index IndexStatus `json:"index,omitzero"`
	// Tools are those of the tenant's own that can't be used, and why.
	Tools []ToolStatus `json:"tools,omitempty"`
	// Usage of the current UTC day and month.
	Usage UsageStatus `json:"usage"`
	// ActiveStreams are the streams that are open now.
	ActiveStreams int `json:"activeStreams"`
}

// ModelStatus tells of the default chat model.
type ModelStatus struct {
	ID string `json:"id"`
	// State is "unknown" before the first call, then "ok" or "failing".
	State string `json:"state"`
	// Reason is one of the error kinds of the model interface when failing, for
	// example "unauthorized" or "unavailable".
	Reason string `json:"reason,omitempty"`
}

// StoreStatus tells of the state store.
type StoreStatus struct {
	Driver string `json:"driver"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// IndexStatus tells what can be searched.
type IndexStatus struct {
	// Ready tells that all documents can be found.
	Ready     bool  `json:"ready"`
	Documents int64 `json:"documents"`
	Passages  int64 `json:"passages"`
	// OpenJobs are documents that wait to be taken in.
	OpenJobs int `json:"openJobs"`
	// Model that makes the vectors.
	Model string `json:"model,omitempty"`
}

// ToolStatus tells of an http tool or a server of tools that can't be used.
type ToolStatus struct {
	Name string `json:"name"`
	// Reason is one word for a script, for example "Unreachable".
	Reason string `json:"reason"`
	// Message says what to do. It holds no secret.
	Message string `json:"message"`
}

// UsageStatus is what the tenant has used.
type UsageStatus struct {
	TokensToday     int64 `json:"tokensToday"`
	TokensThisMonth int64 `json:"tokensThisMonth"`
	MicroUSDMonth   int64 `json:"microUSDThisMonth"`
	RequestsToday   int64 `json:"requestsToday"`
}
