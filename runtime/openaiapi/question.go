package openaiapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// defaultMaxTokens bounds an answer where the tenant sets none.
const defaultMaxTokens = 1024

// question is what both of OpenAI's APIs ask.
type question struct {
	model, user string
	extras      *extras
	messages    []ai.Message
	tools       []ai.Tool
	choice      string
	oneTool     bool
	maxTokens   *int
	temperature *float64
	sampling    ai.Sampling
}

func (q *question) validate(w *wrongs) {
	w.add(utf8.RuneCountInString(q.model) > maxModelChars, "model", "is too long")
	w.add(utf8.RuneCountInString(q.user) > maxUserChars, "user", "must have at most 128 characters")
	w.add(outside(q.temperature, 0, 2), "temperature", "must be from 0 to 2")
	w.add(outside(q.sampling.TopP, 0, 1), "top_p", "must be from 0 to 1")
	q.extras.validate(w)
}

// exchange is a question on its way to its answer.
type exchange struct {
	f         *Feature
	c         httpapi.Call
	q         *question
	named     bool
	admission *limits.Admission
	params    turn.Params
	// sources were found for the question; nothing tells that none were.
	sources []guard.Source
	nothing bool
	asked   time.Time
}

// begin does what comes before the model and costs nothing: what the request may ask, and
// what it may cost.
func (f *Feature) begin(ctx context.Context, c httpapi.Call, q *question) (*exchange, error) {
	c, err := asUser(c, q.user)
	if err != nil {
		return nil, err
	}
	cfg := c.Tenant.Config
	x := &exchange{f: f, c: c, q: q, asked: f.Now()}
	models, named, err := chosen(cfg, q.model)
	if err != nil {
		return nil, err
	}
	x.named = named
	x.params = turn.Params{
		Call: c, Feature: featureChat, Models: models, Messages: systemFirst(c.Tenant.SystemPrompt(), q.messages),
		MaxTokens: mostTokens(cfg), Temperature: q.temperature, Sampling: q.sampling,
		ClientTools: q.tools, ToolChoice: q.choice, OneTool: q.oneTool,
	}
	if q.maxTokens != nil {
		x.params.MaxTokens = min(x.params.MaxTokens, *q.maxTokens)
	}
	x.defaults(cfg)
	if err := x.extend(ctx); err != nil {
		return nil, err
	}
	x.params.MustHaveTools = len(x.params.Tools)+len(q.tools) > 0 && q.choice != ai.ToolsNone
	x.admission, err = f.Gate.Admit(ctx, c, limits.Ask{Models: models, MaxOut: x.params.MaxTokens, Prompt: func(context.Context) (int, error) {
		return x.promptTokens(), nil
	}})
	if err != nil {
		return nil, err
	}
	x.params.Admission = x.admission
	return x, nil
}

// defaults are the tenant's, where the request says nothing.
func (x *exchange) defaults(cfg *tenantconfig.Config) {
	p := &x.params
	if t := cfg.Prompt.TemperatureMilli; p.Temperature == nil && t != nil {
		v := float64(*t) / 1000
		p.Temperature = &v
	}
	if t := cfg.Prompt.TopPMilli; p.Sampling.TopP == nil && t != nil {
		v := float64(*t) / 1000
		p.Sampling.TopP = &v
	}
	if len(p.Sampling.Stop) == 0 {
		p.Sampling.Stop = cfg.Prompt.Stop
	}
}

// extend does what "enigma" asks for, or refuses what the tenant hasn't got.
func (x *exchange) extend(ctx context.Context) error {
	e, cfg := x.q.extras, x.c.Tenant.Config
	if e == nil {
		return nil
	}
	if e.UseRAG && (x.f.Retriever == nil || cfg.Documents.Store == "") {
		return &httpapi.Error{
			Status: http.StatusForbidden, Code: "documents_not_enabled",
			Message: "documents aren't enabled for this tenant; leave enigma.useRag out",
		}
	}
	if e.UseRAG && lastOf(x.q.messages, ai.RoleUser) < 0 {
		return httpapi.Invalid("enigma.useRag", "needs a message of the user to look for")
	}
	if e.SessionID != "" && x.f.History == nil {
		return httpapi.Invalid("enigma.sessionId", "must be left out: sessions aren't kept here")
	}
	if !e.Tools {
		return nil
	}
	if x.f.Toolbox == nil || !cfg.Tools.Enabled {
		return &httpapi.Error{
			Status: http.StatusForbidden, Code: "tools_not_enabled",
			Message: "tools aren't enabled for this tenant; leave enigma.tools out",
		}
	}
	x.params.Tools = x.f.Toolbox.Tools(ctx, x.c)
	for _, t := range x.params.Tools {
		for i := range x.q.tools {
			if x.q.tools[i].Name == t.Name {
				return httpapi.Invalid(fmt.Sprintf("tools[%d]", i), "has the name of one of the tenant's tools: give it another, or leave enigma.tools out")
			}
		}
	}
	// The client's results aren't vouched for: with our own tools at hand they could make
	// the model act. Nor is it known what the answers were made from that it sends along.
	for _, m := range x.q.messages {
		x.params.Untrusted = x.params.Untrusted || m.Role == ai.RoleTool
		x.params.Hearsay = x.params.Hearsay || m.Role == ai.RoleAssistant
	}
	return nil
}

// promptTokens is the estimate before passages are found.
func (x *exchange) promptTokens() int {
	offered := append([]ai.Tool(nil), x.q.tools...)
	for _, t := range x.params.Tools {
		offered = append(offered, t.Tool)
	}
	n := x.f.Estimator.Messages(x.params.Models[0], x.params.Messages, offered...)
	if e := x.q.extras; e != nil && e.UseRAG {
		n += passagesTokens
	}
	return n
}

// refused gives the error of a question that brought no whole answer.
func (x *exchange) refused(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		// The server ended it, and says why.
		return fmt.Errorf("answering: %w", cause)
	}
	if e, ok := errors.AsType[*ai.Error](err); ok && e.Kind == ai.KindNoTools {
		return &httpapi.Error{
			Status: http.StatusBadRequest, Code: "tools_not_supported",
			Message: "this model can't call tools; choose another model, or leave tools and enigma.tools out", Cause: err,
		}
	}
	return notFound(err, x.named)
}

// asUser is the call of the end user whom the request names, if the key vouches for one.
func asUser(c httpapi.Call, user string) (httpapi.Call, error) {
	caller, err := c.Caller.WithUser(user)
	if err != nil {
		return c, httpapi.Invalid("user", strings.TrimPrefix(err.Error(), "the user id "))
	}
	c.Caller = caller
	return c, nil
}

func mostTokens(cfg *tenantconfig.Config) int {
	if cfg.Prompt.MaxTokens > 0 {
		return cfg.Prompt.MaxTokens
	}
	return defaultMaxTokens
}

// afterwards is the context of what is done once the model has answered: it goes on
// without the client, for a bounded time.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
}

// storeTimeout bounds the writes that may outlive their request.
const storeTimeout = 10 * time.Second
