package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"unicode/utf8"
)

const (
	// maxDepth is the deepest nesting of a body.
	maxDepth = 64
	// manyKeys is when a table finds a duplicate key sooner than looking at each.
	manyKeys = 16
)

// checkJSON reads b once and refuses what encoding/json lets through: duplicate keys
// (the last would win), invalid UTF-8 and lone surrogates (it would replace them), deep
// nesting, and keys that mean a field of shape only when case is ignored. What it
// accepts, encoding/json accepts too.
func checkJSON(b []byte, shape *shape) *flaw {
	s := scanners.Get().(*scanner)
	*s = scanner{b: b, keys: s.keys[:0]}
	f := s.document(shape)
	if cap(s.keys) <= 16*manyKeys {
		// Nothing of this body stays behind.
		clear(s.keys[:cap(s.keys)])
		s.b = nil
		scanners.Put(s)
	}
	return f
}

// scanners keeps the lists of keys.
var scanners = sync.Pool{New: func() any { return &scanner{keys: make([][]byte, 0, 2*manyKeys)} }}

func (s *scanner) document(shape *shape) *flaw {
	s.white()
	if s.pos == len(s.b) {
		s.fail("it is empty")
		return s.flaw()
	}
	if !s.value(shape, 1) {
		return s.flaw()
	}
	s.white()
	if s.pos < len(s.b) {
		s.fail("there is something after the JSON value")
		return s.flaw()
	}
	return nil
}

// flaw is what is wrong with a body, and where.
type flaw struct {
	reason string
	offset int
	// spelt is the right name, if a key is a field's name in another case.
	spelt string
}

// answer never repeats what the client sent.
func (f *flaw) answer() *Error {
	if f.spelt != "" {
		return Invalid(f.spelt, fmt.Sprintf("names are case-sensitive: write %q", f.spelt))
	}
	return &Error{Status: 400, Code: "invalid_json", Message: fmt.Sprintf("the body is not valid JSON: %s (at byte %d)", f.reason, f.offset)}
}

type scanner struct {
	b   []byte
	pos int
	// keys of all open objects, the innermost last.
	keys   [][]byte
	reason string
	spelt  string
}

func (s *scanner) flaw() *flaw {
	return &flaw{reason: s.reason, offset: s.pos, spelt: s.spelt}
}

func (s *scanner) fail(reason string) bool {
	s.reason = reason
	return false
}

func (s *scanner) white() {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) value(sh *shape, depth int) bool {
	if s.pos == len(s.b) {
		return s.fail("it ends too early")
	}
	switch c := s.b[s.pos]; {
	case c == '{':
		return s.object(sh, depth)
	case c == '[':
		return s.array(sh, depth)
	case c == '"':
		_, _, ok := s.str()
		return ok
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.fail("a value was expected")
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.pos < len(w) || string(s.b[s.pos:s.pos+len(w)]) != w {
		return s.fail("a value was expected")
	}
	s.pos += len(w)
	return true
}

func (s *scanner) array(sh *shape, depth int) bool {
	if depth > maxDepth {
		return s.fail("it is nested deeper than 64")
	}
	s.pos++
	s.white()
	if s.next(']') {
		return true
	}
	elem := sh.element()
	for {
		s.white()
		if !s.value(elem, depth+1) {
			return false
		}
		s.white()
		if s.next(']') {
			return true
		}
		if !s.next(',') {
			return s.fail("a comma or ] was expected")
		}
	}
}

func (s *scanner) object(sh *shape, depth int) bool {
	if depth > maxDepth {
		return s.fail("it is nested deeper than 64")
	}
	s.pos++
	s.white()
	if s.next('}') {
		return true
	}
	first := len(s.keys)
	var table map[string]bool
	for {
		s.white()
		if s.pos == len(s.b) || s.b[s.pos] != '"' {
			return s.fail("a key was expected")
		}
		key, ok := s.key()
		if !ok || !s.fresh(key, first, &table) {
			return false
		}
		member, spelt := sh.member(key)
		if spelt != "" {
			s.spelt = spelt
			return false
		}
		s.white()
		if !s.next(':') {
			return s.fail("a colon was expected")
		}
		s.white()
		if !s.value(member, depth+1) {
			return false
		}
		s.white()
		if s.next('}') {
			s.keys = s.keys[:first]
			return true
		}
		if !s.next(',') {
			return s.fail("a comma or } was expected")
		}
	}
}

// fresh notes key and refuses one that the object has already.
func (s *scanner) fresh(key []byte, first int, table *map[string]bool) bool {
	if *table == nil {
		for _, k := range s.keys[first:] {
			if bytes.Equal(k, key) {
				return s.fail("a key appears twice in one object")
			}
		}
		s.keys = append(s.keys, key)
		if len(s.keys)-first < manyKeys {
			return true
		}
		*table = make(map[string]bool, 4*manyKeys)
		for _, k := range s.keys[first:] {
			(*table)[string(k)] = true
		}
		return true
	}
	if (*table)[string(key)] {
		return s.fail("a key appears twice in one object")
	}
	(*table)[string(key)] = true
	return true
}

func (s *scanner) next(c byte) bool {
	if s.pos < len(s.b) && s.b[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// key gives a key as it is after decoding, so that an escape doesn't hide a duplicate.
func (s *scanner) key() ([]byte, bool) {
	start := s.pos
	raw, escaped, ok := s.str()
	if !ok || !escaped {
		return raw, ok
	}
	var decoded string
	if err := json.Unmarshal(s.b[start:s.pos], &decoded); err != nil {
		return nil, s.fail("a key is malformed")
	}
	return []byte(decoded), true
}

// str reads a string and gives what is between its quotes.
func (s *scanner) str() (raw []byte, escaped, ok bool) {
	s.pos++
	start, ascii := s.pos, true
	for {
		i := s.pos
		for i < len(s.b) && plainASCII[s.b[i]] {
			i++
		}
		s.pos = i
		if i == len(s.b) {
			return nil, false, s.fail("a string doesn't end")
		}
		switch c := s.b[i]; {
		case c == '"':
			raw = s.b[start:i]
			if !ascii && !utf8.Valid(raw) {
				s.pos = start
				return nil, false, s.fail("a string is not valid UTF-8")
			}
			s.pos++
			return raw, escaped, true
		case c == '\\':
			escaped = true
			if !s.escape() {
				return nil, false, false
			}
		case c < ' ':
			return nil, false, s.fail("a control character in a string must be escaped")
		default:
			ascii = false
			s.pos++
		}
	}
}

// plainASCII are the bytes of a string that need no look.
var plainASCII = func() (t [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func (s *scanner) escape() bool {
	if s.pos+1 == len(s.b) {
		return s.fail("a string doesn't end")
	}
	switch s.b[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return true
	case 'u':
	default:
		return s.fail("an escape is unknown")
	}
	r, ok := s.hex4(s.pos)
	if !ok {
		return s.fail(`four hexadecimal digits were expected after \u`)
	}
	if r < 0xd800 || r > 0xdfff {
		s.pos += 6
		return true
	}
	low, ok := s.hex4(s.pos + 6)
	if r > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
		return s.fail("half a surrogate pair is no character")
	}
	s.pos += 12
	return true
}

// hex4 reads \uXXXX at i.
func (s *scanner) hex4(i int) (r rune, ok bool) {
	if i+6 > len(s.b) || s.b[i] != '\\' || s.b[i+1] != 'u' {
		return 0, false
	}
	for _, c := range s.b[i+2 : i+6] {
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

func (s *scanner) number() bool {
	s.next('-')
	if !s.next('0') && !s.digits() {
		return s.fail("a number is malformed")
	}
	if s.next('.') && !s.digits() {
		return s.fail("a number is malformed")
	}
	if s.next('e') || s.next('E') {
		if !s.next('+') {
			s.next('-')
		}
		if !s.digits() {
			return s.fail("a number is malformed")
		}
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.b) && s.b[s.pos] >= '0' && s.b[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// CheckJSON holds what somebody else than a client wrote to the rules of a body: the
// error says what is wrong and where, and repeats nothing of it.
func CheckJSON(b []byte) error {
	if f := checkJSON(b, nil); f != nil {
		return fmt.Errorf("%s (at byte %d)", f.reason, f.offset)
	}
	return nil
}
