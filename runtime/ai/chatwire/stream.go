package chatwire

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/sse"
)

// settle is how long a stream waits, after the finish reason, for the usage or
// [DONE] that most servers send and some don't.
const settle = 2 * time.Second

type stream struct {
	client *Client
	k      *exchange
	model  string
	tools  bool // were offered
	events *sse.Reader
	frame  frame
	join   joiner
	calls  calls

	finished bool
	// over is what every further Next answers.
	over error
}

func newStream(c *Client, k *exchange, model string, tools bool) (*stream, error) {
	s := &stream{client: c, k: k, model: model, tools: tools}
	kind, _, _ := mime.ParseMediaType(k.contentType)
	if kind == "application/json" || strings.HasSuffix(kind, "+json") || isHTML(k.contentType) {
		return s, s.takeWhole()
	}
	s.events = sse.NewReader(k)
	return s, nil
}

// takeWhole makes a stream of one chunk from a server that doesn't stream.
func (s *stream) takeWhole() error {
	body, err := s.k.whole()
	if err != nil {
		s.k.end()
		return err
	}
	event := make([]byte, 0, len(body)+64)
	event = append(event, "data:"...)
	// JSON has no line ends that matter, and an event's line may have none at all.
	event = append(event, bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, body)...)
	event = append(event, "\n\ndata: [DONE]\n\n"...)
	s.events = sse.NewReader(bytes.NewReader(event))
	return nil
}

func (s *stream) Model() string { return s.model }

func (s *stream) Close() error {
	s.k.end()
	return nil
}

func (s *stream) Next() (ai.Chunk, error) {
	for s.over == nil {
		// What is buffered isn't given to a caller that has ended the call.
		if err := s.k.ctx.Err(); err != nil {
			return s.broken(err)
		}
		e, err := s.events.Next()
		if err != nil {
			return s.broken(err)
		}
		if chunk, ok := s.take(e); ok {
			return chunk, nil
		}
	}
	return ai.Chunk{}, s.over
}

// take reads one event; ok tells that it holds something for the caller.
func (s *stream) take(e sse.Event) (chunk ai.Chunk, ok bool) {
	data := bytes.TrimSpace(e.Data)
	if len(data) == 0 {
		return chunk, false
	}
	if string(data) == "[DONE]" {
		return s.complete()
	}
	if !s.frame.read(data) {
		kind := ai.KindMalformed
		if e.Unterminated {
			kind = ai.KindTruncated
		}
		return s.fail(&ai.Error{Kind: kind, Status: s.k.status, Err: errors.New("a frame of the stream is no JSON object")})
	}
	if s.frame.refused || string(e.Name) == "error" {
		return s.fail(s.client.refusal(Refusal{Body: data, Tools: s.tools}, nil))
	}
	if len(s.frame.calls) > 0 && !s.calls.add(s.frame.calls) {
		return s.fail(&ai.Error{Kind: ai.KindMalformed, Status: s.k.status, Err: errTooManyCalls})
	}
	if len(s.frame.text) > 0 {
		chunk.Text = s.join.add(s.frame.text)
	}
	if s.frame.hasUsage {
		u := s.frame.usage
		chunk.Usage = &u
	}
	final := s.frame.final()
	if s.frame.finish != "" && !s.finished {
		chunk.Finish = s.frame.finish
	}
	if chunk.Finish != "" || final {
		s.finished = true
		chunk.ToolCalls, chunk.Finish = s.calls.take(chunk.Finish)
		s.k.allow(settle)
	}
	return chunk, chunk.Text != "" || chunk.Finish != "" || chunk.Usage != nil || len(chunk.ToolCalls) > 0
}

// complete ends a stream whose answer is whole.
func (s *stream) complete() (ai.Chunk, bool) {
	s.over = io.EOF
	s.k.drain()
	s.k.end()
	chunk := ai.Chunk{Text: s.join.flush()}
	chunk.ToolCalls, chunk.Finish = s.calls.take("")
	return chunk, chunk.Text != "" || len(chunk.ToolCalls) > 0
}

// fail ends a stream with err, unless the answer was complete before.
func (s *stream) fail(err *ai.Error) (ai.Chunk, bool) {
	if s.finished {
		return s.complete()
	}
	s.over = err
	s.k.end()
	return ai.Chunk{}, false
}

// broken reads the end of the byte stream.
func (s *stream) broken(err error) (ai.Chunk, error) {
	var e *ai.Error
	switch {
	case errors.Is(err, sse.ErrTooLarge):
		e = &ai.Error{Kind: ai.KindMalformed, Status: s.k.status, Err: sse.ErrTooLarge}
	default:
		e = s.k.failure(err, ai.KindTruncated)
	}
	if chunk, ok := s.fail(e); ok {
		return chunk, nil
	}
	return ai.Chunk{}, s.over
}
