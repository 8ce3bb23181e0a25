package aifake

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// Tool is one of a Chat's tools.
type Tool struct {
	Type     string   `json:"type"`
	Function Function `json:"function"`
}

// Function is what a Tool is.
type Function struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      *bool           `json:"strict"`
}

// ToolCall is a call in an assistant's message.
type ToolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// ResponseFormat is text, json_object, or json_schema with one.
type ResponseFormat struct {
	Type       string          `json:"type"`
	JSONSchema json.RawMessage `json:"json_schema"`
}

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

func (c Chat) samplingComplaint() string {
	outside := func(v *float64, least, most float64) bool { return v != nil && (*v < least || *v > most) }
	switch {
	case outside(c.TopP, 0, 1):
		return "top_p must be from 0 to 1."
	case outside(c.FrequencyPenalty, -2, 2), outside(c.PresencePenalty, -2, 2):
		return "penalties must be from -2 to 2."
	case len(c.Stop) > 4:
		return "stop has more than 4."
	case c.ResponseFormat == nil:
		return ""
	}
	switch f := c.ResponseFormat; {
	case f.Type == "text", f.Type == "json_object", f.Type == "json_schema" && len(f.JSONSchema) > 0:
		return ""
	}
	return "response_format is none."
}

func (c Chat) toolComplaint() string {
	if len(c.Tools) == 0 {
		switch {
		case len(c.ToolChoice) > 0:
			return "tool_choice is only allowed when tools are specified."
		case c.ParallelToolCalls != nil:
			return "parallel_tool_calls is only allowed when tools are specified."
		}
		return ""
	}
	names := map[string]bool{}
	for i, t := range c.Tools {
		var schema struct {
			Type string `json:"type"`
		}
		switch {
		case t.Type != "function":
			return fmt.Sprintf("tools[%d].type must be function.", i)
		case !toolName.MatchString(t.Function.Name):
			return fmt.Sprintf("tools[%d].function.name does not match the pattern.", i)
		case names[t.Function.Name]:
			return fmt.Sprintf("tools[%d].function.name is there twice.", i)
		case json.Unmarshal(t.Function.Parameters, &schema) != nil || schema.Type != "object":
			return fmt.Sprintf("tools[%d].function.parameters must be a schema of type object.", i)
		}
		names[t.Function.Name] = true
	}
	if len(c.Tools) > 128 {
		return "tools has more than 128."
	}
	return choiceComplaint(c.ToolChoice, names)
}

func choiceComplaint(raw json.RawMessage, names map[string]bool) string {
	var word string
	var named struct {
		Type     string `json:"type"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	switch {
	case len(raw) == 0:
		return ""
	case json.Unmarshal(raw, &word) == nil:
		if word == "none" || word == "auto" || word == "required" {
			return ""
		}
	case json.Unmarshal(raw, &named) == nil && named.Type == "function" && names[named.Function.Name]:
		return ""
	}
	return "tool_choice names no tool."
}

// messageComplaint: each call of an assistant is answered once, directly after it, and
// nothing else is.
func (c Chat) messageComplaint() string {
	open := map[string]bool{}
	for i, m := range c.Messages {
		if m.Role != "tool" && len(open) > 0 {
			return "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
		}
		switch m.Role {
		case "system", "user", "developer":
		case "assistant":
			for _, call := range m.ToolCalls {
				var arguments map[string]any
				if call.ID == "" || open[call.ID] || call.Type != "function" || call.Function.Name == "" || json.Unmarshal([]byte(call.Function.Arguments), &arguments) != nil {
					return fmt.Sprintf("messages[%d].tool_calls is invalid.", i)
				}
				open[call.ID] = true
			}
		case "tool":
			if !open[m.ToolCallID] {
				return fmt.Sprintf("messages[%d] with role 'tool' must be a response to a preceding message with 'tool_calls'.", i)
			}
			delete(open, m.ToolCallID)
		default:
			return fmt.Sprintf("messages[%d].role is not a role.", i)
		}
		if m.Content == nil && len(m.ToolCalls) == 0 {
			return fmt.Sprintf("messages[%d].content is required.", i)
		}
		if len(m.ToolCalls) > 0 && m.Role != "assistant" || m.ToolCallID != "" && m.Role != "tool" {
			return fmt.Sprintf("messages[%d] has what its role hasn't.", i)
		}
	}
	if len(open) > 0 {
		return "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
	}
	return ""
}

func (c Call) id(i int) string {
	if c.ID != "" {
		return c.ID
	}
	return "call_fake" + strconv.Itoa(i)
}

// streamCalls is false once the client is gone.
func (p play) streamCalls(out *body) bool {
	if p.a.native {
		if len(p.a.calls) == 0 {
			return true
		}
		p.r.out.Add(int64(p.callTokens()))
		return out.event(encode(map[string]any{"response": "", "tool_calls": p.nativeCalls()}))
	}
	send := func(i int, call map[string]any) bool {
		call["index"] = i
		p.r.out.Add(1)
		return out.event(chunk(p.r.Chat.Model, map[string]any{"tool_calls": []any{call}}, nil))
	}
	left := make([]string, len(p.a.calls))
	for i, c := range p.a.calls {
		left[i] = c.Arguments
		if !send(i, map[string]any{"id": c.id(i), "type": "function", "function": map[string]any{"name": c.Name, "arguments": ""}}) {
			return false
		}
	}
	for more := true; more; {
		more = false
		for i := range left {
			n := len(left[i])
			if p.a.callPieces > 0 && n > p.a.callPieces {
				for n = p.a.callPieces; !utf8.RuneStart(left[i][n]); {
					n++ // half a code point is no JSON
				}
			}
			if n == 0 {
				continue
			}
			if !send(i, map[string]any{"function": map[string]any{"arguments": left[i][:n]}}) {
				return false
			}
			left[i], more = left[i][n:], true
		}
	}
	return true
}

func (p play) wholeCalls() (list []any) {
	for i, c := range p.a.calls {
		list = append(list, map[string]any{"id": c.id(i), "type": "function", "function": map[string]any{"name": c.Name, "arguments": c.Arguments}})
	}
	return list
}

func (p play) nativeCalls() (list []any) {
	for _, c := range p.a.calls {
		list = append(list, map[string]any{"name": c.Name, "arguments": json.RawMessage(c.Arguments)})
	}
	return list
}

// callTokens counts as a stream does that isn't cut into pieces.
func (p play) callTokens() (n int) {
	for _, c := range p.a.calls {
		n++
		if c.Arguments != "" {
			n++
		}
	}
	return n
}
