package openaiapi

import (
	"encoding/json"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// response is the object that POST /v1/responses gives, whole and in events.
type response struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	CreatedAt          int64             `json:"created_at"`
	Status             string            `json:"status"`
	Error              *responseError    `json:"error"`
	IncompleteDetails  *incomplete       `json:"incomplete_details"`
	Instructions       *string           `json:"instructions"`
	MaxOutputTokens    *int              `json:"max_output_tokens"`
	Model              string            `json:"model"`
	Output             []any             `json:"output"`
	ParallelToolCalls  bool              `json:"parallel_tool_calls"`
	PreviousResponseID *string           `json:"previous_response_id"`
	Store              bool              `json:"store"`
	Temperature        *float64          `json:"temperature"`
	Text               textFormat        `json:"text"`
	ToolChoice         json.RawMessage   `json:"tool_choice"`
	Tools              []toolEcho        `json:"tools"`
	TopP               *float64          `json:"top_p"`
	Truncation         string            `json:"truncation"`
	Usage              *responseUsage    `json:"usage"`
	Metadata           map[string]string `json:"metadata"`
	Enigma             *told             `json:"enigma,omitempty"`

	x *exchange
}

type responseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incomplete struct {
	Reason string `json:"reason"`
}

type textFormat struct {
	Format json.RawMessage `json:"format"`
}

type toolEcho struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      bool            `json:"strict"`
}

type responseUsage struct {
	InputTokens        int `json:"input_tokens"`
	InputTokensDetails struct {
		CachedTokens int `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	OutputTokens        int `json:"output_tokens"`
	OutputTokensDetails struct {
		ReasoningTokens int `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	TotalTokens int `json:"total_tokens"`
}

// messageItem is an output item of text.
type messageItem struct {
	Type    string     `json:"type"`
	ID      string     `json:"id"`
	Status  string     `json:"status"`
	Role    string     `json:"role"`
	Content []textPart `json:"content"`
}

type textPart struct {
	Type        string     `json:"type"`
	Text        string     `json:"text"`
	Annotations []struct{} `json:"annotations"`
	Logprobs    []struct{} `json:"logprobs"`
}

// callItem is an output item of a call.
type callItem struct {
	Type      string `json:"type"`
	ID        string `json:"id"`
	Status    string `json:"status"`
	CallID    string `json:"call_id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

func newResponse(x *exchange, r *responsesRequest) *response {
	res := &response{
		ID: newID("resp_"), Object: "response", CreatedAt: x.asked.Unix(), Status: "in_progress",
		MaxOutputTokens: r.MaxOutputTokens, Model: x.params.Models[0], Output: []any{}, ParallelToolCalls: !x.q.oneTool,
		Temperature: x.params.Temperature, Text: textFormat{json.RawMessage(`{"type":"text"}`)}, ToolChoice: json.RawMessage(`"auto"`),
		Tools: []toolEcho{}, TopP: x.params.Sampling.TopP, Truncation: "disabled", Metadata: r.Metadata, x: x,
	}
	if r.Instructions != "" {
		res.Instructions = &r.Instructions
	}
	if r.Text != nil && given(r.Text.Format) {
		res.Text.Format = r.Text.Format
	}
	if given(r.ToolChoice) {
		res.ToolChoice = r.ToolChoice
	}
	if res.Metadata == nil {
		res.Metadata = map[string]string{}
	}
	for _, t := range x.q.tools {
		res.Tools = append(res.Tools, toolEcho{Type: "function", Name: t.Name, Description: t.Description, Parameters: t.Parameters})
	}
	return res
}

func newMessageItem(status, text string) messageItem {
	return messageItem{Type: "message", ID: newID("msg_"), Status: status, Role: ai.RoleAssistant, Content: []textPart{newTextPart(text)}}
}

func newTextPart(text string) textPart {
	return textPart{Type: "output_text", Text: text, Annotations: []struct{}{}, Logprobs: []struct{}{}}
}

func newCallItem(c ai.ToolCall) callItem {
	return callItem{Type: "function_call", ID: newID("fc_"), Status: "completed", CallID: c.ID, Name: c.Name, Arguments: c.Arguments}
}

// finish makes it the whole answer.
func (r *response) finish(out turn.Outcome) {
	r.close(out)
	if out.Text != "" || len(out.Calls) == 0 {
		r.Output = append(r.Output, newMessageItem(r.Status, out.Text))
	}
	for _, c := range out.Calls {
		r.Output = append(r.Output, newCallItem(c))
	}
}

// close says how it ended.
func (r *response) close(out turn.Outcome) {
	r.Model, r.Status, r.Enigma = out.Model, "completed", r.x.toldOf(out)
	switch finish(out) {
	case "length":
		r.Status, r.IncompleteDetails = "incomplete", &incomplete{"max_output_tokens"}
	case "content_filter":
		r.Status, r.IncompleteDetails = "incomplete", &incomplete{"content_filter"}
	}
	r.Usage = &responseUsage{InputTokens: out.Usage.In, OutputTokens: out.Usage.Out, TotalTokens: out.Usage.In + out.Usage.Out}
}
