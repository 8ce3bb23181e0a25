package chat

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
)

// reply is the data of an answer that isn't streamed.
type reply struct {
	Status    string `json:"status"`
	SessionID string `json:"sessionId"`
	Stream    bool   `json:"stream"`
	Message   string `json:"message"`
}

// whole waits for the answer and gives it as JSON.
func (f *Feature) whole(ctx context.Context, c httpapi.Call, x *exchange) (httpapi.Answer, error) {
	// Only a panic comes here with the bill open.
	defer func() { x.bill(telemetry.Call{Model: x.models[0], Outcome: telemetry.OutcomeError}, x.promptOnly()) }()
	answer, err := x.chatter.Complete(ctx, x.tenant.ID, x.request())
	if err != nil {
		outcome, used := outcomeOf(ctx, err), ai.Usage{}
		if outcome == telemetry.OutcomeCanceled {
			used = x.promptOnly()
		}
		x.bill(telemetry.Call{Model: x.models[0], Outcome: outcome}, used)
		return httpapi.Answer{}, x.refused(ctx, err)
	}
	u := x.complete(answer.Usage, answer.Model, answer.Text)
	x.bill(telemetry.Call{Model: answer.Model, Outcome: telemetry.OutcomeOK}, u)
	latency := f.now().Sub(x.asked)
	if err := x.keep(ctx, answer.Text, u, false); err != nil {
		return httpapi.Answer{}, err
	}
	setModelHeaders(c.Out, answer.Model)
	setUsageHeaders(c.Out, u, latency)
	return httpapi.Answer{Data: reply{Status: "accepted", SessionID: x.sessionAsked, Message: answer.Text}}, nil
}

// complete fills in what the provider didn't count.
func (x *exchange) complete(u ai.Usage, model, text string) ai.Usage {
	if u.In > 0 || u.Out > 0 {
		return u
	}
	return ai.Usage{In: x.promptTokens, Out: x.feature.estimator.Text(model, text), Estimated: true}
}
