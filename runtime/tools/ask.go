package tools

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// usageFeature is what the model calls of tools are recorded as.
const usageFeature = "tools"

const (
	defaultContext   = 8192
	defaultMaxTokens = 1024
)

// jsonMode asks for an object, where the upstream knows how.
var jsonMode = json.RawMessage(`{"type":"json_object"}`)

// modelsOf are the models that may answer a tool, in their order.
func modelsOf(cfg *tenantconfig.Config) []string {
	return append([]string{cfg.Models.Chat}, cfg.Models.Fallbacks...)
}

// mayGenerate is the most tokens of one answer: what the tool wants within what the
// tenant allows.
func mayGenerate(cfg *tenantconfig.Config, want int) int {
	if most := cfg.Prompt.MaxTokens; most > 0 {
		return min(want, most)
	}
	return min(want, defaultMaxTokens)
}

// fits is how many characters of English a question may hold beside its answer. A third
// is left for what the estimate doesn't know of a model's tokens.
func fits(cfg *tenantconfig.Config, maxOut int) int {
	window := cfg.Prompt.ContextTokens
	if window == 0 {
		window = defaultContext
	}
	const instructions, charsPerToken = 400, 2
	return max((window-maxOut-instructions)*charsPerToken, 1000)
}

func (f *Feature) ask(t *tenancy.Tenant, messages []ai.Message, maxOut int) limits.Ask {
	models := modelsOf(t.Config)
	return limits.Ask{Models: models, MaxOut: maxOut, Prompt: func(context.Context) (int, error) {
		return f.n.Estimator.Messages(models[0], messages), nil
	}}
}

// instruct makes a question of the tool's task and a text that it is about.
func instruct(task, text string) []ai.Message {
	return []ai.Message{
		{Role: ai.RoleSystem, Content: task + "\n\n" + guard.Rules},
		{Role: ai.RoleUser, Content: guard.Fence("text", "input", text)},
	}
}

// generate asks the tenant's model. What that costs is reserved before and settled after,
// and recorded whatever comes of it.
func (j *job) generate(ctx context.Context, messages []ai.Message, maxOut int, inJSON bool) (string, error) {
	f, t := j.feature, j.c.Tenant
	models := modelsOf(t.Config)
	zero := 0.0
	req := ai.ChatRequest{Model: models[0], Messages: messages, MaxTokens: maxOut, Temperature: &zero, TraceID: j.c.TraceID}
	_, plain := f.plain.Load(models[0])
	if inJSON && !plain {
		req.Sampling.ResponseFormat = jsonMode
	}
	answer, err := j.call(ctx, models, req)
	e, refused := errors.AsType[*ai.Error](err)
	if refused && e.Kind == ai.KindBadRequest && req.Sampling.ResponseFormat != nil {
		// Some upstreams know no JSON mode. One that refused for another reason refuses
		// this one too, and then nothing is remembered of it.
		req.Sampling.ResponseFormat = nil
		if answer, err = j.call(ctx, models, req); err == nil {
			f.plain.Store(models[0], true)
		}
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(answer.Text), nil
}

func (j *job) call(ctx context.Context, models []string, req ai.ChatRequest) (ai.Answer, error) {
	f, t := j.feature, j.c.Tenant
	admission := j.take()
	if admission == nil {
		var err error
		if admission, err = f.n.Gate.Reserve(ctx, t, f.ask(t, req.Messages, req.MaxTokens)); err != nil {
			return ai.Answer{}, err
		}
	}
	began := f.n.Now()
	record := telemetry.Call{Model: models[0], Feature: usageFeature, Outcome: telemetry.OutcomeError}
	var used ai.Usage
	after, done := afterwards(ctx)
	defer done()
	// Deferred, so that a driver's panic is settled too.
	defer func() {
		record.In, record.Out, record.Latency = used.In, used.Out, f.n.Now().Sub(began)
		record.MicroUSD = admission.Settle(after, record.Model, used)
		f.n.Recorder.Record(after, t.ID, record)
	}()
	answer, err := ai.Chain{Chatter: f.n.Models.Chatter(t), Models: models}.Complete(ctx, t.ID, req)
	if err != nil {
		if ctx.Err() != nil {
			// The provider had read the prompt by then.
			record.Outcome = telemetry.OutcomeCanceled
			used = ai.Usage{In: f.n.Estimator.Messages(models[0], req.Messages), Estimated: true}
		}
		return ai.Answer{}, err
	}
	record.Model, record.Outcome, used = answer.Model, telemetry.OutcomeOK, answer.Usage
	if used.In == 0 && used.Out == 0 {
		used = ai.Usage{In: f.n.Estimator.Messages(answer.Model, req.Messages), Out: f.n.Estimator.Text(answer.Model, answer.Text), Estimated: true}
	}
	return answer, nil
}

// generateObject asks for a JSON object and reads it into v. A model that wraps it in
// words or a code block is understood; one that writes none is asked once more.
func (j *job) generateObject(ctx context.Context, messages []ai.Message, maxOut int, v any) (text string, err error) {
	for range 2 {
		if text, err = j.generate(ctx, messages, maxOut, true); err != nil {
			return text, err
		}
		if readObject(text, v) {
			return text, nil
		}
	}
	return text, failed(errors.New("the model wrote no JSON object"), "the model's answer couldn't be used: try again, or a model that writes JSON")
}

// readObject finds the first object in a text that fits v.
func readObject(text string, v any) bool {
	for at := 0; at < len(text); at++ {
		i := strings.IndexByte(text[at:], '{')
		if i < 0 {
			return false
		}
		at += i
		var object json.RawMessage
		if json.NewDecoder(strings.NewReader(text[at:])).Decode(&object) == nil && json.Unmarshal(object, v) == nil {
			return true
		}
	}
	return false
}

// needsModel refuses tools that only a language model can do.
func needsModel(cfg *tenantconfig.Config) error {
	if cfg.Upstream.Type == tenantconfig.UpstreamEmbedded {
		return failed(nil, "this tool needs a language model, and this tenant has none: set spec.upstream to one that has a model")
	}
	return nil
}
