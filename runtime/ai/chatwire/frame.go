package chatwire

import (
	"bytes"
	"math"
	"strconv"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// frame is what one event of a stream, or one whole JSON answer, says.
type frame struct {
	// text is the raw delta, not yet joined to whole code points.
	text []byte
	// calls are parts of calls of tools.
	calls []callPart
	// spoke: there was a choice or a native response, even one without text.
	spoke    bool
	finish   string
	usage    ai.Usage
	hasUsage bool
	// refused: it holds an error object, to be read by Refusal.
	refused bool
}

// final tells that the frame closes an answer by its usage alone. Servers that count
// along send usage beside every delta, so a usage with a delta closes nothing.
func (f *frame) final() bool { return f.hasUsage && len(f.text) == 0 && !f.spoke }

// read fills f from OpenAI's chunk or completion, or from Workers AI's native
// answer, bare or in its envelope. It is false if data isn't one JSON object.
func (f *frame) read(data []byte) bool {
	*f = frame{text: f.text[:0], calls: f.calls[:0]}
	s := scanner{b: data}
	if s.peek() != '{' {
		return false
	}
	f.object(&s)
	if s.peek() != 0 || s.i != len(s.b) {
		return false
	}
	return !s.bad
}

func (f *frame) object(s *scanner) {
	s.enter()
	native := false
	for key, more := s.member(true); more; key, more = s.member(false) {
		switch string(key) {
		case "choices":
			f.choices(s)
		case "response":
			if !s.null() {
				native = true
				f.content(s)
			}
		case "result":
			if s.peek() == '{' {
				f.object(s)
			} else {
				s.skip()
			}
		case "tool_calls":
			// Workers AI's native answer.
			f.toolCalls(s)
		case "usage":
			f.readUsage(s)
		case "error", "errors":
			f.refused = notEmpty(s) || f.refused
		case "success":
			f.refused = string(s.scalar()) == "false" || f.refused
		case "object":
			// vLLM's older refusals are the error object itself.
			f.refused = string(s.scalar()) == "error" || f.refused
		default:
			s.skip()
		}
	}
	// A native stream ends with an empty response beside the usage.
	if (native || len(f.calls) > 0) && (len(f.text) > 0 || !f.hasUsage) {
		f.spoke = true
	}
}

// scalar reads any value; the text of a string or literal, nil of others.
func (s *scanner) scalar() []byte {
	switch s.peek() {
	case '"':
		return s.str()
	case '{', '[':
		s.skip()
		return nil
	default:
		return s.literal()
	}
}

func notEmpty(s *scanner) bool {
	switch s.peek() {
	case '[':
		s.enter()
		n := 0
		for more := s.element(true); more; more = s.element(false) {
			s.skip()
			n++
		}
		return n > 0
	case 'n', 'f':
		s.literal()
		return false
	case '"':
		return len(s.str()) > 0
	default:
		s.skip()
		return true
	}
}

func (f *frame) choices(s *scanner) {
	if s.peek() != '[' {
		s.skip()
		return
	}
	s.enter()
	for more := s.element(true); more; more = s.element(false) {
		if s.peek() != '{' {
			s.skip()
			continue
		}
		f.choice(s)
	}
}

// choice reads one choice. Only one answer is ever asked for, so another index is
// not part of it.
func (f *frame) choice(s *scanner) {
	before, calls, finish := len(f.text), len(f.calls), f.finish
	other := false
	f.spoke = true
	s.enter()
	for key, more := s.member(true); more; key, more = s.member(false) {
		switch string(key) {
		case "index":
			n := s.scalar()
			other = len(n) > 0 && string(n) != "0" && string(n) != "null"
		case "delta", "message":
			f.delta(s)
		case "text":
			f.content(s)
		case "finish_reason":
			if s.peek() == '"' {
				f.finish = finishReason(s.str())
			} else {
				s.skip()
			}
		default:
			s.skip()
		}
	}
	if other {
		f.text, f.calls, f.finish = f.text[:before], f.calls[:calls], finish
	}
}

func (f *frame) delta(s *scanner) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.enter()
	for key, more := s.member(true); more; key, more = s.member(false) {
		switch string(key) {
		case "content":
			f.content(s)
		case "tool_calls":
			f.toolCalls(s)
		case "function_call":
			f.toolCall(s)
		default:
			s.skip()
		}
	}
}

// content reads a text: a string, an array of text parts, or a bare number or
// boolean, which Workers AI makes of a token that looks like one.
func (f *frame) content(s *scanner) {
	switch s.peek() {
	case '"':
		f.text = unescape(f.text, s.strOrEmpty())
	case '[':
		s.enter()
		for more := s.element(true); more; more = s.element(false) {
			f.part(s)
		}
	case '{':
		s.skip()
	case 'n':
		s.literal()
	default:
		f.text = append(f.text, s.literal()...)
	}
}

func (s *scanner) strOrEmpty() []byte {
	raw := s.str()
	if s.bad {
		return nil
	}
	return raw
}

func (f *frame) part(s *scanner) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.enter()
	for key, more := s.member(true); more; key, more = s.member(false) {
		if string(key) == "text" && s.peek() == '"' {
			f.text = unescape(f.text, s.strOrEmpty())
		} else {
			s.skip()
		}
	}
}

func (f *frame) readUsage(s *scanner) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.enter()
	in, out := -1, -1
	for key, more := s.member(true); more; key, more = s.member(false) {
		switch string(key) {
		case "prompt_tokens":
			in = count(s.scalar())
		case "completion_tokens":
			out = count(s.scalar())
		default:
			s.skip()
		}
	}
	if in >= 0 && out >= 0 {
		f.usage, f.hasUsage = ai.Usage{In: in, Out: out}, true
	}
}

// count reads a token count, -1 if it is none. An absurd one is capped so that sums
// stay far from overflow.
func count(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	n, err := strconv.ParseFloat(string(b), 64)
	if err != nil || n < 0 || math.IsNaN(n) {
		return -1
	}
	return int(min(n, math.MaxInt32))
}

var reasons = []string{"stop", "length", "content_filter", "tool_calls", "function_call"}

// finishReason keeps the reasons that the protocol knows; an upstream's own word
// doesn't travel on.
func finishReason(raw []byte) string {
	for _, known := range reasons {
		if string(raw) == known {
			return known
		}
	}
	if len(raw) == 0 {
		return ""
	}
	if bytes.Equal(raw, []byte("eos")) || bytes.Equal(raw, []byte("eos_token")) {
		return "stop"
	}
	return "other"
}
