package openaiapi

import (
	"context"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// whole waits for the answer.
func (x *exchange) whole(ctx context.Context) (turn.Outcome, error) {
	if err := x.prepare(ctx); err != nil {
		return turn.Outcome{}, err
	}
	out := turn.Outcome{Text: ai.Ungrounded, Model: x.params.Models[0]}
	if !x.nothing {
		var err error
		if out, err = x.f.Turns.Whole(ctx, x.params, nil); err != nil {
			return out, x.refused(ctx, err)
		}
	}
	if err := x.keep(ctx, out, false); err != nil {
		return out, err
	}
	x.c.Out["X-Model-Id"] = []string{out.Model}
	return out, nil
}

// prepare finds passages. If the model won't be asked, what was set aside for it is given
// back, also after a panic.
func (x *exchange) prepare(ctx context.Context) error {
	asks := false
	defer func() {
		if !asks {
			after, done := afterwards(ctx)
			defer done()
			x.admission.Settle(after, x.params.Models[0], ai.Usage{})
		}
	}()
	err := x.ground(ctx)
	asks = err == nil && !x.nothing
	return err
}

// frames are the events of one of OpenAI's streams.
type frames interface {
	text(w *httpapi.EventWriter, model, text string)
	tool(w *httpapi.EventWriter, model string, p toolProgress)
	// end and fail write the last ones.
	end(w *httpapi.EventWriter, out turn.Outcome)
	fail(w *httpapi.EventWriter, out turn.Outcome, e *httpapi.Error)
}

// stream answers as an event stream, unless it is refused before its status must go out.
func (x *exchange) stream(ctx context.Context, to frames) (httpapi.Answer, error) {
	opening := turn.Start(ctx, func(ctx context.Context) (*turn.Turn, error) {
		if err := x.prepare(ctx); err != nil || x.nothing {
			return nil, err
		}
		return x.f.Turns.Open(ctx, x.params)
	})
	if opening.Within(turn.StatusWait) {
		t, err := opening.Turn()
		if err != nil {
			return httpapi.Answer{}, x.refused(ctx, err)
		}
		if t != nil {
			x.c.Out["X-Model-Id"] = []string{t.Model()}
		}
	}
	return httpapi.Answer{Stream: func(writing context.Context, w *httpapi.EventWriter) {
		defer x.f.Recorder.StreamOpened()()
		// The request's own context says why it ended before any below it has ended.
		x.run(ctx, writing, w, opening, to)
	}}, nil
}

// run writes what the model says, keeps it, and says how it ended, in this order: a client
// that has seen the end finds it in its session.
func (x *exchange) run(ctx, writing context.Context, w *httpapi.EventWriter, opening *turn.Opening, to frames) {
	out := turn.Outcome{Model: x.params.Models[0]}
	t, err := opening.Turn()
	switch {
	case err != nil:
	case t == nil:
		out.Text = ai.Ungrounded
		to.text(w, out.Model, out.Text)
	default:
		out, err = t.Stream(writing, &sink{turn: t, w: w, to: to})
	}
	if kept := x.keep(ctx, out, err != nil); kept != nil && err == nil {
		err = kept
	} else if kept != nil {
		x.f.Logger.Error("partial answer not kept", "tenant", x.c.Tenant.ID.String(), "trace_id", x.c.TraceID, "error", kept)
	}
	if err != nil {
		to.fail(w, out, w.Explain(x.refused(ctx, err)))
		return
	}
	to.end(w, out)
}

// sink passes on what happens in a turn.
type sink struct {
	turn *turn.Turn
	w    *httpapi.EventWriter
	to   frames
}

func (s *sink) Text(text string) error {
	s.to.text(s.w, s.turn.Model(), text)
	return s.w.Err()
}

func (s *sink) ToolStarted(id, name string) {
	s.to.tool(s.w, s.turn.Model(), toolProgress{ID: id, Name: name, Status: "started"})
}

func (s *sink) ToolEnded(id, name, code string, took time.Duration) {
	p := toolProgress{ID: id, Name: name, Status: "ok", Code: code}
	if code != "" {
		p.Status = "failed"
	}
	ms := took.Milliseconds()
	p.DurationMs = &ms
	s.to.tool(s.w, s.turn.Model(), p)
}

// keep appends the last question and its answer to the session that the request names.
// An empty answer isn't kept, nor one whose question is a tool's result.
func (x *exchange) keep(ctx context.Context, out turn.Outcome, partial bool) error {
	e := x.q.extras
	last := x.q.messages[len(x.q.messages)-1]
	if e == nil || e.SessionID == "" || out.Text == "" || last.Role != ai.RoleUser {
		return nil
	}
	after, done := afterwards(ctx)
	defer done()
	said, cfg := x.f.Now(), x.c.Tenant.Config.Sessions
	answer := storage.Message{Role: storage.RoleAssistant, Content: out.Text, At: said, Partial: partial, Untrusted: out.Untrusted}
	if !out.Usage.Estimated {
		answer.Tokens = out.Usage.Out
	}
	return x.f.History.Append(after, x.c.Tenant.ID, storage.Owner{Caller: x.c.Caller.ID()}, strings.ToLower(e.SessionID),
		[]storage.Message{{Role: storage.RoleUser, Content: last.Content, At: said.Add(-time.Millisecond)}, answer},
		storage.Keep{MaxMessages: cfg.MaxMessages, Retention: time.Duration(cfg.RetentionDays) * 24 * time.Hour})
}

// finish is why an answer ended, in OpenAI's words.
func finish(out turn.Outcome) string {
	switch {
	case len(out.Calls) > 0:
		return "tool_calls"
	case out.Finish == "length", out.Finish == "content_filter":
		return out.Finish
	default:
		return "stop"
	}
}

// toldOf is what goes under "enigma" at the end, nil if the request has none.
func (x *exchange) toldOf(out turn.Outcome) *told {
	if x.q.extras == nil {
		return nil
	}
	return &told{SessionID: x.q.extras.SessionID, Sources: x.sources, Estimated: out.Usage.Estimated}
}
