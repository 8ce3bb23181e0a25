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
	answer, err := x.ask(ctx)
	after, done := afterwards(ctx)
	defer done()
	if err != nil {
		x.billFailure(ctx, after, err)
		return httpapi.Answer{}, x.refused(ctx, err)
	}
	u := x.complete(answer.Usage, answer.Model, answer.Text)
	x.bill(after, telemetry.Call{Model: answer.Model, Outcome: telemetry.OutcomeOK}, u)
	latency := f.now().Sub(x.asked)
	if err := x.keep(after, answer.Text, u, false); err != nil {
		return httpapi.Answer{}, err
	}
	setModelHeaders(c.Out, answer.Model)
	setUsageHeaders(c.Out, u, latency)
	return httpapi.Answer{Data: reply{Status: "accepted", SessionID: x.sessionAsked, Message: answer.Text}}, nil
}

func (x *exchange) ask(ctx context.Context) (answer ai.Answer, err error) {
	defer recovered("calling the model", &err)
	return x.chatter.Complete(ctx, x.tenant.ID, x.request())
}

// billFailure bills a call that brought nothing. One that was ended while the model
// was at work has used the prompt, which the provider had read by then.
func (x *exchange) billFailure(ctx, after context.Context, err error) {
	outcome, used := outcomeOf(ctx, err), ai.Usage{}
	if outcome == telemetry.OutcomeCanceled {
		used = ai.Usage{In: x.promptTokens, Estimated: true}
	}
	x.bill(after, telemetry.Call{Model: x.models[0], Outcome: outcome}, used)
}

// complete fills in what the provider didn't count.
func (x *exchange) complete(u ai.Usage, model, text string) ai.Usage {
	if u.In > 0 || u.Out > 0 {
		return u
	}
	return ai.Usage{In: x.promptTokens, Out: x.feature.estimator.Text(model, text), Estimated: true}
}
