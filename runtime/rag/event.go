package rag

import (
	"encoding/json"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// events writes the stream of a search.
type events struct {
	w *httpapi.EventWriter
	c httpapi.Call
}

type sourcesEvent struct {
	Sources []guard.Source `json:"sources"`
}

type tokenEvent struct {
	Role     string `json:"role"`
	Content  string `json:"content"`
	TenantID string `json:"tenantId"`
	TraceID  string `json:"traceId"`
}

// usage is what the done event tells of the call, as that of a chat does.
type usage struct {
	ModelID     string `json:"modelId,omitempty"`
	TokensIn    int    `json:"tokensIn"`
	TokensOut   int    `json:"tokensOut"`
	TotalTokens int    `json:"totalTokens"`
	LatencyMs   int64  `json:"latencyMs"`
	Estimated   bool   `json:"estimated,omitempty"`
}

type doneEvent struct {
	Done       bool           `json:"done"`
	Usage      usage          `json:"usage"`
	Sources    []guard.Source `json:"sources"`
	Confidence float64        `json:"confidence"`
	FollowUps  []string       `json:"followUps"`
}

type failedEvent struct {
	Code         string `json:"code"`
	Message      string `json:"message"`
	TraceID      string `json:"traceId"`
	RetryAfterMs int64  `json:"retryAfterMs,omitempty"`
}

type failedDoneEvent struct {
	Done  bool   `json:"done"`
	Error string `json:"error"`
	Usage usage  `json:"usage"`
}

func (e events) sources(s []guard.Source) { e.w.Event("sources", sourcesEvent{s}) }

func (e events) text(text string) {
	if text == "" {
		return
	}
	// Four strings always are JSON.
	data, _ := json.Marshal(tokenEvent{"assistant", text, e.c.Tenant.ID.String(), e.c.TraceID})
	e.w.Data(data)
}

func (e events) done(r result, out turn.Outcome, took time.Duration) {
	e.w.Event("done", doneEvent{true, usageOf(out, took), r.Sources, r.Confidence, r.FollowUps})
}

func (e events) failed(err error, out turn.Outcome, took time.Duration) {
	answer := e.w.Explain(err)
	e.w.Event("error", failedEvent{answer.Code, answer.Message, e.c.TraceID, answer.RetryAfter.Milliseconds()})
	e.w.Event("done", failedDoneEvent{true, answer.Code, usageOf(out, took)})
}

func usageOf(out turn.Outcome, took time.Duration) usage {
	u := out.Usage
	return usage{out.Model, u.In, u.Out, u.In + u.Out, took.Milliseconds(), u.Estimated}
}
