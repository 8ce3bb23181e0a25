package openaiapi

import (
	"slices"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// responseFrames writes the events of a response. An answer that was cut off ends with
// response.failed.
type responseFrames struct {
	res   *response
	seq   int
	begun bool
	// item is the message that is being written, nil before its first text.
	item *messageItem
	said []byte
}

// event is any of them; what one doesn't have is left out.
type event struct {
	Type         string        `json:"type"`
	Sequence     int           `json:"sequence_number"`
	Response     *response     `json:"response,omitempty"`
	OutputIndex  *int          `json:"output_index,omitempty"`
	ContentIndex *int          `json:"content_index,omitempty"`
	ItemID       string        `json:"item_id,omitempty"`
	Item         any           `json:"item,omitempty"`
	Part         *textPart     `json:"part,omitempty"`
	Delta        *string       `json:"delta,omitempty"`
	Text         *string       `json:"text,omitempty"`
	Name         string        `json:"name,omitempty"`
	Arguments    *string       `json:"arguments,omitempty"`
	Logprobs     *[]struct{}   `json:"logprobs,omitempty"`
	Tool         *toolProgress `json:"tool,omitempty"`
}

func (f *responseFrames) send(w *httpapi.EventWriter, e event) {
	e.Sequence = f.seq
	f.seq++
	w.Event(e.Type, e)
}

func (f *responseFrames) begin(w *httpapi.EventWriter, model string) {
	if f.begun {
		return
	}
	f.begun, f.res.Model = true, model
	f.send(w, event{Type: "response.created", Response: f.res})
	f.send(w, event{Type: "response.in_progress", Response: f.res})
}

var (
	zero       int
	noLogprobs = []struct{}{}
)

func (f *responseFrames) text(w *httpapi.EventWriter, model, text string) {
	f.begin(w, model)
	f.open(w)
	f.said = append(f.said, text...)
	f.send(w, event{Type: "response.output_text.delta", ItemID: f.item.ID, OutputIndex: &zero, ContentIndex: &zero, Delta: &text, Logprobs: &noLogprobs})
}

// open begins the message, once. It is the first output: calls come at the end.
func (f *responseFrames) open(w *httpapi.EventWriter) {
	if f.item != nil {
		return
	}
	item := newMessageItem("in_progress", "")
	item.Content = []textPart{}
	f.item = &item
	f.send(w, event{Type: "response.output_item.added", OutputIndex: &zero, Item: item})
	part := newTextPart("")
	f.send(w, event{Type: "response.content_part.added", ItemID: item.ID, OutputIndex: &zero, ContentIndex: &zero, Part: &part})
}

// close ends the message.
func (f *responseFrames) close(w *httpapi.EventWriter, status string) {
	text := string(f.said)
	part := newTextPart(text)
	f.item.Status, f.item.Content = status, []textPart{part}
	f.send(w, event{Type: "response.output_text.done", ItemID: f.item.ID, OutputIndex: &zero, ContentIndex: &zero, Text: &text, Logprobs: &noLogprobs})
	f.send(w, event{Type: "response.content_part.done", ItemID: f.item.ID, OutputIndex: &zero, ContentIndex: &zero, Part: &part})
	f.send(w, event{Type: "response.output_item.done", OutputIndex: &zero, Item: f.item})
	f.res.Output = append(f.res.Output, f.item)
}

// tool tells of a tool that runs here. Clients pass over events that they don't know.
func (f *responseFrames) tool(w *httpapi.EventWriter, model string, p toolProgress) {
	f.begin(w, model)
	f.send(w, event{Type: "enigma.tool", Tool: &p})
}

func (f *responseFrames) end(w *httpapi.EventWriter, out turn.Outcome) {
	f.begin(w, out.Model)
	status := "completed"
	if reason := finish(out); slices.Contains([]string{"length", "content_filter"}, reason) {
		status = "incomplete"
	}
	if len(out.Calls) == 0 {
		f.open(w)
	}
	if f.item != nil {
		f.close(w, status)
	}
	for _, c := range out.Calls {
		f.call(w, newCallItem(c))
	}
	f.res.close(out)
	f.send(w, event{Type: "response." + status, Response: f.res})
}

// call writes a call as it would come piece by piece.
func (f *responseFrames) call(w *httpapi.EventWriter, item callItem) {
	at, arguments := len(f.res.Output), item.Arguments
	begun := item
	begun.Status, begun.Arguments = "in_progress", ""
	f.send(w, event{Type: "response.output_item.added", OutputIndex: &at, Item: begun})
	f.send(w, event{Type: "response.function_call_arguments.delta", ItemID: item.ID, OutputIndex: &at, Delta: &arguments})
	f.send(w, event{Type: "response.function_call_arguments.done", ItemID: item.ID, OutputIndex: &at, Name: item.Name, Arguments: &arguments})
	f.send(w, event{Type: "response.output_item.done", OutputIndex: &at, Item: item})
	f.res.Output = append(f.res.Output, item)
}

func (f *responseFrames) fail(w *httpapi.EventWriter, out turn.Outcome, e *httpapi.Error) {
	f.begin(w, out.Model)
	if f.item != nil {
		f.close(w, "incomplete")
	}
	f.res.close(out)
	body := e.OpenAI().Error
	f.res.Status, f.res.IncompleteDetails = "failed", nil
	f.res.Error = &responseError{Code: body.Code, Message: body.Message}
	f.send(w, event{Type: "response.failed", Response: f.res})
}
