package chatwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type requestBody struct {
	Model            string          `json:"model"`
	Messages         []message       `json:"messages"`
	MaxTokens        int             `json:"max_tokens"`
	Temperature      *float64        `json:"temperature,omitempty"`
	TopP             *float64        `json:"top_p,omitempty"`
	FrequencyPenalty *float64        `json:"frequency_penalty,omitempty"`
	PresencePenalty  *float64        `json:"presence_penalty,omitempty"`
	Seed             *int64          `json:"seed,omitempty"`
	Stop             []string        `json:"stop,omitempty"`
	ResponseFormat   json.RawMessage `json:"response_format,omitempty"`
	Tools            []tool          `json:"tools,omitempty"`
	ToolChoice       any             `json:"tool_choice,omitempty"`
	ParallelCalls    *bool           `json:"parallel_tool_calls,omitempty"`
	Stream           bool            `json:"stream"`
	StreamOptions    *streamOptions  `json:"stream_options,omitempty"`
}

// message always has a content: some servers refuse null, which OpenAI allows beside
// calls of tools.
type message struct {
	Role       string `json:"role"`
	Content    string `json:"content"`
	ToolCalls  []call `json:"tool_calls,omitempty"`
	ToolCallID string `json:"tool_call_id,omitempty"`
}

type call struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function calledByName `json:"function"`
}

type calledByName struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type tool struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// encode makes the body. The same request always gives the same bytes, which a
// gateway's cache key is made from.
func encode(t tenancy.ID, req ai.ChatRequest, stream bool) ([]byte, error) {
	switch {
	case t.IsZero():
		return nil, errors.New("a model is called for a tenant, and none was named")
	case req.Model == "":
		return nil, errors.New("no model was named")
	case len(req.Messages) == 0:
		return nil, errors.New("the conversation is empty")
	case req.MaxTokens < 1:
		return nil, fmt.Errorf("max tokens is %d; it must be 1 or more", req.MaxTokens)
	}
	p := req.Sampling
	b := requestBody{
		Model: req.Model, MaxTokens: req.MaxTokens, Temperature: req.Temperature, TopP: p.TopP,
		FrequencyPenalty: p.FrequencyPenalty, PresencePenalty: p.PresencePenalty, Seed: p.Seed, Stop: p.Stop,
		ResponseFormat: p.ResponseFormat, Stream: stream,
	}
	b.Messages = make([]message, len(req.Messages))
	for i := range req.Messages {
		b.Messages[i] = messageOf(&req.Messages[i])
	}
	if err := b.offer(req); err != nil {
		return nil, err
	}
	if stream {
		b.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(b); err != nil {
		// The encoder's own text may quote the value that it stumbled over.
		return nil, errors.New("a number of the request is no number, or a schema is no JSON")
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func messageOf(m *ai.Message) message {
	out := message{Role: m.Role, Content: m.Content, ToolCallID: m.ToolCallID}
	for _, c := range m.ToolCalls {
		out.ToolCalls = append(out.ToolCalls, call{ID: c.ID, Type: "function", Function: calledByName{c.Name, c.Arguments}})
	}
	return out
}

// noParameters is the schema of a tool that takes none: most servers want one.
var noParameters = json.RawMessage(`{"type":"object","properties":{}}`)

// offer adds the tools. "auto" is what servers do without being told; some refuse it.
func (b *requestBody) offer(req ai.ChatRequest) error {
	if len(req.Tools) == 0 {
		return nil
	}
	known := false
	b.Tools = make([]tool, len(req.Tools))
	for i, t := range req.Tools {
		f := function{Name: t.Name, Description: t.Description, Parameters: t.Parameters}
		if len(f.Parameters) == 0 {
			f.Parameters = noParameters
		}
		b.Tools[i] = tool{Type: "function", Function: f}
		known = known || t.Name == req.ToolChoice
	}
	switch {
	case req.ToolChoice == "" || req.ToolChoice == ai.ToolsAuto:
	case req.ToolChoice == ai.ToolsNone || req.ToolChoice == ai.ToolsRequired:
		b.ToolChoice = req.ToolChoice
	case known:
		b.ToolChoice = map[string]any{"type": "function", "function": map[string]string{"name": req.ToolChoice}}
	default:
		return errors.New("the tool that must be called isn't among those that are offered")
	}
	if req.OneTool {
		b.ParallelCalls = new(bool)
	}
	return nil
}
