package chatwire

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a frame; real ones nest six levels.
const maxDepth = 64

// scanner walks one JSON text without allocating. It accepts what encoding/json
// accepts; bad tells that the text isn't JSON, and then nothing read from it counts.
type scanner struct {
	b     []byte
	i     int
	depth int
	bad   bool
}

// peek is the next significant byte, 0 at the end or once bad.
func (s *scanner) peek() byte {
	if s.bad {
		return 0
	}
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c || c == 0 {
		return false
	}
	s.i++
	return true
}

// enter steps into an object or array whose opening byte is next.
func (s *scanner) enter() {
	s.i++
	s.depth++
	if s.depth > maxDepth {
		s.bad = true
	}
}

// member steps to the next member's value; more is false after the last one.
func (s *scanner) member(first bool) (key []byte, more bool) {
	if s.take('}') {
		s.depth--
		return nil, false
	}
	if !first && !s.take(',') || s.peek() != '"' {
		s.bad = true
		return nil, false
	}
	key = s.str()
	if !s.take(':') {
		s.bad = true
	}
	return key, !s.bad
}

// element steps to the next element; more is false after the last one.
func (s *scanner) element(first bool) (more bool) {
	if s.take(']') {
		s.depth--
		return false
	}
	if !first && !s.take(',') || s.peek() == ']' {
		s.bad = true
	}
	return !s.bad
}

// str reads a string and gives its raw inside, escapes checked but not resolved.
func (s *scanner) str() []byte {
	from := s.i + 1
	// Most of a frame lies in strings, so this loop is what a token costs.
	for b, i := s.b, from; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return b[from:i]
		case c < ' ':
			i = len(b)
		case c == '\\':
			if s.i = i; s.escape() {
				i = s.i - 1
			} else {
				i = len(b)
			}
		}
	}
	s.bad = true
	return nil
}

func (s *scanner) escape() bool {
	if s.i+1 >= len(s.b) {
		return false
	}
	c := s.b[s.i+1]
	s.i += 2
	if c != 'u' {
		return bytes.IndexByte([]byte(`"\/bfnrt`), c) >= 0
	}
	_, ok := hex4(s.b[s.i:])
	s.i += 4
	return ok
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// literal reads a number, true, false or null and gives its text.
func (s *scanner) literal() []byte {
	if s.peek() == 0 {
		s.bad = true
		return nil
	}
	from := s.i
	for s.i < len(s.b) && bytes.IndexByte([]byte(" \t\r\n,]}:\"[{"), s.b[s.i]) < 0 {
		s.i++
	}
	text := s.b[from:s.i]
	switch string(text) {
	case "true", "false", "null":
		return text
	}
	if !isNumber(text) {
		s.bad = true
		return nil
	}
	return text
}

func isNumber(b []byte) bool {
	i := 0
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	at := func(c byte) bool { return i < len(b) && b[i] == c }
	if at('-') {
		i++
	}
	if at('0') {
		i++
	} else if !digits() {
		return false
	}
	if at('.') {
		i++
		if !digits() {
			return false
		}
	}
	if at('e') || at('E') {
		i++
		if at('+') || at('-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(b)
}

// skip reads any value and forgets it.
func (s *scanner) skip() {
	switch s.peek() {
	case '{':
		s.enter()
		for _, more := s.member(true); more; _, more = s.member(false) {
			s.skip()
		}
	case '[':
		s.enter()
		for more := s.element(true); more; more = s.element(false) {
			s.skip()
		}
	case '"':
		s.str()
	default:
		s.literal()
	}
}

// null reads a null if that is what comes.
func (s *scanner) null() bool {
	if s.peek() != 'n' {
		return false
	}
	s.literal()
	return true
}

// unescape appends the text of a string's raw inside. Half a surrogate pair becomes
// the three bytes that WTF-8 gives it, so that joiner can find its other half in
// the next delta.
func unescape(to, raw []byte) []byte {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(to, raw...)
		}
		to = append(to, raw[:i]...)
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'b':
			to = append(to, '\b')
		case 'f':
			to = append(to, '\f')
		case 'n':
			to = append(to, '\n')
		case 'r':
			to = append(to, '\r')
		case 't':
			to = append(to, '\t')
		case 'u':
			r, _ := hex4(raw)
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				to = append(to, 0xED, 0x80|byte(r>>6&0x3F), 0x80|byte(r&0x3F))
			} else {
				to = utf8.AppendRune(to, r)
			}
		default:
			to = append(to, c)
		}
	}
	return to
}
