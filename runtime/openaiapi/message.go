package openaiapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// message is one of chat completions'.
type message struct {
	Role         string          `json:"role"`
	Content      json.RawMessage `json:"content"`
	ToolCalls    []toolCall      `json:"tool_calls"`
	ToolCallID   string          `json:"tool_call_id"`
	FunctionCall json.RawMessage `json:"function_call"`
}

type toolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function functionCall `json:"function"`
}

type functionCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// part is a part of a message's content. What it holds beside text isn't taken.
type part struct {
	Type    string  `json:"type"`
	Text    *string `json:"text"`
	Refusal *string `json:"refusal"`
}

// contentText reads a content that is a string or parts of text. w is told of anything
// else.
func contentText(raw json.RawMessage, path string, w *wrongs) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var parts []part
	if json.Unmarshal(raw, &parts) != nil {
		w.add(true, path, "must be a string, or an array of parts of text")
		return ""
	}
	var b strings.Builder
	for i, p := range parts {
		piece := p.Text
		switch p.Type {
		case "text", "input_text", "output_text":
		case "refusal":
			piece = p.Refusal
		default:
			w.add(true, fmt.Sprintf("%s[%d].type", path, i), "must be text: images, audio and files aren't taken")
			return ""
		}
		if piece == nil {
			w.add(true, fmt.Sprintf("%s[%d].text", path, i), "must be a string")
			return ""
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(*piece)
	}
	return b.String()
}

// conversation turns messages into what a model is given, in their order.
func conversation(messages []message, w *wrongs) []ai.Message {
	out := make([]ai.Message, 0, len(messages))
	for i := range messages {
		path := fmt.Sprintf("messages[%d]", i)
		if m, ok := messages[i].read(path, w); ok {
			out = append(out, m)
		}
	}
	if len(*w) == 0 {
		checkOrder(out, func(i int) string { return fmt.Sprintf("messages[%d]", i) }, w)
	}
	return out
}

func (m *message) read(path string, w *wrongs) (ai.Message, bool) {
	before := len(*w)
	out := ai.Message{Role: m.Role}
	w.add(given(m.FunctionCall), path+".function_call", "isn't taken any more: use tool_calls")
	switch m.Role {
	case ai.RoleSystem, ai.RoleUser, ai.RoleTool:
	case "developer":
		out.Role = ai.RoleSystem
	case ai.RoleAssistant:
		out.ToolCalls = readCalls(m.ToolCalls, path, w)
	case "function":
		w.add(true, path+".role", "isn't taken any more: use tool")
	default:
		w.add(true, path+".role", "must be system, developer, user, assistant or tool")
	}
	if given(m.Content) {
		out.Content = contentText(m.Content, path+".content", w)
	} else {
		w.add(len(out.ToolCalls) == 0, path+".content", "must not be missing")
	}
	if m.Role == ai.RoleTool {
		out.ToolCallID = m.ToolCallID
		w.add(m.ToolCallID == "", path+".tool_call_id", "must name the call that this answers")
	}
	return out, len(*w) == before
}

func readCalls(calls []toolCall, path string, w *wrongs) []ai.ToolCall {
	var out []ai.ToolCall
	for i, c := range calls {
		at := fmt.Sprintf("%s.tool_calls[%d]", path, i)
		w.add(c.Type != "" && c.Type != "function", at+".type", "must be function")
		w.add(c.ID == "", at+".id", "must not be empty")
		w.add(!isToolName(c.Function.Name), at+".function.name", toolNameRule)
		out = append(out, ai.ToolCall{ID: c.ID, Name: c.Function.Name, Arguments: c.Function.Arguments})
	}
	return out
}

// checkOrder holds a conversation to what models take: the last word is the user's or a
// tool's, and every call of a tool is answered once, right behind it.
func checkOrder(messages []ai.Message, path func(i int) string, w *wrongs) {
	open := map[string]bool{}
	for i, m := range messages {
		if m.Role == ai.RoleTool {
			w.add(!open[m.ToolCallID], path(i), "answers no call of the assistant's message before it")
			delete(open, m.ToolCallID)
			continue
		}
		w.add(len(open) > 0, path(i), "must come after an answer to each of the tool calls before it")
		clear(open)
		for _, c := range m.ToolCalls {
			w.add(open[c.ID], path(i), "has two tool calls of one id")
			open[c.ID] = true
		}
	}
	if len(messages) == 0 {
		return
	}
	w.add(len(open) > 0, path(len(messages)-1), "must be followed by an answer to each of its tool calls")
	last := messages[len(messages)-1].Role
	w.add(len(open) == 0 && last != ai.RoleUser && last != ai.RoleTool, path(len(messages)-1), "must be the user's or a tool's, as the last one")
}

// systemFirst puts the tenant's prompt and the client's leading instructions into one
// message, the tenant's first: many models take only one, and only at the beginning.
func systemFirst(prompt string, messages []ai.Message) []ai.Message {
	n := 0
	for n < len(messages) && messages[n].Role == ai.RoleSystem {
		prompt = joined(prompt, messages[n].Content)
		n++
	}
	out := make([]ai.Message, 0, len(messages)-n+1)
	if prompt != "" {
		out = append(out, ai.Message{Role: ai.RoleSystem, Content: prompt})
	}
	return append(out, messages[n:]...)
}

// joined are two paragraphs, or the one that there is.
func joined(first, second string) string {
	if first == "" || second == "" {
		return first + second
	}
	return first + "\n\n" + second
}
