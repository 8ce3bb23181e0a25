package aifake

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
)

// Chat is a chat-completions body. Its fields are all that OpenAI's schema has and
// this project may send; another one is refused.
type Chat struct {
	Model             string          `json:"model"`
	Messages          []Message       `json:"messages"`
	MaxTokens         *int            `json:"max_tokens"`
	Temperature       *float64        `json:"temperature"`
	TopP              *float64        `json:"top_p"`
	FrequencyPenalty  *float64        `json:"frequency_penalty"`
	PresencePenalty   *float64        `json:"presence_penalty"`
	Stop              []string        `json:"stop"`
	Seed              *int64          `json:"seed"`
	User              *string         `json:"user"`
	ResponseFormat    *ResponseFormat `json:"response_format"`
	Tools             []Tool          `json:"tools"`
	ToolChoice        json.RawMessage `json:"tool_choice"`
	ParallelToolCalls *bool           `json:"parallel_tool_calls"`
	Stream            bool            `json:"stream"`
	StreamOptions     *StreamOptions  `json:"stream_options"`
}

// Message is one message of a Chat.
type Message struct {
	Role       string     `json:"role"`
	Content    *string    `json:"content"`
	Name       *string    `json:"name"`
	ToolCalls  []ToolCall `json:"tool_calls"`
	ToolCallID string     `json:"tool_call_id"`
}

// Text is the content, empty if there is none.
func (m Message) Text() string {
	if m.Content == nil {
		return ""
	}
	return *m.Content
}

// StreamOptions may stand only beside stream:true.
type StreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// promptTokens is the fake tokenizer's count: a token for every four bytes begun,
// and four for each message. Calls and tools count by their names and JSON.
func (c Chat) promptTokens() int {
	n := 0
	for _, m := range c.Messages {
		n += 4 + (len(m.Text())+3)/4
		for _, call := range m.ToolCalls {
			n += (len(call.Function.Name) + len(call.Function.Arguments) + 3) / 4
		}
	}
	for _, t := range c.Tools {
		n += 4 + (len(t.Function.Name)+len(t.Function.Description)+len(t.Function.Parameters)+3)/4
	}
	return n
}

var (
	plainPath   = regexp.MustCompile(`^/v1/chat/completions$`)
	accountPath = regexp.MustCompile(`^/client/v4/accounts/[0-9a-f]{32}/ai/v1/chat/completions$`)
	gatewayPath = regexp.MustCompile(`^/v1/[0-9a-f]{32}/[a-z0-9_]+(-[a-z0-9_]+)*/workers-ai/v1/chat/completions$`)
)

// check gives the status and the complaint that a real server would have.
func check(r *Request) (status int, complaint string) {
	gateway := gatewayPath.MatchString(r.Path)
	cloudflare := gateway || accountPath.MatchString(r.Path)
	switch {
	case !cloudflare && !plainPath.MatchString(r.Path):
		return http.StatusNotFound, "Unknown request URL: " + r.Path
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, "Only POST is allowed."
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		return http.StatusUnsupportedMediaType, "The body must be application/json."
	case cloudflare && !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "):
		return http.StatusUnauthorized, "Authentication error"
	}
	if complaint := checkGatewayHeaders(r.Header, gateway); complaint != "" {
		return http.StatusBadRequest, complaint
	}
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r.Chat); err != nil {
		return http.StatusBadRequest, "The body isn't a chat completion: " + err.Error()
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return http.StatusBadRequest, "The body has something after its end."
	}
	return http.StatusBadRequest, r.Chat.complaint()
}

func (c Chat) complaint() string {
	switch {
	case c.Model == "":
		return "model is required."
	case len(c.Messages) == 0:
		return "messages must not be empty."
	case c.MaxTokens == nil || *c.MaxTokens < 1:
		return "max_tokens is required, 1 or more."
	case c.Temperature != nil && (*c.Temperature < 0 || *c.Temperature > 2):
		return "temperature must be from 0 to 2."
	case c.StreamOptions != nil && !c.Stream:
		return "stream_options is only allowed with stream."
	}
	if complaint := c.samplingComplaint(); complaint != "" {
		return complaint
	}
	if complaint := c.toolComplaint(); complaint != "" {
		return complaint
	}
	return c.messageComplaint()
}

// gatewayHeaders are the cf-aig headers that this project has a use for, and the
// rule of each.
var gatewayHeaders = map[string]func(string) bool{
	"Cf-Aig-Authorization":   func(v string) bool { return strings.HasPrefix(v, "Bearer ") && len(v) > len("Bearer ") },
	"Cf-Aig-Metadata":        isMetadata,
	"Cf-Aig-Cache-Ttl":       within(60, 2_592_000),
	"Cf-Aig-Skip-Cache":      isBool,
	"Cf-Aig-Cache-Key":       func(v string) bool { return v != "" && len(v) <= 256 },
	"Cf-Aig-Collect-Log":     isBool,
	"Cf-Aig-Request-Timeout": within(1, 600_000),
}

// checkGatewayHeaders: a cf-aig header means nothing to a server that is no gateway,
// so sending one there is a mistake.
func checkGatewayHeaders(h http.Header, gateway bool) string {
	for name, values := range h {
		if !strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), "Cf-Aig-") {
			continue
		}
		if !gateway {
			return name + " was sent to a server that is no AI Gateway."
		}
		rule, known := gatewayHeaders[name]
		if !known {
			return name + " is no header of AI Gateway."
		}
		if len(values) != 1 || !rule(values[0]) {
			return name + " breaks its rule."
		}
	}
	if gateway && h.Get("Cf-Aig-Cache-Key") == "" && h.Get("Cf-Aig-Skip-Cache") != "true" {
		return "Without cf-aig-cache-key all tenants would share the gateway's cache."
	}
	return ""
}

func isBool(v string) bool { return v == "true" || v == "false" }

func within(least, most int) func(string) bool {
	return func(v string) bool {
		n, err := strconv.Atoi(v)
		return err == nil && n >= least && n <= most
	}
}

// isMetadata: an object of at most five scalars.
func isMetadata(v string) bool {
	var m map[string]any
	if json.Unmarshal([]byte(v), &m) != nil || len(m) > 5 {
		return false
	}
	for _, value := range m {
		switch value.(type) {
		case string, float64, bool:
		default:
			return false
		}
	}
	return true
}
