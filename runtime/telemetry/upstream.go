package telemetry

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Upstream watches a driver: it counts failures of each model and remembers whether
// the default model answered last. It stands below the fallback chain, which hides
// failures from its caller.
type Upstream struct {
	next    ai.Chatter
	model   string
	metrics *Metrics
	last    atomic.Pointer[string]
}

var (
	_ ai.Chatter = (*Upstream)(nil)
	_ ai.Stream  = (*watchedStream)(nil)
)

// Watch wraps next; model is the default chat model, whose state Last tells.
func (m *Metrics) Watch(next ai.Chatter, model string) *Upstream {
	return &Upstream{next: next, model: model, metrics: m}
}

// Last is the kind of the default model's last failure, "" if it answered last; ok
// is false while it hasn't been asked.
func (u *Upstream) Last() (kind string, ok bool) {
	p := u.last.Load()
	if p == nil {
		return "", false
	}
	return *p, true
}

// Complete implements ai.Chatter.
func (u *Upstream) Complete(ctx context.Context, t tenancy.ID, req ai.ChatRequest) (ai.Answer, error) {
	a, err := u.next.Complete(ctx, t, req)
	u.note(req.Model, err)
	return a, err
}

// Stream implements ai.Chatter.
func (u *Upstream) Stream(ctx context.Context, t tenancy.ID, req ai.ChatRequest) (ai.Stream, error) {
	s, err := u.next.Stream(ctx, t, req)
	if err != nil {
		u.note(req.Model, err)
		return nil, err
	}
	return &watchedStream{Stream: s, up: u, model: req.Model}, nil
}

func (u *Upstream) note(model string, err error) {
	kind := ""
	if err != nil {
		e, ok := errors.AsType[*ai.Error](err)
		switch {
		case !ok:
			kind = "unknown"
		case e.Kind == ai.KindCanceled:
			return // says nothing about the upstream
		default:
			kind = string(e.Kind)
		}
		u.metrics.failures.WithLabelValues(u.metrics.series(model).label, kind).Inc()
		if ok && (!e.Fallback() || e.Kind == ai.KindNoTools) {
			kind = "" // it answered: the request was at fault
		}
	}
	if model == u.model {
		if p := u.last.Load(); p == nil || *p != kind {
			u.last.Store(&kind)
		}
	}
}

// watchedStream tells how a stream ended.
type watchedStream struct {
	ai.Stream
	up    *Upstream
	model string
}

// Next implements ai.Stream.
func (s *watchedStream) Next() (ai.Chunk, error) {
	c, err := s.Stream.Next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			s.up.note(s.model, nil)
		} else {
			s.up.note(s.model, err)
		}
	}
	return c, err
}
