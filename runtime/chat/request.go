package chat

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

const (
	// defaultMessageChars is the longest message where the tenant sets none.
	defaultMessageChars = 10_000
	// defaultMaxTokens bounds an answer where the tenant sets none.
	defaultMaxTokens = 1024
	maxModelChars    = 256
	// maxUserChars is tenancy's bound, held for keys that vouch for nobody too: what a
	// client sends today must not be refused when its key begins to.
	maxUserChars = 128
	maxToolChars = 256
)

// Request is the body of POST /chat.
type Request struct {
	// SessionID is a UUID of the client's choice.
	SessionID string `json:"sessionId"`
	// Message of the user, 1 to the tenant's messageChars code points.
	Message string `json:"message"`
	// ModelID replaces the tenant's model, if its list of allowed models has it.
	ModelID string `json:"modelId"`
	// Stream is true if omitted.
	Stream *bool `json:"stream"`
	// UserID is the end user, believed only of keys that may vouch for users.
	UserID string `json:"userId"`
	// UseRAG, TopK and Filter ask for documents.
	UseRAG bool            `json:"useRag"`
	TopK   *int            `json:"topK"`
	Filter json.RawMessage `json:"filter"`
	// ToolName and ToolParams ask for a tool, which is run before the model is asked.
	ToolName   string          `json:"tool_name"`
	ToolParams json.RawMessage `json:"tool_params"`
	// UseTools demands a model that can call the tenant's tools, or forbids it to. If
	// omitted they are offered to models that can.
	UseTools *bool `json:"useTools"`
	// Temperature is 0 to 2.
	Temperature *float64 `json:"temperature"`
	// MaxTokens is 1 to the tenant's maxTokens.
	MaxTokens *int `json:"maxTokens"`
}

// Validate checks what needs no tenant.
func (r *Request) Validate() []httpapi.Detail {
	var ds []httpapi.Detail
	wrong := func(path, message string) { ds = append(ds, httpapi.Detail{Path: path, Message: message}) }
	if !httpapi.IsUUID(r.SessionID) {
		wrong("sessionId", "must be a UUID, for example 3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f")
	}
	if r.Message == "" {
		wrong("message", "must not be empty")
	}
	if utf8.RuneCountInString(r.ModelID) > maxModelChars {
		wrong("modelId", "must have at most "+strconv.Itoa(maxModelChars)+" characters")
	}
	if utf8.RuneCountInString(r.UserID) > maxUserChars {
		wrong("userId", "must have at most "+strconv.Itoa(maxUserChars)+" characters")
	}
	// NaN can't be written in JSON.
	if r.Temperature != nil && (*r.Temperature < 0 || *r.Temperature > 2) {
		wrong("temperature", "must be from 0 to 2")
	}
	if r.MaxTokens != nil && *r.MaxTokens < 1 {
		wrong("maxTokens", "must be 1 or more")
	}
	if utf8.RuneCountInString(r.ToolName) > maxToolChars {
		wrong("tool_name", "must have at most "+strconv.Itoa(maxToolChars)+" characters")
	}
	if r.ToolName == "" && given(r.ToolParams) {
		wrong("tool_params", "needs tool_name beside it")
	}
	if r.TopK != nil && (*r.TopK < 1 || *r.TopK > 50) {
		wrong("topK", "must be from 1 to 50")
	}
	return ds
}

func (r *Request) wantsStream() bool { return r.Stream == nil || *r.Stream }

// settings are a request's choices within the tenant's bounds.
type settings struct {
	// models to ask, in order.
	models      []string
	named       bool
	maxTokens   int
	temperature *float64
	sampling    ai.Sampling
}

// settle checks what depends on the tenant.
func (f *Feature) settle(r *Request, cfg *tenantconfig.Config) (settings, error) {
	if err := r.withinTenant(cfg); err != nil {
		return settings{}, err
	}
	if err := f.withoutMissing(r, cfg); err != nil {
		return settings{}, err
	}
	s := settings{named: r.ModelID != "", maxTokens: maxTokens(cfg), temperature: r.Temperature}
	model := cfg.Models.Chat
	if s.named {
		model = r.ModelID
	}
	if len(cfg.Models.Allowed) > 0 && !slices.Contains(cfg.Models.Allowed, model) {
		return settings{}, &httpapi.Error{
			Status: http.StatusForbidden, Code: "model_not_allowed",
			Message: "this tenant may not use this model; leave modelId out, or name one of the tenant's allowed models",
			Details: []httpapi.Detail{{Path: "modelId", Message: "must be one of " + strings.Join(cfg.Models.Allowed, ", ")}},
		}
	}
	s.models = append(append(make([]string, 0, 1+len(cfg.Models.Fallbacks)), model), cfg.Models.Fallbacks...)
	if r.MaxTokens != nil {
		s.maxTokens = *r.MaxTokens
	}
	if s.temperature == nil && cfg.Prompt.TemperatureMilli != nil {
		t := float64(*cfg.Prompt.TemperatureMilli) / 1000
		s.temperature = &t
	}
	if cfg.Prompt.TopPMilli != nil {
		p := float64(*cfg.Prompt.TopPMilli) / 1000
		s.sampling.TopP = &p
	}
	s.sampling.Stop = cfg.Prompt.Stop
	return s, nil
}

func (r *Request) withinTenant(cfg *tenantconfig.Config) error {
	chars := cfg.Limits.MessageChars
	if chars <= 0 {
		chars = defaultMessageChars
	}
	if len(r.Message) > chars && utf8.RuneCountInString(r.Message) > chars {
		return httpapi.Invalid("message", "must have at most "+strconv.Itoa(chars)+" characters")
	}
	if most := maxTokens(cfg); r.MaxTokens != nil && *r.MaxTokens > most {
		return httpapi.Invalid("maxTokens", "must be at most "+strconv.Itoa(most)+" for this tenant")
	}
	return nil
}

// withoutMissing refuses what this tenant has not got, rather than answering as if
// it had been heeded.
func (f *Feature) withoutMissing(r *Request, cfg *tenantconfig.Config) error {
	if (r.UseRAG || r.TopK != nil || given(r.Filter)) && (f.Retriever == nil || cfg.Documents.Store == "") {
		return &httpapi.Error{
			Status: http.StatusForbidden, Code: "documents_not_enabled",
			Message: "documents aren't enabled for this tenant; leave useRag, topK and filter out",
		}
	}
	if (r.ToolName != "" || r.UseTools != nil && *r.UseTools) && (f.Toolbox == nil || !cfg.Tools.Enabled) {
		return &httpapi.Error{
			Status: http.StatusForbidden, Code: "tools_not_enabled",
			Message: "tools aren't enabled for this tenant; leave tool_name, tool_params and useTools out",
		}
	}
	return nil
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func maxTokens(cfg *tenantconfig.Config) int {
	if cfg.Prompt.MaxTokens > 0 {
		return cfg.Prompt.MaxTokens
	}
	return defaultMaxTokens
}
