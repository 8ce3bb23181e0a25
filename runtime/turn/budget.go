package turn

import (
	"context"
	"errors"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
)

// storeTimeout bounds the writes that may outlive their request.
const storeTimeout = 10 * time.Second

// reserve sets aside what the next step may cost, unless that was done.
func (t *Turn) reserve() (err error) {
	t.asked = t.r.Now()
	if t.admission != nil {
		return nil
	}
	t.admission, err = t.r.Gate.Reserve(t.ctx, t.p.Call.Tenant, limits.Ask{
		Models: t.chatter.Models, MaxOut: t.p.MaxTokens,
		Prompt: func(context.Context) (int, error) { return t.promptTokens(), nil },
	})
	return err
}

func (t *Turn) promptTokens() int {
	return t.r.Estimator.Messages(t.chatter.Models[0], t.messages, t.offered...)
}

// settle bills a step and records it, whoever went away.
func (t *Turn) settle(s said, err error) {
	after, done := context.WithTimeout(context.WithoutCancel(t.ctx), storeTimeout)
	defer done()
	call := telemetry.Call{Model: s.model, Feature: t.p.Feature, Outcome: telemetry.OutcomeOK, FirstToken: s.firstToken}
	if err != nil {
		call.Outcome = t.outcomeOf(err)
	}
	if call.Model == "" {
		call.Model = t.chatter.Models[0]
	}
	u := t.used(s, call, err)
	call.In, call.Out, call.Latency = u.In, u.Out, t.r.Now().Sub(t.asked)
	call.MicroUSD = t.admission.Settle(after, call.Model, u)
	t.admission = nil
	t.r.Recorder.Record(after, t.p.Call.Tenant.ID, call)
	if err == nil && !u.Estimated && len(t.offered) == 0 {
		t.r.Estimator.Learn(call.Model, t.messages, u.In)
	}
	if s.firstToken > 0 && t.out.FirstToken == 0 {
		t.out.FirstToken = t.asked.Sub(t.begun) + s.firstToken
	}
	if s.model != "" {
		t.out.Model = s.model
		t.out.Finish = s.finish
		t.chatter.Models = from(t.chatter.Models, s.model)
	}
	t.out.Steps++
	t.out.Usage.In += u.In
	t.out.Usage.Out += u.Out
	t.out.Usage.Estimated = t.out.Usage.Estimated || u.Estimated
}

// used is what a step used: as the provider counted, or guessed. A call that was ended
// while the model was at work has used the prompt, which the provider had read by then.
func (t *Turn) used(s said, call telemetry.Call, err error) ai.Usage {
	u := s.usage
	switch {
	case s.model == "" && call.Outcome == telemetry.OutcomeCanceled:
		return ai.Usage{In: t.promptTokens(), Estimated: true}
	case s.model == "":
		return ai.Usage{}
	case u.In == 0 && u.Out == 0:
		return ai.Usage{In: t.promptTokens(), Out: t.generated(s), Estimated: true}
	case err != nil && !u.Estimated:
		// A count from before the end may not cover what came after it.
		u.Out = max(u.Out, t.generated(s))
	}
	return u
}

func (t *Turn) generated(s said) int {
	n := t.r.Estimator.Text(s.model, s.text)
	for _, c := range s.calls {
		n += t.r.Estimator.Text(s.model, c.Name) + t.r.Estimator.Text(s.model, c.Arguments)
	}
	return n
}

// from are the models that are left once one has answered: a turn doesn't go back to one
// that has failed in it.
func from(models []string, answered string) []string {
	for i, m := range models {
		if m == answered {
			return models[i:]
		}
	}
	return models
}

// outcomeOf names how a call ended that failed with err.
func (t *Turn) outcomeOf(err error) string {
	e, ok := errors.AsType[*ai.Error](err)
	switch {
	case t.ctx.Err() != nil, ok && e.Kind == ai.KindCanceled:
		return telemetry.OutcomeCanceled
	case ok && e.Kind == ai.KindTruncated:
		return telemetry.OutcomeTruncated
	default:
		return telemetry.OutcomeError
	}
}
