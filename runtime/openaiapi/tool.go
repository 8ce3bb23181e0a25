package openaiapi

import (
	"encoding/json"
	"fmt"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// maxTools is OpenAI's bound.
const maxTools = 128

const toolNameRule = "must be 1 to 64 letters, digits, _ or -"

// tool is a function of the client's, in chat completions' shape.
type tool struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

var noParameters = json.RawMessage(`{"type":"object","properties":{}}`)

func (f *function) read(path string, w *wrongs) ai.Tool {
	w.add(!isToolName(f.Name), path+".name", toolNameRule)
	t := ai.Tool{Name: f.Name, Description: f.Description, Parameters: noParameters}
	if given(f.Parameters) {
		w.add(f.Parameters[0] != '{', path+".parameters", "must be a JSON Schema of an object")
		t.Parameters = f.Parameters
	}
	return t
}

func readTools(tools []tool, w *wrongs) []ai.Tool {
	var out []ai.Tool
	for i := range tools {
		path := fmt.Sprintf("tools[%d]", i)
		if tools[i].Type != "function" {
			w.add(true, path+".type", "must be function")
			continue
		}
		out = append(out, tools[i].Function.read(path+".function", w))
	}
	checkTools(out, w)
	return out
}

func checkTools(tools []ai.Tool, w *wrongs) {
	w.add(len(tools) > maxTools, "tools", fmt.Sprintf("must be at most %d", maxTools))
	seen := map[string]bool{}
	for _, t := range tools {
		w.add(seen[t.Name], "tools", "must have different names")
		seen[t.Name] = true
	}
}

// toolChoice is OpenAI's in both of its shapes: {"type":"function","function":{"name"}}
// and {"type":"function","name"}.
type toolChoice struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// readChoice gives the choice as ai.ChatRequest has it.
func readChoice(raw json.RawMessage, tools []ai.Tool, w *wrongs) string {
	if !given(raw) {
		return ""
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		w.add(word != ai.ToolsAuto && word != ai.ToolsNone && word != ai.ToolsRequired, "tool_choice", "must be auto, none, required, or a function")
		w.add(word == ai.ToolsRequired && len(tools) == 0, "tool_choice", "requires a tool where none is offered")
		return word
	}
	var choice toolChoice
	if json.Unmarshal(raw, &choice) != nil || choice.Type != "function" {
		w.add(true, "tool_choice", "must be auto, none, required, or a function")
		return ""
	}
	name := choice.Function.Name
	if name == "" {
		name = choice.Name
	}
	for _, t := range tools {
		if t.Name == name {
			return name
		}
	}
	w.add(true, "tool_choice", "must name one of tools")
	return ""
}

func isToolName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
