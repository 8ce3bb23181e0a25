package chat

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
)

const (
	// statusWait is how long the answer's status waits for the upstream's: a refusal
	// that comes in time can still be a status, a later one is an error event.
	statusWait = 2 * time.Second
	// maxAnswerBytes bounds what one stream holds in memory, whatever an upstream
	// sends.
	maxAnswerBytes = 4 << 20
)

// opened is what came of calling the upstream.
type opened struct {
	stream ai.Stream
	err    error
}

// stream answers as an event stream.
func (f *Feature) stream(ctx context.Context, c httpapi.Call, x *exchange) (httpapi.Answer, error) {
	opening := x.open(ctx)
	wait := time.NewTimer(statusWait)
	defer wait.Stop()
	s := &streaming{exchange: x, opening: opening}
	select {
	case o := <-opening:
		if o.stream == nil {
			return httpapi.Answer{}, s.failedToOpen(ctx, o.err)
		}
		s.upstream = o.stream
		setModelHeaders(c.Out, o.stream.Model())
	case <-wait.C:
	}
	return httpapi.Answer{Stream: func(writing context.Context, w *httpapi.EventWriter) {
		// The request's own context says why it ended before any below it has ended.
		s.run(ctx, writing, w)
	}}, nil
}

// open calls the upstream beside the request, since the status may not wait for it.
// A panic there is brought back here: in a goroutine of its own it would end the
// process.
func (x *exchange) open(ctx context.Context) <-chan opened {
	ch := make(chan opened, 1)
	go func() {
		var o opened
		defer func() { ch <- o }()
		defer recovered("calling the model", &o.err)
		o.stream, o.err = x.chatter.Stream(ctx, x.tenant.ID, x.request())
	}()
	return ch
}

// streaming is an exchange whose answer is being made.
type streaming struct {
	*exchange
	opening  <-chan opened
	upstream ai.Stream

	answer     strings.Builder
	usage      ai.Usage
	told       bool // the provider told its usage
	firstToken time.Duration
}

// failedToOpen bills a call that no upstream accepted and gives its error.
func (s *streaming) failedToOpen(ctx context.Context, err error) error {
	after, done := afterwards(ctx)
	defer done()
	s.billFailure(ctx, after, err)
	return s.refused(ctx, err)
}

// run copies tokens until the answer ends, then settles, keeps and says how it ended.
// writing ends when the client can't be written to.
func (s *streaming) run(ctx, writing context.Context, w *httpapi.EventWriter) {
	defer s.feature.recorder.StreamOpened()()
	err := s.copy(ctx, writing, w)
	if s.upstream != nil {
		_ = s.upstream.Close() // the answer is over, whatever this says
	}
	s.end(ctx, w, err)
}

// copy sends each token as it arrives. It returns nil at the end of a complete
// answer.
func (s *streaming) copy(ctx, writing context.Context, w *httpapi.EventWriter) (err error) {
	defer recovered("streaming", &err)
	if s.upstream == nil {
		o := <-s.opening
		if o.stream == nil {
			return s.failedToOpen(ctx, o.err)
		}
		s.upstream = o.stream
	}
	// A client that is stuck is found by a ping, while the model may be silent for long.
	defer context.AfterFunc(writing, func() { _ = s.upstream.Close() })()
	event := newTokenEvent(s.sessionAsked, s.tenant.ID.String(), s.trace)
	for {
		chunk, err := s.upstream.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if chunk.Usage != nil {
			s.usage, s.told = *chunk.Usage, true
		}
		if chunk.Text == "" {
			continue
		}
		if s.firstToken == 0 {
			s.firstToken = max(s.feature.now().Sub(s.asked), 1)
		}
		s.answer.WriteString(chunk.Text)
		w.Data(event.data(chunk.Text))
		if err := w.Err(); err != nil {
			return &ai.Error{Kind: ai.KindCanceled, Err: err}
		}
		if s.answer.Len() > maxAnswerBytes {
			return &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the answer is longer than any that was asked for")}
		}
	}
}

// end bills what was used, keeps what was said, and writes the last events, in this
// order: a client that has seen the end finds it in the history.
func (s *streaming) end(ctx context.Context, w *httpapi.EventWriter, err error) {
	model := s.models[0]
	if s.upstream != nil {
		model = s.upstream.Model()
	}
	text := s.answer.String()
	used := s.complete(s.usage, model, text)
	outcome := telemetry.OutcomeOK
	if err != nil {
		outcome = outcomeOf(ctx, err)
		if s.told && !s.usage.Estimated {
			// A count from before the end may not cover what came after it.
			used.Out = max(used.Out, s.feature.estimator.Text(model, text))
		}
	}
	after, done := afterwards(ctx)
	defer done()
	s.bill(after, telemetry.Call{Model: model, Outcome: outcome, FirstToken: s.firstToken}, used)
	latency := s.feature.now().Sub(s.asked)
	if kept := s.keep(after, text, s.used, err != nil); kept != nil && err == nil {
		err = kept
	} else if kept != nil {
		s.feature.logger.Error("partial answer not kept", "tenant", s.tenant.ID.String(), "trace_id", s.trace, "error", kept)
	}
	if outcome == telemetry.OutcomeCanceled && !errors.Is(context.Cause(ctx), ErrStopping) {
		return // nobody is there to be told
	}
	usage := newStreamUsage(model, s.used, latency.Milliseconds())
	if err == nil {
		w.Event("done", doneEvent{Done: true, Usage: usage, Sources: noSources})
		return
	}
	answer := w.Explain(s.refused(ctx, err))
	w.Event("error", errorEvent{Code: answer.Code, Message: answer.Message, TraceID: s.trace, RetryAfterMs: answer.RetryAfter.Milliseconds()})
	w.Event("done", failedDoneEvent{Done: true, Error: answer.Code, Usage: usage})
}
