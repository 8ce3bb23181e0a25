package turn

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// plainFor is how long a model that refused tools is asked without them: it may have
	// been exchanged for one that has.
	plainFor = time.Hour
	// maxPlain bounds what is remembered; names come from requests.
	maxPlain = 256
)

// plainModels remembers models that have no tools.
type plainModels struct {
	mu    sync.Mutex
	until map[plainModel]time.Time
}

type plainModel struct {
	tenant tenancy.ID
	model  string
}

func (m *plainModels) has(t tenancy.ID, model string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, ok := m.until[plainModel{t, model}]
	if ok && !now.Before(until) {
		delete(m.until, plainModel{t, model})
		return false
	}
	return ok
}

func (m *plainModels) add(t tenancy.ID, model string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.until == nil || len(m.until) >= maxPlain {
		m.until = map[plainModel]time.Time{}
	}
	m.until[plainModel{t, model}] = now.Add(plainFor)
}

// tolerant asks a model that has no tools once more without them, unless strict.
type tolerant struct {
	next   ai.Chatter
	models *plainModels
	tenant *tenancy.Tenant
	strict bool
	now    func() time.Time
}

func (c tolerant) Complete(ctx context.Context, t tenancy.ID, req ai.ChatRequest) (a ai.Answer, err error) {
	err = c.try(t, req, func(req ai.ChatRequest) error {
		a, err = c.next.Complete(ctx, t, req)
		return err
	})
	return a, err
}

// Stream waits for the first chunk where tools are offered: some upstreams refuse them
// only inside the stream.
func (c tolerant) Stream(ctx context.Context, t tenancy.ID, req ai.ChatRequest) (s ai.Stream, err error) {
	err = c.try(t, req, func(req ai.ChatRequest) error {
		s, err = c.next.Stream(ctx, t, req)
		if err != nil || len(req.Tools) == 0 || c.strict {
			return err
		}
		first := &firstChunk{Stream: s}
		first.chunk, first.err = s.Next()
		if isNoTools(first.err) {
			_ = s.Close() // it has failed already
			return first.err
		}
		s = first
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (c tolerant) try(t tenancy.ID, req ai.ChatRequest, ask func(ai.ChatRequest) error) error {
	if len(req.Tools) == 0 || c.strict {
		return ask(req)
	}
	if !c.models.has(t, req.Model, c.now()) {
		err := ask(req)
		if !isNoTools(err) {
			return err
		}
		c.models.add(t, req.Model, c.now())
	}
	return ask(withoutTools(req))
}

func isNoTools(err error) bool {
	e, ok := errors.AsType[*ai.Error](err)
	return ok && e.Kind == ai.KindNoTools
}

// firstChunk gives what was read ahead.
type firstChunk struct {
	ai.Stream
	chunk ai.Chunk
	err   error
	given bool
}

func (s *firstChunk) Next() (ai.Chunk, error) {
	if !s.given {
		s.given = true
		return s.chunk, s.err
	}
	return s.Stream.Next()
}

// withoutTools tells what tools have given so far as the user's.
func withoutTools(req ai.ChatRequest) ai.ChatRequest {
	req.Tools, req.ToolChoice, req.OneTool = nil, "", false
	messages := make([]ai.Message, 0, len(req.Messages))
	for _, m := range req.Messages {
		switch {
		case m.Role == ai.RoleTool:
			m = ai.Message{Role: ai.RoleUser, Content: m.Content}
		case len(m.ToolCalls) > 0:
			if m.ToolCalls = nil; m.Content == "" {
				continue
			}
		}
		messages = append(messages, m)
	}
	req.Messages = messages
	return req
}
