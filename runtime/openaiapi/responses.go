package openaiapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// responsesRequest is the body of POST /v1/responses.
type responsesRequest struct {
	Model             string            `json:"model"`
	Input             json.RawMessage   `json:"input"`
	Instructions      string            `json:"instructions"`
	Stream            bool              `json:"stream"`
	MaxOutputTokens   *int              `json:"max_output_tokens"`
	Temperature       *float64          `json:"temperature"`
	TopP              *float64          `json:"top_p"`
	Tools             []responseTool    `json:"tools"`
	ToolChoice        json.RawMessage   `json:"tool_choice"`
	ParallelToolCalls *bool             `json:"parallel_tool_calls"`
	Text              *responseText     `json:"text"`
	Metadata          map[string]string `json:"metadata"`
	User              string            `json:"user"`
	Enigma            *extras           `json:"enigma"`

	// What would be answered as if it had not been asked.
	PreviousResponseID string          `json:"previous_response_id"`
	Conversation       json.RawMessage `json:"conversation"`
	Prompt             json.RawMessage `json:"prompt"`
	Store              bool            `json:"store"`
	Background         bool            `json:"background"`

	asked *question
}

// responseTool is a function, without the object around it that chat completions has.
type responseTool struct {
	Type string `json:"type"`
	function
}

type responseText struct {
	Format json.RawMessage `json:"format"`
}

// Validate reads the request into what both APIs ask.
func (r *responsesRequest) Validate() []httpapi.Detail {
	var w wrongs
	w.add(r.PreviousResponseID != "", "previous_response_id", "must be left out: responses aren't stored, send the whole conversation as input")
	w.add(given(r.Conversation), "conversation", "must be left out: send the whole conversation as input")
	w.add(given(r.Prompt), "prompt", "must be left out: prompts aren't stored, send instructions")
	w.add(r.Store, "store", "must be false: responses aren't stored")
	w.add(r.Background, "background", "must be false")
	w.add(r.MaxOutputTokens != nil && *r.MaxOutputTokens < 1, "max_output_tokens", "must be 1 or more")
	q := &question{
		model: r.Model, user: r.User, extras: r.Enigma, maxTokens: r.MaxOutputTokens, temperature: r.Temperature,
		messages: inputMessages(r.Input, &w), oneTool: r.ParallelToolCalls != nil && !*r.ParallelToolCalls,
		sampling: ai.Sampling{TopP: r.TopP},
	}
	if r.Instructions != "" {
		q.messages = append([]ai.Message{{Role: ai.RoleSystem, Content: r.Instructions}}, q.messages...)
	}
	for i := range r.Tools {
		path := fmt.Sprintf("tools[%d]", i)
		if r.Tools[i].Type != "function" {
			w.add(true, path+".type", "must be function")
			continue
		}
		q.tools = append(q.tools, r.Tools[i].read(path, &w))
	}
	checkTools(q.tools, &w)
	q.choice = readChoice(r.ToolChoice, q.tools, &w)
	if r.Text != nil {
		q.sampling.ResponseFormat = responseFormat(r.Text.Format, &w)
	}
	q.validate(&w)
	r.asked = q
	return w
}

// responseFormat gives a format of responses in chat completions' shape.
func responseFormat(raw json.RawMessage, w *wrongs) json.RawMessage {
	if !given(raw) {
		return nil
	}
	var kind struct {
		Type string `json:"type"`
	}
	var schema struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Schema      json.RawMessage `json:"schema"`
		Strict      *bool           `json:"strict,omitempty"`
	}
	if json.Unmarshal(raw, &kind) != nil || json.Unmarshal(raw, &schema) != nil ||
		!slices.Contains([]string{"text", "json_object", "json_schema"}, kind.Type) {
		w.add(true, "text.format", "must be of type text, json_object or json_schema")
		return nil
	}
	switch kind.Type {
	case "text":
		return nil
	case "json_object":
		return json.RawMessage(`{"type":"json_object"}`)
	}
	if schema.Name == "" || !given(schema.Schema) || schema.Schema[0] != '{' {
		w.add(true, "text.format", "must have a name and a schema")
		return nil
	}
	out, err := json.Marshal(map[string]any{"type": "json_schema", "json_schema": schema})
	w.add(err != nil, "text.format", "must be a JSON Schema")
	return out
}

// responses answers POST /v1/responses.
func (f *Feature) responses(ctx context.Context, c httpapi.Call, r responsesRequest) (httpapi.Answer, error) {
	x, err := f.begin(ctx, c, r.asked)
	if err != nil {
		return httpapi.Answer{}, err
	}
	res := newResponse(x, &r)
	if !r.Stream {
		out, err := x.whole(ctx)
		if err != nil {
			return httpapi.Answer{}, err
		}
		res.finish(out)
		return httpapi.Answer{Raw: res}, nil
	}
	return x.stream(ctx, &responseFrames{res: res})
}
