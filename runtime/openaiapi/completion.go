package openaiapi

import (
	"bytes"
	"encoding/json"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

type completion struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   usage    `json:"usage"`
	Enigma  *told    `json:"enigma,omitempty"`
}

type choice struct {
	Index        int       `json:"index"`
	Message      assistant `json:"message"`
	Logprobs     *struct{} `json:"logprobs"`
	FinishReason string    `json:"finish_reason"`
}

type assistant struct {
	Role      string     `json:"role"`
	Content   *string    `json:"content"`
	Refusal   *string    `json:"refusal"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

func usageOf(u ai.Usage) usage {
	return usage{PromptTokens: u.In, CompletionTokens: u.Out, TotalTokens: u.In + u.Out}
}

func newCompletion(x *exchange, out turn.Outcome) completion {
	message := assistant{Role: ai.RoleAssistant}
	if out.Text != "" || len(out.Calls) == 0 {
		message.Content = &out.Text
	}
	for _, c := range out.Calls {
		message.ToolCalls = append(message.ToolCalls, callOf(c))
	}
	return completion{
		ID: newID("chatcmpl-"), Object: "chat.completion", Created: x.asked.Unix(), Model: out.Model,
		Choices: []choice{{Message: message, FinishReason: finish(out)}},
		Usage:   usageOf(out.Usage), Enigma: x.toldOf(out),
	}
}

func callOf(c ai.ToolCall) toolCall {
	return toolCall{ID: c.ID, Type: "function", Function: functionCall{Name: c.Name, Arguments: c.Arguments}}
}

// chunk is one frame of a stream. Usage is a pointer to null or to the usage where the
// request wants it, and left out where it doesn't.
type chunk struct {
	ID      string           `json:"id"`
	Object  string           `json:"object"`
	Created int64            `json:"created"`
	Model   string           `json:"model"`
	Choices []delta          `json:"choices"`
	Usage   *json.RawMessage `json:"usage,omitempty"`
	Enigma  *told            `json:"enigma,omitempty"`
}

type delta struct {
	Index        int     `json:"index"`
	Delta        piece   `json:"delta"`
	FinishReason *string `json:"finish_reason"`
}

type piece struct {
	Role      string      `json:"role,omitempty"`
	Content   *string     `json:"content,omitempty"`
	ToolCalls []callPiece `json:"tool_calls,omitempty"`
}

type callPiece struct {
	Index int `json:"index"`
	toolCall
}

// chatFrames writes chunks, and at the end of a whole answer [DONE]: what was cut off
// ends with an error instead.
type chatFrames struct {
	x     *exchange
	id    string
	usage bool
	begun bool
	// buf holds the frame of a token: all but the text is the same for every one of a
	// model's.
	buf           bytes.Buffer
	enc           *json.Encoder
	model, suffix string
	prefix        int
}

func newChatFrames(x *exchange, usage bool) *chatFrames {
	f := &chatFrames{x: x, id: newID("chatcmpl-"), usage: usage}
	f.enc = json.NewEncoder(&f.buf)
	f.enc.SetEscapeHTML(false)
	return f
}

var null = json.RawMessage("null")

func (f *chatFrames) chunk(model string, choices ...delta) chunk {
	c := chunk{ID: f.id, Object: "chat.completion.chunk", Created: f.x.asked.Unix(), Model: model, Choices: choices}
	if f.usage {
		c.Usage = &null
	}
	return c
}

// begin writes the role, once.
func (f *chatFrames) begin(w *httpapi.EventWriter, model string) {
	if !f.begun {
		f.begun = true
		empty := ""
		w.Event("", f.chunk(model, delta{Delta: piece{Role: ai.RoleAssistant, Content: &empty}}))
	}
}

// placeholder stands where the text of a token goes.
const placeholder = `"\u0000"`

func (f *chatFrames) text(w *httpapi.EventWriter, model, text string) {
	f.begin(w, model)
	if f.model != model || f.prefix == 0 {
		f.template(model)
	}
	f.buf.Truncate(f.prefix)
	_ = f.enc.Encode(text) // a string always is JSON
	f.buf.Truncate(f.buf.Len() - 1)
	f.buf.WriteString(f.suffix)
	w.Data(f.buf.Bytes())
}

// template prepares the frame of model's tokens.
func (f *chatFrames) template(model string) {
	mark := "\x00"
	f.buf.Reset()
	_ = f.enc.Encode(f.chunk(model, delta{Delta: piece{Content: &mark}})) // strings and numbers always are JSON
	frame := bytes.TrimSuffix(f.buf.Bytes(), []byte("\n"))
	// The last one: a model's name is the client's choice.
	at := bytes.LastIndex(frame, []byte(placeholder))
	f.model, f.suffix, f.prefix = model, string(frame[at+len(placeholder):]), at
}

func (f *chatFrames) tool(w *httpapi.EventWriter, model string, p toolProgress) {
	f.begin(w, model)
	c := f.chunk(model, delta{})
	c.Enigma = &told{Tool: &p}
	w.Event("", c)
}

func (f *chatFrames) end(w *httpapi.EventWriter, out turn.Outcome) {
	f.begin(w, out.Model)
	for i, c := range out.Calls {
		w.Event("", f.chunk(out.Model, delta{Delta: piece{ToolCalls: []callPiece{{i, callOf(c)}}}}))
	}
	reason := finish(out)
	last := f.chunk(out.Model, delta{FinishReason: &reason})
	last.Enigma = f.x.toldOf(out)
	w.Event("", last)
	if f.usage {
		raw, _ := json.Marshal(usageOf(out.Usage)) // numbers always are JSON
		c := f.chunk(out.Model)
		c.Choices, c.Usage = []delta{}, (*json.RawMessage)(&raw)
		w.Event("", c)
	}
	w.Data([]byte("[DONE]"))
}

func (f *chatFrames) fail(w *httpapi.EventWriter, _ turn.Outcome, e *httpapi.Error) {
	w.Event("", e.OpenAI())
}
