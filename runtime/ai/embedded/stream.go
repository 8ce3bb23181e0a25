package embedded

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

type stream struct {
	ctx    context.Context
	parts  []string
	finish string
	usage  ai.Usage
	over   error
	closed atomic.Bool
}

func (s *stream) Next() (ai.Chunk, error) {
	if s.over != nil {
		return ai.Chunk{}, s.over
	}
	if s.over = ended(s.ctx); s.over == nil && s.closed.Load() {
		s.over = &ai.Error{Kind: ai.KindCanceled, Err: errors.New("the call was closed")}
	}
	if s.over != nil {
		return ai.Chunk{}, s.over
	}
	if len(s.parts) > 0 {
		text := s.parts[0]
		s.parts = s.parts[1:]
		return ai.Chunk{Text: text}, nil
	}
	s.over = io.EOF
	u := s.usage
	return ai.Chunk{Finish: s.finish, Usage: &u}, nil
}

func (s *stream) Model() string { return Model }

func (s *stream) Close() error {
	s.closed.Store(true)
	return nil
}
