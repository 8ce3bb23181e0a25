package ai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Chain asks several models in order: the next one when a model fails before its
// first token in a way that another might not. It never changes models in
// mid-stream, and stops as soon as the context ends.
type Chain struct {
	// Chatter that all models are asked through.
	Chatter Chatter
	// Models in the order they are asked, at least one; a repeated one is asked
	// once. They stand in for the request's own Model.
	Models []string
	// Failed is told of each model that was passed over. Nil tells nobody.
	Failed func(model string, err *Error)
}

var _ Chatter = Chain{}

// Complete gives the first model's answer that there is.
func (c Chain) Complete(ctx context.Context, t tenancy.ID, req ChatRequest) (Answer, error) {
	var answer Answer
	var failed []modelError
	_, err := c.try(ctx, 0, &failed, func(model string) (err error) {
		req.Model = model
		answer, err = c.Chatter.Complete(ctx, t, req)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	return answer, nil
}

// Stream returns when a model has accepted the call. That model may still fail
// before its first text; then Next goes on to the next one, and Model changes.
func (c Chain) Stream(ctx context.Context, t tenancy.ID, req ChatRequest) (Stream, error) {
	s := &chainStream{chain: c, tenant: t, req: req}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if err := s.open(); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// try calls ask with the models from index from on, until one doesn't fail, and adds
// to failed those that do.
func (c Chain) try(ctx context.Context, from int, failed *[]modelError, ask func(model string) error) (next int, err error) {
	if len(c.Models) == 0 {
		return 0, &Error{Kind: KindBadRequest, Err: errors.New("no model to ask")}
	}
	for i := from; i < len(c.Models); i++ {
		model := c.Models[i]
		if slices.Contains(c.Models[:i], model) {
			continue
		}
		err := ask(model)
		if err == nil {
			return i + 1, nil
		}
		var e *Error
		if !errors.As(err, &e) {
			return 0, err
		}
		*failed = append(*failed, modelError{model, e})
		if ctx.Err() != nil || !e.Fallback() {
			return 0, e
		}
		if c.Failed != nil && c.more(i) {
			c.Failed(model, e)
		}
	}
	return 0, allFailed(*failed)
}

// more tells that a model after index i is still to be asked.
func (c Chain) more(i int) bool {
	for j := i + 1; j < len(c.Models); j++ {
		if !slices.Contains(c.Models[:j], c.Models[j]) {
			return true
		}
	}
	return false
}

type modelError struct {
	model string
	err   *Error
}

// allFailed speaks for the first model, which is the one that was meant to answer,
// and names the others.
func allFailed(failed []modelError) error {
	first := failed[0].err
	if len(failed) == 1 {
		return first
	}
	causes := make([]error, len(failed))
	for i, f := range failed {
		causes[i] = fmt.Errorf("%s: %w", f.model, f.err)
	}
	return &Error{Kind: first.Kind, Status: first.Status, RetryAfter: first.RetryAfter, Err: errors.Join(causes...)}
}

type chainStream struct {
	chain  Chain
	tenant tenancy.ID
	req    ChatRequest
	// The stream is the call: Close ends it between two models as well.
	ctx    context.Context
	cancel context.CancelFunc
	next   int
	failed []modelError
	spoke  bool
	over   error

	mu  sync.Mutex // guards cur against Close
	cur Stream
}

// open asks the models that are left.
func (s *chainStream) open() error {
	next, err := s.chain.try(s.ctx, s.next, &s.failed, func(model string) error {
		req := s.req
		req.Model = model
		opened, err := s.chain.Chatter.Stream(s.ctx, s.tenant, req)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.cur = opened
		s.mu.Unlock()
		return nil
	})
	s.next = next
	return err
}

func (s *chainStream) current() Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur
}

func (s *chainStream) Next() (Chunk, error) {
	for s.over == nil {
		chunk, err := s.current().Next()
		if err == nil {
			s.spoke = s.spoke || chunk.Text != ""
			return chunk, nil
		}
		s.over = s.replace(err)
	}
	return Chunk{}, s.over
}

// replace goes on to the next model, if the one that failed with err may be replaced.
// Otherwise it gives the error that ends the stream.
func (s *chainStream) replace(err error) error {
	var e *Error
	if s.spoke || errors.Is(err, io.EOF) || !errors.As(err, &e) || !e.Fallback() || s.ctx.Err() != nil {
		return err
	}
	cur := s.current()
	_ = cur.Close() // it has failed already
	s.failed = append(s.failed, modelError{cur.Model(), e})
	if !s.chain.more(s.next - 1) {
		return allFailed(s.failed)
	}
	if s.chain.Failed != nil {
		s.chain.Failed(cur.Model(), e)
	}
	return s.open()
}

func (s *chainStream) Model() string { return s.current().Model() }

func (s *chainStream) Close() error {
	s.cancel()
	return s.current().Close()
}
