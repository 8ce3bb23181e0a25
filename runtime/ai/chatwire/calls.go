package chatwire

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

const (
	// maxCalls and maxCallBytes bound the calls of one answer.
	maxCalls, maxCallBytes = 128, 1 << 20
	maxNameBytes           = 256
	maxIDBytes             = 128
)

var errTooManyCalls = errors.New("the answer calls more tools than anybody can run")

// callPart is what one frame says of one call.
type callPart struct {
	// index is -1 where the server gives none.
	index    int
	id, name string
	// arguments is raw text, not yet joined to whole code points.
	arguments []byte
}

// toolCalls reads a list of calls, or of parts of them.
func (f *frame) toolCalls(s *scanner) {
	if s.peek() != '[' {
		s.skip()
		return
	}
	s.enter()
	for more := s.element(true); more; more = s.element(false) {
		f.toolCall(s)
	}
}

// toolCall reads OpenAI's {"index","id","function":{"name","arguments"}}, and Workers AI's
// {"name","arguments":{…}}.
func (f *frame) toolCall(s *scanner) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	p := callPart{index: -1}
	p.read(s)
	if !s.bad && (p.id != "" || p.name != "" || len(p.arguments) > 0) {
		f.calls = append(f.calls, p)
	}
}

func (p *callPart) read(s *scanner) {
	s.enter()
	for key, more := s.member(true); more; key, more = s.member(false) {
		switch string(key) {
		case "index":
			if n, err := strconv.Atoi(string(s.scalar())); err == nil && n >= 0 {
				p.index = n
			}
		case "id":
			p.id = s.text()
		case "function":
			if s.peek() == '{' {
				p.read(s)
			} else {
				s.skip()
			}
		case "name":
			p.name = s.text()
		case "arguments", "parameters":
			p.readArguments(s)
		default:
			s.skip()
		}
	}
}

// readArguments takes a string's text, and an object as it stands.
func (p *callPart) readArguments(s *scanner) {
	switch s.peek() {
	case '"':
		p.arguments = unescape(p.arguments, s.strOrEmpty())
	case '{':
		from := s.i
		s.skip()
		if !s.bad {
			p.arguments = append(p.arguments, s.b[from:s.i]...)
		}
	default:
		s.skip()
	}
}

// text reads a string; another value is none.
func (s *scanner) text() string {
	if s.peek() != '"' {
		s.skip()
		return ""
	}
	var j joiner
	text := j.add(unescape(nil, s.strOrEmpty()))
	return text + j.flush()
}

// calls puts the parts of a stream's calls together.
type calls struct {
	list  []*called
	bytes int
}

type called struct {
	index     int
	id, name  string
	arguments []byte
}

// add takes a frame's parts; false is too much.
func (c *calls) add(parts []callPart) bool {
	for i := range parts {
		p := &parts[i]
		c.bytes += len(p.arguments)
		if c.bytes > maxCallBytes || len(p.name) > maxNameBytes {
			return false
		}
		to := c.find(p)
		if to == nil {
			if len(c.list) == maxCalls {
				return false
			}
			to = &called{index: p.index}
			c.list = append(c.list, to)
		}
		if to.id == "" {
			to.id = p.id
		}
		if to.name == "" {
			to.name = p.name
		}
		to.arguments = append(to.arguments, p.arguments...)
	}
	return true
}

// find is the call that a part continues, nil if it begins one. The index says it, or
// without one the order. Some servers give all calls the same index: another id, or a
// name after whole arguments, begins a call all the same.
func (c *calls) find(p *callPart) *called {
	for i := len(c.list) - 1; i >= 0; i-- {
		to := c.list[i]
		if p.index >= 0 && to.index != p.index {
			continue
		}
		switch {
		case p.id != "" && to.id != "" && p.id != to.id:
			if p.index < 0 {
				continue // it may be that of one before
			}
			return nil
		case p.name == "" || to.name == "" || p.id != "" && p.id == to.id:
			return to
		case p.index < 0, p.name != to.name, json.Valid(to.arguments):
			return nil
		}
		return to
	}
	return nil
}

// take gives the whole calls, and the finish reason that goes with them: some servers end
// calls with "stop". What was cut off by the token limit is no call.
func (c *calls) take(finish string) ([]ai.ToolCall, string) {
	var out []ai.ToolCall
	seen := map[string]bool{}
	for _, call := range c.list {
		var j joiner
		arguments := j.add(call.arguments)
		arguments += j.flush()
		if call.name == "" || finish == "length" && !json.Valid(call.arguments) {
			continue
		}
		id := call.id
		if id == "" || len(id) > maxIDBytes || !visible(id) || seen[id] {
			id = "call_" + rand.Text()
		}
		seen[id] = true
		out = append(out, ai.ToolCall{ID: id, Name: call.name, Arguments: arguments})
	}
	c.list = nil
	switch {
	case len(out) > 0 && finish != "" && finish != "length":
		finish = "tool_calls"
	case len(out) == 0 && (finish == "tool_calls" || finish == "function_call"):
		finish = "stop"
	}
	return out, finish
}
