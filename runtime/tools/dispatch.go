package tools

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

const (
	// maxContent bounds what a model is given of one result, in bytes.
	maxContent = 64 << 10
	// noteTime bounds the writes after a run, which may outlive their request.
	noteTime = 10 * time.Second
)

// errTimeUp ends a tool whose time is up.
var errTimeUp = errors.New("the tool's time is up")

// job is one run of a tool.
type job struct {
	feature *Feature
	c       httpapi.Call
	tool    *tool

	mu sync.Mutex
	// admission is for the first call of a model; nil where none was asked for.
	admission *limits.Admission
}

// take gives the admission to the first who asks.
func (j *job) take() *limits.Admission {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := j.admission
	j.admission = nil
	return a
}

// Tools implements turn.Toolbox.
func (f *Feature) Tools(_ context.Context, c httpapi.Call) []turn.Tool {
	s := f.snapshot(c.Tenant)
	if s == nil {
		return nil
	}
	var offered []turn.Tool
	for _, t := range s.tools {
		if may(c.Caller, t) {
			offered = append(offered, turn.Tool{
				Tool:   ai.Tool{Name: t.function, Description: t.description, Parameters: t.parameters},
				Writes: t.writes, Leaves: t.leaves, Pure: t.pure, AfterUntrusted: t.afterUntrusted, Origin: t.origin,
			})
		}
	}
	return offered
}

// Run implements turn.Toolbox.
func (f *Feature) Run(ctx context.Context, c httpapi.Call, name string, raw json.RawMessage) turn.Result {
	began := f.n.Now()
	t, fault := f.find(c, name)
	if t == nil {
		return resultOf(nil, fault, 0)
	}
	var params map[string]any
	if fault == nil {
		params, fault = t.accept(raw)
	}
	if fault != nil {
		f.note(ctx, c, t, params, fault, 0)
		return resultOf(nil, fault, 0)
	}
	data, fault := f.perform(ctx, &job{feature: f, c: c, tool: t}, params)
	took := f.n.Now().Sub(began)
	f.note(ctx, c, t, params, fault, took)
	return resultOf(data, fault, took)
}

// find gives the tool of a name. A tool that the caller may not use is given together
// with the failure, one that isn't there is nil.
func (f *Feature) find(c httpapi.Call, name string) (*tool, *failure) {
	s := f.snapshot(c.Tenant)
	if s == nil {
		return nil, &failure{code: CodeDenied, message: "tools aren't enabled for this tenant"}
	}
	t := s.byName[name]
	switch {
	case t == nil:
		return nil, &failure{code: CodeNotFound, message: "there is no tool of this name: GET /schema/tools lists those that there are"}
	case !may(c.Caller, t):
		return t, &failure{code: CodeDenied, message: "this API key may not use this tool: its scopes name others"}
	}
	return t, nil
}

// accept checks parameters.
func (t *tool) accept(raw json.RawMessage) (map[string]any, *failure) {
	params, details := decode(raw)
	if details == nil {
		details = t.schema.check(params)
	}
	if len(details) == 0 {
		return params, nil
	}
	lines := make([]string, len(details))
	for i, d := range details {
		lines[i] = strings.TrimSpace(d.Path + " " + d.Message)
	}
	return params, &failure{code: CodeInvalid, message: "the tool's parameters are wrong: " + strings.Join(lines, "; "), details: details}
}

// perform runs a tool within its time. What it was doing when the time is up goes on
// until it hears of it, with nobody waiting.
func (f *Feature) perform(ctx context.Context, j *job, params map[string]any) (any, *failure) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.tool.timeout, errTimeUp)
	defer cancel()
	type outcome struct {
		data any
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() { done <- o }()
		defer j.finish(ctx)
		defer recovered(&o.err)
		o.data, o.err = j.tool.run(ctx, j, params)
	}()
	select {
	case o := <-done:
		if o.err == nil {
			return o.data, nil
		}
		return nil, f.explain(ctx, j, o.err)
	case <-ctx.Done():
		return nil, f.explain(ctx, j, context.Cause(ctx))
	}
}

// explain turns what a tool ended with into what is told, and logs what isn't.
func (f *Feature) explain(ctx context.Context, j *job, err error) *failure {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeUp):
		return &failure{code: CodeTimeout, message: fmt.Sprintf("the tool took longer than its %v and was stopped", j.tool.timeout), cause: err}
	case cause != nil:
		return &failure{code: CodeFailed, message: "the call was ended before the tool had answered", cause: cause}
	}
	fault := failureOf(err)
	if fault.cause != nil {
		f.n.Logger.Warn("a tool failed", "tenant", j.c.Tenant.ID.String(), "tool", j.tool.name, "trace_id", j.c.TraceID, "error", err)
	}
	return fault
}

// recovered turns a panic into *err. The panic's own text is left out unless the Go
// runtime wrote it: it could hold what was said.
func recovered(err *error) {
	v := recover()
	if v == nil {
		return
	}
	what := fmt.Sprintf("%T", v)
	if trap, ok := v.(runtime.Error); ok {
		what = trap.Error()
	}
	*err = fmt.Errorf("panic in a tool: %s\n%s", what, debug.Stack())
}

// finish gives back what was reserved for a model that was never asked.
func (j *job) finish(ctx context.Context) {
	if a := j.take(); a != nil {
		after, done := afterwards(ctx)
		defer done()
		a.Settle(after, j.c.Tenant.Config.Models.Chat, ai.Usage{})
	}
}

func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), noteTime)
}

// resultOf is what a turn gets.
func resultOf(data any, fault *failure, took time.Duration) turn.Result {
	if fault != nil {
		return turn.Result{Code: fault.code, Message: fault.message, Content: clip(fault.content), Duration: took}
	}
	r := turn.Result{Data: data, Duration: took}
	if text, ok := data.(string); ok {
		r.Content = clip(text)
	} else {
		r.Content = clip(string(marshal(data)))
	}
	return r
}

// marshal writes data as JSON without HTML's escapes.
func marshal(data any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return []byte("null")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

func clip(text string) string {
	if len(text) <= maxContent {
		return text
	}
	cut := maxContent
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "\n(cut here: the result was longer)"
}

// note puts a run into the audit log and the counters. What can't be kept is logged: it
// doesn't undo what the tool did.
func (f *Feature) note(ctx context.Context, c httpapi.Call, t *tool, params map[string]any, fault *failure, took time.Duration) {
	outcome := outcomeOK
	switch {
	case fault == nil:
	case ctx.Err() != nil && fault.code == CodeFailed:
		outcome = outcomeStopped
	default:
		outcome = fault.code
	}
	after, done := afterwards(ctx)
	defer done()
	now := f.n.Now()
	f.n.Meter.ToolRan(t.name, outcome, took)
	err := f.n.Audit.Record(after, c.Tenant.ID, storage.AuditRecord{
		At: now, Caller: c.Caller.ID(), Tool: t.name, ParamsHash: hashOf(c.Tenant.ID, params), Outcome: outcome, Duration: took,
	})
	err = errors.Join(err, f.n.Usage.Add(after, c.Tenant.ID, storage.UsageRecord{
		At: now, Feature: storage.UsageOfTool + t.name, Outcome: outcome, Latency: took,
	}))
	if err != nil {
		f.n.Logger.Error("noting a tool's run", "tenant", c.Tenant.ID.String(), "tool", t.name, "caller", c.Caller.ID(), "outcome", outcome,
			"ms", took.Milliseconds(), "trace_id", c.TraceID, "error", err)
	}
}

// hashOf lets runs with the same parameters be told, and nothing else: the key, which is
// the tenant's own, keeps a table of likely parameters from being made once for all.
func hashOf(t tenancy.ID, params map[string]any) string {
	if params == nil {
		return ""
	}
	mac := hmac.New(sha256.New, []byte("tool parameters "+t.Identity()))
	mac.Write(canonical(params))
	return hex.EncodeToString(mac.Sum(nil))
}
