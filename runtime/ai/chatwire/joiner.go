package chatwire

import (
	"unicode/utf16"
	"unicode/utf8"
)

// joiner makes whole code points of deltas that may end inside one: in the middle
// of its UTF-8 bytes, or between the halves of a surrogate pair. What never becomes
// whole turns into U+FFFD.
type joiner struct {
	held []byte
	work []byte
}

// add takes a delta and gives the text that is whole so far.
func (j *joiner) add(b []byte) string {
	if len(j.held) == 0 && utf8.Valid(b) {
		return string(b)
	}
	j.held = append(j.held, b...)
	return j.drain(false)
}

// flush gives what was held back, at the answer's end.
func (j *joiner) flush() string {
	if len(j.held) == 0 {
		return ""
	}
	return j.drain(true)
}

func (j *joiner) drain(all bool) string {
	b, out := j.held, j.work[:0]
	for len(b) > 0 {
		r, n := next(b)
		if n == 0 {
			if !all {
				break
			}
			r, n = utf8.RuneError, 1
			if len(b) >= 3 && b[0] == 0xED {
				n = 3
			} else if len(b) < utf8.UTFMax && !utf8.FullRune(b) {
				n = len(b)
			}
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	j.held = append(j.held[:0], b...)
	j.work = out
	return string(out)
}

// next reads one code point, 0 bytes if b may yet become one.
func next(b []byte) (rune, int) {
	high, ok := surrogate(b)
	if !ok {
		if !utf8.FullRune(b) || len(b) < 3 && b[0] == 0xED && (len(b) == 1 || b[1] >= 0xA0 && b[1] < 0xC0) {
			return 0, 0
		}
		return utf8.DecodeRune(b)
	}
	if high >= 0xDC00 {
		return utf8.RuneError, 3
	}
	low, ok := surrogate(b[3:])
	if ok && low >= 0xDC00 {
		return utf16.DecodeRune(high, low), 6
	}
	if !ok && len(b) < 6 && mayBeLow(b[3:]) {
		return 0, 0
	}
	return utf8.RuneError, 3
}

// surrogate reads half a surrogate pair in WTF-8.
func surrogate(b []byte) (rune, bool) {
	if len(b) < 3 || b[0] != 0xED || b[1] < 0xA0 || b[1] > 0xBF || b[2]&0xC0 != 0x80 {
		return 0, false
	}
	return 0xD000 | rune(b[1]&0x3F)<<6 | rune(b[2]&0x3F), true
}

func mayBeLow(b []byte) bool {
	return len(b) == 0 || b[0] == 0xED && (len(b) == 1 || len(b) == 2 && b[1] >= 0xB0 && b[1] <= 0xBF)
}
