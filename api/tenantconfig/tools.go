package tenantconfig

import "encoding/json"

// What a tool does to the world.
const (
	// EffectRead looks something up and changes nothing.
	EffectRead = "read"
	// EffectWrite changes something, or tells somebody something.
	EffectWrite = "write"
)

// Tools says what models and callers may do.
type Tools struct {
	// Enabled opens the tools' endpoints and gives tools to models.
	Enabled bool `json:"enabled,omitempty"`
	// Allow are the only tools there are, if it isn't empty; Deny aren't there in any
	// case. Tools of an MCP server are named <server>.<tool>, and <server>.* is all.
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
	// MaxSteps is how often one question may go back to the model with results, 1 to 32;
	// 0 is 8.
	MaxSteps int `json:"maxSteps,omitempty"`
	// AfterUntrusted are tools with effects, or that leave the pod, which a model may
	// still call once documents or results of tools are before it. Without it, such text
	// could make it act.
	AfterUntrusted []string `json:"afterUntrusted,omitempty"`
	// HTTP are tools that call the tenant's own services.
	HTTP []HTTPTool `json:"http,omitempty"`
	// MCP are servers of the Model Context Protocol whose tools are offered.
	MCP []MCPServer `json:"mcp,omitempty"`
}

// HTTPTool is one call of a service.
type HTTPTool struct {
	// Name is unique among tools: letters, digits, _ and -, at most 64.
	Name string `json:"name"`
	// Description tells the model what it is for.
	Description string `json:"description"`
	// Method is GET, POST, PUT, PATCH or DELETE.
	Method string `json:"method"`
	// URL with {parameter} in its path and query, never in its host.
	URL string `json:"url"`
	// Parameters is a JSON Schema (2020-12) of an object. What isn't in URL is sent as a
	// JSON body, or with GET and DELETE as a query.
	Parameters json.RawMessage `json:"parameters,omitempty"`
	// Headers are sent as they are.
	Headers map[string]string `json:"headers,omitempty"`
	// SecretHeaders are sent with the contents of files beside this document.
	SecretHeaders []SecretHeader `json:"secretHeaders,omitempty"`
	// Effect is EffectRead or EffectWrite.
	Effect string `json:"effect"`
	// Private allows addresses of private networks, such as services of the cluster. Never
	// the pod's own or those of the cloud's metadata.
	Private bool `json:"private,omitempty"`
	// RedirectHosts are hosts beside the URL's own that a redirect may lead to.
	RedirectHosts []string `json:"redirectHosts,omitempty"`
	// TimeoutSeconds of the whole call, 1 to 120; 0 is 30.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
	// Retries of a call that was refused for a moment, 0 to 3; only with EffectRead.
	Retries int `json:"retries,omitempty"`
	// Result is a JSON Pointer to the part of the answer that is given; empty for all.
	Result string `json:"result,omitempty"`
}

// SecretHeader is a header whose value is a secret.
type SecretHeader struct {
	// Name of the header.
	Name string `json:"name"`
	// Prefix comes before the value, for example "Bearer ".
	Prefix string `json:"prefix,omitempty"`
	// ValueFile is the name, beside this document, of the file with the value.
	ValueFile string `json:"valueFile"`
	// Revision changes whenever the value does. It is a keyed hash.
	Revision string `json:"revision,omitempty"`
}

// MCPServer is a server of the Model Context Protocol, over streamable HTTP.
type MCPServer struct {
	// Name is unique among servers and begins its tools' names: letters, digits, _ and -,
	// at most 32.
	Name string `json:"name"`
	// URL of its endpoint.
	URL string `json:"url"`
	// TokenFile is the name, beside this document, of the file with the bearer token;
	// empty for none.
	TokenFile string `json:"tokenFile,omitempty"`
	// Revision changes whenever the token does. It is a keyed hash.
	Revision string `json:"revision,omitempty"`
	// Allow are the only tools that are taken from it, if it isn't empty.
	Allow []string `json:"allow,omitempty"`
	// ReadOnly are those of its tools that have EffectRead. What a server says of itself
	// isn't believed.
	ReadOnly []string `json:"readOnly,omitempty"`
	// Private allows addresses of private networks, see HTTPTool.
	Private bool `json:"private,omitempty"`
	// TimeoutSeconds of one call, 1 to 120; 0 is 30.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
}

// Speech providers.
const (
	// SpeechUpstream is the upstream of the chat models.
	SpeechUpstream = "upstream"
	// SpeechLocal is flite or espeak-ng in the runtime's image.
	SpeechLocal = "local"
)

// Speech says who reads texts out.
type Speech struct {
	// Provider is SpeechUpstream or SpeechLocal, or empty without speech.
	Provider string `json:"provider,omitempty"`
	// Model at the upstream.
	Model string `json:"model,omitempty"`
	// Voice that is used where none is asked for; empty for the model's own.
	Voice string `json:"voice,omitempty"`
	// Voices that GET /tts/voices tells and a request may name. Empty allows any.
	Voices []string `json:"voices,omitempty"`
}
