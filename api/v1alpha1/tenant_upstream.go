package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccountReference names a CloudflareAccount.
type AccountReference struct {
	// name of the CloudflareAccount.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="accountRef.name must be the name of a CloudflareAccount: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
	// namespace of the CloudflareAccount; another namespace than the Tenant's must be
	// allowed by the account. Default: the Tenant's.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="accountRef.namespace must be the name of a namespace: lower-case letters, digits and '-'"
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// UpstreamType is the kind of model server.
//
// +kubebuilder:validation:Enum=embedded;openai;workersai
type UpstreamType string

// Upstream types.
const (
	UpstreamEmbedded  UpstreamType = "embedded"
	UpstreamOpenAI    UpstreamType = "openai"
	UpstreamWorkersAI UpstreamType = "workersai"
)

// Upstream is where the models are.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'openai' || has(self.baseURL)",message="spec.upstream.baseURL is required with type openai: the server's address up to and with /v1, for example http://ollama.models:11434/v1"
// +kubebuilder:validation:XValidation:rule="self.type == 'openai' || !has(self.baseURL)",message="spec.upstream.baseURL is only for type openai; remove it, or set spec.upstream.type to openai"
// +kubebuilder:validation:XValidation:rule="self.type == 'openai' || !has(self.credentialsSecretRef)",message="spec.upstream.credentialsSecretRef is only for type openai; Workers AI takes its token from the CloudflareAccount"
// +kubebuilder:validation:XValidation:rule="self.type != 'workersai' || has(self.accountRef)",message="spec.upstream.accountRef is required with type workersai: name a CloudflareAccount"
// +kubebuilder:validation:XValidation:rule="self.type == 'workersai' || !has(self.gateway)",message="spec.upstream.gateway is only for type workersai; remove it"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.accountRef) || (has(self.accountRef) && self.accountRef == oldSelf.accountRef)",message="spec.upstream.accountRef can't change once set: what the tenant owns lies in that account; make a new Tenant for the other account"
type Upstream struct {
	// type is embedded (the built-in model, which answers with sentences of the
	// conversation), openai (any server with OpenAI's chat completions: Ollama, vLLM,
	// llama.cpp, LiteLLM) or workersai (Cloudflare). Default: embedded.
	// +kubebuilder:default=embedded
	// +optional
	Type UpstreamType `json:"type,omitempty"`
	// baseURL of an OpenAI-compatible server, up to and with /v1, for example
	// "http://ollama.models:11434/v1". It holds no user name, query or fragment. Default:
	// none; it is required with type openai.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname().size() > 0 && !self.contains('@') && !self.contains('?') && !self.contains('#')",message="spec.upstream.baseURL must be an http or https address without user name, query or fragment, for example http://ollama.models:11434/v1; a key goes into spec.upstream.credentialsSecretRef"
	// +kubebuilder:validation:XValidation:rule="!self.matches('/chat/completions/?$')",message="spec.upstream.baseURL must end before /chat/completions, which is added to it"
	// +optional
	BaseURL string `json:"baseURL,omitempty"`
	// credentialsSecretRef is the Secret with the server's bearer token, in the same
	// namespace. Default: none is sent.
	// +optional
	CredentialsSecretRef *SecretKeyReference `json:"credentialsSecretRef,omitempty"`
	// accountRef names the CloudflareAccount whose Workers AI and AI Gateway are used, and
	// in which spec.documents and spec.cloudflare have their things, with any type.
	// It can't change once set. Default: none; it is required with type workersai.
	// +optional
	AccountRef *AccountReference `json:"accountRef,omitempty"`
	// gateway sets how AI Gateway treats the tenant's calls.
	// +optional
	Gateway *GatewaySettings `json:"gateway,omitempty"`
}

// GatewayMode says whose AI Gateway a tenant's calls pass.
//
// +kubebuilder:validation:Enum=Shared;Dedicated
type GatewayMode string

// Whose AI Gateway a tenant's calls pass.
const (
	GatewayShared    GatewayMode = "Shared"
	GatewayDedicated GatewayMode = "Dedicated"
)

// GatewaySettings are what AI Gateway does with the tenant's calls.
//
// +kubebuilder:validation:XValidation:rule="!has(self.bindingRef) || self.mode == 'Dedicated'",message="spec.upstream.gateway.bindingRef names a gateway other than the account's shared one; set spec.upstream.gateway.mode to Dedicated with it"
type GatewaySettings struct {
	// mode is Shared (the account's one gateway, where calls carry the tenant's name and
	// cache entries its mark) or Dedicated (a gateway of the tenant's own; an account has
	// 10 to 20 in all). Default: Shared.
	// +kubebuilder:default=Shared
	// +optional
	Mode GatewayMode `json:"mode,omitempty"`
	// bindingRef names a CloudflareBinding of type AIGateway in the same namespace, with
	// mode Dedicated. Default: one is made for the tenant.
	// +optional
	BindingRef *BindingReference `json:"bindingRef,omitempty"`
	// cacheTTL lets the gateway answer a repeated question from its cache for so long:
	// 60s to 720h, or 0s for never. Default: 0s.
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration('0s') || (duration(self) >= duration('60s') && duration(self) <= duration('720h'))",message="spec.upstream.gateway.cacheTTL must be 0s (off) or from 60s to 720h"
	// +optional
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`
	// collectLogs lets the gateway keep prompts and answers in its log. Default: false.
	// +kubebuilder:default=false
	// +optional
	CollectLogs bool `json:"collectLogs,omitempty"`
}

// Models names the models that answer.
//
// +kubebuilder:validation:XValidation:rule="!has(self.chat) || !has(self.allowed) || self.allowed.size() == 0 || self.chat in self.allowed",message="spec.models.allowed must hold spec.models.chat: without it every request that names no model would be refused"
// +kubebuilder:validation:XValidation:rule="!has(self.chat) || !has(self.fallbacks) || !(self.chat in self.fallbacks)",message="spec.models.fallbacks must not hold spec.models.chat: it has failed when a fallback is asked"
type Models struct {
	// chat is the default chat model as its server names it, for example
	// "@cf/meta/llama-3.1-8b-instruct-fast" or "llama3.2". Default:
	// "builtin/extractive" with the embedded upstream, else the class's.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="spec.models.chat must be a model's name without spaces, in ASCII"
	// +optional
	Chat string `json:"chat,omitempty"`
	// fallbacks are tried in order when chat fails before its first token. Default:
	// none. At most 8.
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[!-~]+$')",message="spec.models.fallbacks must hold models' names without spaces, in ASCII"
	// +kubebuilder:validation:XValidation:rule="self.all(f, self.exists_one(g, g == f))",message="spec.models.fallbacks must name each model once"
	// +listType=atomic
	// +optional
	Fallbacks []string `json:"fallbacks,omitempty"`
	// allowed are the models that a request may name. Default: chat and fallbacks. At
	// most 64.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[!-~]+$')",message="spec.models.allowed must hold models' names without spaces, in ASCII"
	// +listType=set
	// +optional
	Allowed []string `json:"allowed,omitempty"`
}

// Prompt shapes every conversation.
//
// +kubebuilder:validation:XValidation:rule="!has(self.system) || self.system.findAll('[{][{] *[A-Za-z_][A-Za-z0-9_]* *[}][}]', 128).all(v, has(self.variables) && v.replace('{{', ' ').replace('}}', ' ').trim() in self.variables)",message="spec.prompt.system names a {{variable}} that spec.prompt.variables doesn't hold; add its value, or write it without the double braces"
type Prompt struct {
	// system is the system prompt, at most 32768 characters; {{name}} is replaced by
	// the variable of that name. Default: none.
	// +kubebuilder:validation:MaxLength=32768
	// +optional
	System string `json:"system,omitempty"`
	// variables are the values for {{name}} in system: at most 64, each of at most 4096
	// characters, with names of at most 63 letters, digits and '_'. Default: none.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^[A-Za-z_][A-Za-z0-9_]{0,62}$'))",message="spec.prompt.variables must have names of at most 63 letters, digits and '_', and not begin with a digit"
	// +optional
	Variables map[string]PromptValue `json:"variables,omitempty"`
	// temperature of sampling, from 0 (always the likeliest word) to 2. Default: the
	// model's own.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	// +optional
	Temperature *float64 `json:"temperature,omitempty"`
	// maxTokens bounds one answer, in tokens. It is always sent. Default: 1024.
	// +kubebuilder:default=1024
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=131072
	// +optional
	MaxTokens int32 `json:"maxTokens,omitempty"`
	// topP of sampling, above 0 to 1: only the likeliest words that together have this
	// probability are drawn from. Default: the model's own.
	// +kubebuilder:validation:Minimum=0.001
	// +kubebuilder:validation:Maximum=1
	// +optional
	TopP *float64 `json:"topP,omitempty"`
	// stop ends an answer where the model writes one of these. Default: none. At most 4.
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +listType=set
	// +optional
	Stop []string `json:"stop,omitempty"`
	// contextTokens is the model's context window: prompt, history and answer together, in
	// tokens, at least 1024. The oldest messages are left out of what no longer fits.
	// Default: 8192.
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=4000000
	// +optional
	ContextTokens int32 `json:"contextTokens,omitempty"`
	// summarize has the model sum up the messages that no longer fit, instead of leaving
	// them out. It costs a call now and then. Default: false.
	// +kubebuilder:default=false
	// +optional
	Summarize bool `json:"summarize,omitempty"`
}

// PromptValue is the value of a prompt's variable.
//
// +kubebuilder:validation:MaxLength=4096
type PromptValue string
