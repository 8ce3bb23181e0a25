package openaiapi

import (
	"encoding/json"
	"fmt"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// inputItem is one item of a response's input: a message, a call of a function, or its
// output. A client sends back the items of earlier answers as they came.
type inputItem struct {
	Type      string          `json:"type"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Output    json.RawMessage `json:"output"`
}

// inputMessages reads a string, or items.
func inputMessages(raw json.RawMessage, w *wrongs) []ai.Message {
	var text string
	if !given(raw) {
		w.add(true, "input", "must not be missing")
		return nil
	}
	if json.Unmarshal(raw, &text) == nil {
		return []ai.Message{{Role: ai.RoleUser, Content: text}}
	}
	var items []inputItem
	if err := json.Unmarshal(raw, &items); err != nil {
		w.add(true, "input", "must be a string, or an array of messages, function calls and their outputs")
		return nil
	}
	var in inputReader
	for i := range items {
		in.add(&items[i], i, w)
	}
	w.add(len(in.messages) == 0 && len(*w) == 0, "input", "must hold a message")
	if len(*w) == 0 {
		checkOrder(in.messages, func(i int) string { return fmt.Sprintf("input[%d]", in.from[i]) }, w)
	}
	return in.messages
}

// inputReader joins the calls of one answer, which come one by one, in one message.
type inputReader struct {
	messages []ai.Message
	// from is the item that each message began with.
	from []int
}

func (m *inputReader) add(item *inputItem, i int, w *wrongs) {
	path := fmt.Sprintf("input[%d]", i)
	switch {
	case item.Type == "message", item.Type == "" && item.Role != "":
		m.message(item, i, path, w)
	case item.Type == "function_call":
		w.add(item.CallID == "", path+".call_id", "must not be empty")
		w.add(!isToolName(item.Name), path+".name", toolNameRule)
		n := len(m.messages)
		if n == 0 || m.messages[n-1].Role != ai.RoleAssistant {
			m.push(ai.Message{Role: ai.RoleAssistant}, i)
			n++
		}
		last := &m.messages[n-1]
		last.ToolCalls = append(last.ToolCalls, ai.ToolCall{ID: item.CallID, Name: item.Name, Arguments: item.Arguments})
	case item.Type == "function_call_output":
		w.add(item.CallID == "", path+".call_id", "must name the call that this answers")
		text := contentText(item.Output, path+".output", w)
		m.push(ai.Message{Role: ai.RoleTool, Content: text, ToolCallID: item.CallID}, i)
	case item.Type == "reasoning":
		// A model of another kind thought aloud; this one is not told.
	default:
		w.add(true, path+".type", "must be message, function_call or function_call_output")
	}
}

func (m *inputReader) message(item *inputItem, i int, path string, w *wrongs) {
	role := item.Role
	switch role {
	case ai.RoleSystem, ai.RoleUser, ai.RoleAssistant:
	case "developer":
		role = ai.RoleSystem
	default:
		w.add(true, path+".role", "must be system, developer, user or assistant")
	}
	text := contentText(item.Content, path+".content", w)
	m.push(ai.Message{Role: role, Content: text}, i)
}

func (m *inputReader) push(message ai.Message, item int) {
	m.messages, m.from = append(m.messages, message), append(m.from, item)
}
