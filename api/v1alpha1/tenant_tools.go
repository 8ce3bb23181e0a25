package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Tools opens /tools and /mcp, and gives tools to models.
//
// +kubebuilder:validation:XValidation:rule="self.enabled || !(has(self.http) || has(self.mcp) || has(self.allow) || has(self.deny) || has(self.afterUntrusted))",message="spec.tools has settings but isn't enabled; set spec.tools.enabled: true, or remove them"
type Tools struct {
	// enabled opens the tools. Built in are summarize, extract_entities, classify_intent,
	// tag_chunk_docs and, with spec.documents, ingest_docs and search_docs. Default: false.
	// +kubebuilder:default=false
	// +optional
	Enabled bool `json:"enabled,omitempty"`
	// allow are the only tools there are. A tool of an MCP server is <server>.<tool>, and
	// <server>.* is all of it. Default: all. At most 256.
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Allow []ToolPattern `json:"allow,omitempty"`
	// deny are tools that aren't there in any case, written like allow. Default: none. At
	// most 256.
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Deny []ToolPattern `json:"deny,omitempty"`
	// maxSteps is how often one question may go back to the model with results of tools,
	// from 1 to 32. Default: 8.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	// +optional
	MaxSteps int32 `json:"maxSteps,omitempty"`
	// afterUntrusted are tools that change something or leave the pod, which a model may
	// call even once documents or results of tools are before it. Whoever writes such a
	// text can make the model call them. Written like allow. Default: none. At most 256.
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	AfterUntrusted []ToolPattern `json:"afterUntrusted,omitempty"`
	// http are tools that call services over HTTP. Default: none. At most 32.
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	// +optional
	HTTP []HTTPTool `json:"http,omitempty"`
	// mcp are servers of the Model Context Protocol whose tools are offered. Default:
	// none. At most 16.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	MCP []MCPServer `json:"mcp,omitempty"`
}

// ToolPattern is a tool, <server>.<tool> or <server>.*.
//
// +kubebuilder:validation:MaxLength=193
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9_-]{1,64}([.]([a-zA-Z0-9_./-]{1,128}|[*]))?$')",message="spec.tools lists must hold tools' names, <server>.<tool> or <server>.*"
type ToolPattern string

// ToolEffect is what a tool does to the world.
//
// +kubebuilder:validation:Enum=read;write
type ToolEffect string

// What a tool does to the world.
const (
	EffectRead  ToolEffect = "read"
	EffectWrite ToolEffect = "write"
)

// HTTPTool is one call of a service.
//
// +kubebuilder:validation:XValidation:rule="!has(self.retries) || self.retries == 0 || self.effect == 'read'",message="spec.tools.http[].retries goes with effect: read; what changes something isn't done twice"
type HTTPTool struct {
	// name by which models and callers know it: letters, digits, '_' and '-', at most 64.
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9_-]{1,64}$') && !(self in ['summarize', 'extract_entities', 'classify_intent', 'tag_chunk_docs', 'ingest_docs', 'search_docs'])",message="spec.tools.http[].name must be letters, digits, '_' and '-', at most 64, and not the name of a built-in tool"
	// +kubebuilder:validation:MaxLength=64
	Name string `json:"name"`
	// description tells the model what it does and when to use it, at most 4096 characters.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Description string `json:"description"`
	// method of the request.
	// +kubebuilder:validation:Enum=GET;POST;PUT;PATCH;DELETE
	Method string `json:"method"`
	// url with {parameter} in its path and query, for example
	// "https://orders.example.com/v1/orders/{id}". Its host is fixed.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@{}\\\\ ]+([/?][^#\\\\ ]*)?$')",message="spec.tools.http[].url must be an http or https address without user name or fragment, with {parameters} in path and query alone"
	URL string `json:"url"`
	// parameters is a JSON Schema (2020-12) of type object. What isn't in url is sent as a
	// JSON body, or with GET and DELETE as a query. Default: no parameters.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +optional
	Parameters *runtime.RawExtension `json:"parameters,omitempty"`
	// headers are sent as they are; secrets belong into secretHeaders. Default: none. At
	// most 16.
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Headers map[string]HeaderValue `json:"headers,omitempty"`
	// secretHeaders are sent with values from Secrets. Default: none. At most 8.
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=name
	// +optional
	SecretHeaders []SecretHeader `json:"secretHeaders,omitempty"`
	// effect is read (it looks something up) or write (it changes something, or tells
	// somebody something).
	Effect ToolEffect `json:"effect"`
	// private allows addresses of private networks, such as Services of the cluster, where
	// the tenant's class has allowPrivateTools. The pod's own and those of the cloud's
	// metadata are never reached. Default: false.
	// +kubebuilder:default=false
	// +optional
	Private bool `json:"private,omitempty"`
	// redirectHosts are hosts beside the url's own that a redirect may lead to. Default:
	// none. At most 16.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([*][.])?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="spec.tools.http[].redirectHosts must be names of hosts in lower case"
	// +listType=set
	// +optional
	RedirectHosts []string `json:"redirectHosts,omitempty"`
	// timeout of the whole call, from 1s to 2m. Default: 30s.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('2m')",message="spec.tools.http[].timeout must be from 1s to 2m"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// retries of a call that was refused for a moment, at most 3. Default: 0.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3
	// +optional
	Retries int32 `json:"retries,omitempty"`
	// result is a JSON Pointer to the part of the answer that is given, for example
	// "/data/items". Default: all of it.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self == '' || self.startsWith('/')",message="spec.tools.http[].result must be a JSON Pointer such as /data/items"
	// +optional
	Result string `json:"result,omitempty"`
}

// HeaderValue is one line.
//
// +kubebuilder:validation:MaxLength=4096
// +kubebuilder:validation:XValidation:rule="self.matches('^[ -~]*$')",message="spec.tools.http[].headers must be one line each, in ASCII"
type HeaderValue string

// SecretHeader is a header whose value is in a Secret.
type SecretHeader struct {
	// name of the header.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9-]{1,128}$')",message="spec.tools.http[].secretHeaders[].name must be the name of a header"
	Name string `json:"name"`
	// prefix comes before the value, for example "Bearer ". Default: none.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[ -~]*$')",message="spec.tools.http[].secretHeaders[].prefix must be one line, in ASCII"
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// secretRef has the value.
	SecretRef SecretKeyReference `json:"secretRef"`
}

// MCPServer is a server of the Model Context Protocol, over streamable HTTP.
type MCPServer struct {
	// name begins the names of its tools: letters, digits, '_' and '-', at most 32.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9_-]{1,32}$') && !(self in ['summarize', 'extract_entities', 'classify_intent', 'tag_chunk_docs', 'ingest_docs', 'search_docs'])",message="spec.tools.mcp[].name must be letters, digits, '_' and '-', at most 32, and not the name of a built-in tool"
	Name string `json:"name"`
	// url of its endpoint, for example "https://mcp.example.com/mcp".
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@{}\\\\ ]+([/?][^#{}\\\\ ]*)?$')",message="spec.tools.mcp[].url must be an http or https address without user name or fragment"
	URL string `json:"url"`
	// tokenSecretRef has the bearer token that is sent. Default: none is sent.
	// +optional
	TokenSecretRef *SecretKeyReference `json:"tokenSecretRef,omitempty"`
	// allow are the only tools that are taken from it. Default: all. At most 256.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +listType=set
	// +optional
	Allow []string `json:"allow,omitempty"`
	// readOnly are those of its tools that change nothing. What the server says of itself
	// isn't believed. Default: none. At most 256.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +listType=set
	// +optional
	ReadOnly []string `json:"readOnly,omitempty"`
	// private allows addresses of private networks, such as Services of the cluster, where
	// the tenant's class has allowPrivateTools. Default: false.
	// +kubebuilder:default=false
	// +optional
	Private bool `json:"private,omitempty"`
	// timeout of one call, from 1s to 2m. Default: 30s.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('2m')",message="spec.tools.mcp[].timeout must be from 1s to 2m"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// SpeechProvider reads texts out.
//
// +kubebuilder:validation:Enum=upstream;local
type SpeechProvider string

// Who reads texts out.
const (
	SpeechUpstream SpeechProvider = "upstream"
	SpeechLocal    SpeechProvider = "local"
)

// Speech opens /tts and /v1/audio/speech.
//
// +kubebuilder:validation:XValidation:rule="has(self.model) == (self.provider == 'upstream')",message="spec.speech.model names a model of the upstream: it goes with, and is needed by, provider: upstream"
type Speech struct {
	// provider is upstream (a model of spec.upstream) or local (flite or espeak-ng, where
	// the runtime's image has it; the released one has none).
	Provider SpeechProvider `json:"provider"`
	// model at the upstream, for example "tts-1" or "@cf/myshell-ai/melotts". Default:
	// none: local has its own.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="spec.speech.model must be a model's name without spaces, in ASCII"
	// +optional
	Model string `json:"model,omitempty"`
	// voice that is used where a request names none. Default: the model's own.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Voice string `json:"voice,omitempty"`
	// voices that a request may name and GET /tts/voices tells. Default: any. At most 256.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +listType=set
	// +optional
	Voices []string `json:"voices,omitempty"`
}
