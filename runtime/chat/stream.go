package chat

import (
	"context"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// stream answers as an event stream. Its status waits a moment for the upstream's.
func (f *Feature) stream(ctx context.Context, x *exchange) (httpapi.Answer, error) {
	s := &streaming{exchange: x, progress: make(chan toolEvent, 2)}
	s.opening = turn.Start(ctx, s.open)
	if s.opening.Within(turn.StatusWait) {
		t, err := s.opening.Turn()
		if err != nil {
			return httpapi.Answer{}, x.refused(ctx, err)
		}
		if t != nil {
			setModelHeaders(x.call.Out, t.Model())
		}
	}
	return httpapi.Answer{Stream: func(writing context.Context, w *httpapi.EventWriter) {
		// The request's own context says why it ended before any below it has ended.
		s.run(ctx, writing, w)
	}}, nil
}

// streaming is an exchange whose answer is being made.
type streaming struct {
	*exchange
	opening *turn.Opening
	// progress is of the tool that the caller named: started and ended.
	progress chan toolEvent
	w        *httpapi.EventWriter
	event    *tokenEvent
}

// open gives no turn where the documents don't answer.
func (s *streaming) open(ctx context.Context) (*turn.Turn, error) {
	defer s.release(ctx)
	unanswerable, err := s.prepare(ctx, func(e toolEvent) { s.progress <- e })
	if err != nil || unanswerable {
		return nil, err
	}
	return s.feature.Turns.Open(ctx, s.params())
}

// run passes the answer on until it ends, then keeps it and says how it ended: a client
// that has seen the end finds it in the history. writing ends when the client can't be
// written to.
func (s *streaming) run(ctx, writing context.Context, w *httpapi.EventWriter) {
	defer s.feature.Recorder.StreamOpened()()
	s.w = w
	s.event = newTokenEvent(s.req.SessionID, s.call.Tenant.ID.String(), s.call.TraceID)
	out, err := s.answer(ctx, writing)
	latency := s.feature.Now().Sub(s.asked)
	if kept := s.keep(ctx, out, err != nil); kept != nil && err == nil {
		err = kept
	} else if kept != nil {
		s.feature.Logger.Error("partial answer not kept", "tenant", s.call.Tenant.ID.String(), "trace_id", s.call.TraceID, "error", kept)
	}
	if gone(ctx, err) {
		return
	}
	usage := newStreamUsage(out.Model, out.Usage, latency.Milliseconds())
	if err == nil {
		w.Event("done", doneEvent{Done: true, Usage: usage, Sources: s.sources()})
		return
	}
	answer := w.Explain(s.refused(ctx, err))
	w.Event("error", errorEvent{Code: answer.Code, Message: answer.Message, TraceID: s.call.TraceID, RetryAfterMs: answer.RetryAfter.Milliseconds()})
	w.Event("done", failedDoneEvent{Done: true, Error: answer.Code, Usage: usage})
}

func (s *streaming) answer(ctx, writing context.Context) (turn.Outcome, error) {
	t, err := s.opened()
	switch {
	case err != nil:
		return turn.Outcome{Model: s.models[0]}, err
	case t == nil:
		out := s.ungrounded(ctx)
		return out, s.Text(out.Text)
	}
	return t.Stream(writing, s)
}

// opened waits for the turn and tells meanwhile how the named tool goes.
func (s *streaming) opened() (*turn.Turn, error) {
	for {
		select {
		case e := <-s.progress:
			s.w.Event("tool", e)
		case <-s.opening.Done():
			for len(s.progress) > 0 {
				s.w.Event("tool", <-s.progress)
			}
			return s.opening.Turn()
		}
	}
}

// Text implements turn.Sink.
func (s *streaming) Text(text string) error {
	s.w.Data(s.event.data(text))
	return s.w.Err()
}

// ToolStarted implements turn.Sink.
func (s *streaming) ToolStarted(id, name string) { s.w.Event("tool", toolStarted(id, name)) }

// ToolEnded implements turn.Sink.
func (s *streaming) ToolEnded(id, name, code string, took time.Duration) {
	s.w.Event("tool", toolEnded(id, name, code, took))
}
