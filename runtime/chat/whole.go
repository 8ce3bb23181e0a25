package chat

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// reply is the data of an answer that isn't streamed. Sources are there if documents were
// asked for.
type reply struct {
	Status    string          `json:"status"`
	SessionID string          `json:"sessionId"`
	Stream    bool            `json:"stream"`
	Message   string          `json:"message"`
	Sources   *[]guard.Source `json:"sources,omitempty"`
}

// whole waits for the answer and gives it as JSON.
func (f *Feature) whole(ctx context.Context, x *exchange) (httpapi.Answer, error) {
	out, err := x.ask(ctx)
	if err != nil {
		return httpapi.Answer{}, x.refused(ctx, err)
	}
	latency := f.Now().Sub(x.asked)
	if err := x.keep(ctx, out, false); err != nil {
		return httpapi.Answer{}, err
	}
	if out.Model != "" {
		setModelHeaders(x.call.Out, out.Model)
	}
	setUsageHeaders(x.call.Out, out.Usage, latency)
	data := reply{Status: "accepted", SessionID: x.req.SessionID, Message: out.Text}
	if x.wantsDocuments() {
		sources := x.sources()
		data.Sources = &sources
	}
	return httpapi.Answer{Data: data}, nil
}

func (x *exchange) ask(ctx context.Context) (out turn.Outcome, err error) {
	defer x.release(ctx)
	defer recovered("answering", &err)
	unanswerable, err := x.prepare(ctx, func(toolEvent) {})
	switch {
	case err != nil:
		return out, err
	case unanswerable:
		return x.ungrounded(ctx), nil
	}
	return x.feature.Turns.Whole(ctx, x.params(), nil)
}

// sources are those that the model was given; none is an empty list.
func (x *exchange) sources() []guard.Source {
	if x.prompt.sources == nil {
		return []guard.Source{}
	}
	return x.prompt.sources
}
