package guard

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"net/url"
	"strings"
	"unicode"
)

const (
	// window is how many letters and digits in a row make a repetition. Shorter phrases
	// may well stand in an answer that was made without the hidden text.
	window = 32
	// secretRunes is how long a word of letters and digits mixed is that is hidden by
	// itself: it looks like a key or a code.
	secretRunes = 10
	// redacted stands where hidden text was.
	redacted = "[…]"
)

// Hidden is text that answers may not repeat, in a form that is quick to look for. It may
// be used by many goroutines.
type Hidden struct {
	seed maphash.Seed
	// grams are the hashes of all windows of the text and its disguises; words those of
	// single secrets, by their length.
	grams map[uint64]struct{}
	words map[int]map[uint64]struct{}
	most  int // the longest window, in runes
}

// NewHidden prepares texts. It is nil if there is nothing to hide.
func NewHidden(texts ...string) *Hidden {
	h := &Hidden{seed: maphash.MakeSeed(), grams: map[uint64]struct{}{}, words: map[int]map[uint64]struct{}{}}
	for _, text := range texts {
		if len(letters(text)) >= window { // of a text whose words are no secret, nor are their codes
			for _, form := range disguises(text) {
				h.addGrams(letters(form.text), form.stride)
			}
		}
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' }) {
			if isSecret(word) {
				for _, form := range disguises(word) {
					h.addWord(letters(form.text), form.stride)
				}
			}
		}
	}
	if len(h.grams) == 0 && len(h.words) == 0 {
		return nil
	}
	return h
}

// form is a text as a model may be made to write it.
type form struct {
	text string
	// stride is how far apart the windows are that are looked for: codes are longer than
	// what they stand for.
	stride int
}

// disguises are text and what a model may be made to turn it into. White space and
// punctuation between the letters don't matter.
func disguises(text string) []form {
	out := []form{
		{text, 1}, {reversed(text), 1}, {rot13(text), 1}, {percented(text), 2}, {url.PathEscape(text), 2}, {url.QueryEscape(text), 2},
		{hex.EncodeToString([]byte(text)), 4}, {spelled(text, "%d "), 4}, {spelled(text, "\\x%02x"), 6}, {spelled(text, "\\u%04x"), 8},
	}
	// The letters around what is repeated shift its code.
	for offset := range 3 {
		out = append(out, inner(base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", offset)+text)), offset, 6))
	}
	for offset := range 5 {
		out = append(out, inner(base32.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", offset)+text)), offset, 5))
	}
	return out
}

// inner is a code of so many bits a letter without what depends on the text's neighbours.
func inner(code string, offset, bits int) form {
	lead := (offset*8 + bits - 1) / bits
	return form{code[min(len(code), lead):max(lead, len(strings.TrimRight(code, "="))-1)], 2}
}

// percented writes all but letters and digits as percent and code.
func percented(text string) string {
	var b strings.Builder
	for _, r := range text {
		if _, ok := letter(r); ok {
			b.WriteRune(r)
		} else {
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	return b.String()
}

// spelled writes each character's code.
func spelled(text, format string) string {
	var b strings.Builder
	for _, r := range text {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

func reversed(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

func rot13(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case r >= 'A' && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, s)
}

// letters are the letters and digits of s in lower case: all that counts.
func letters(s string) []rune {
	out := make([]rune, 0, len(s))
	var read reading
	for _, r := range s {
		if r, ok := read.letter(r); ok {
			out = append(out, r)
		}
	}
	return out
}

// reading tells letters from what stands between them, of which citations are a part.
type reading struct{ mark bool }

func (c *reading) letter(r rune) (rune, bool) {
	switch {
	case r == '[':
		c.mark = true
	case c.mark && r >= '0' && r <= '9':
		return 0, false
	default:
		c.mark = false
	}
	return letter(r)
}

func letter(r rune) (rune, bool) {
	if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
		return 0, false
	}
	return unicode.ToLower(r), true
}

func isSecret(word string) bool {
	digit, alpha := false, false
	n := 0
	for _, r := range word {
		digit = digit || unicode.IsDigit(r)
		alpha = alpha || unicode.IsLetter(r)
		n++
	}
	return n >= secretRunes && digit && alpha
}

func (h *Hidden) hash(r []rune) uint64 { return maphash.String(h.seed, string(r)) }

func (h *Hidden) addGrams(r []rune, stride int) {
	if len(r) < window {
		return
	}
	h.most = max(h.most, window)
	for i := 0; i+window <= len(r); i += stride {
		h.grams[h.hash(r[i:i+window])] = struct{}{}
	}
}

// addWord looks for a word as a whole, or by windows if it is longer than one: what is
// held back of an answer shouldn't grow with the longest secret.
func (h *Hidden) addWord(r []rune, stride int) {
	switch {
	case len(r) < secretRunes-2:
		return
	case len(r) > window:
		h.addGrams(r, stride)
		h.addGrams(r[len(r)-window:], 1)
		return
	}
	if h.words[len(r)] == nil {
		h.words[len(r)] = map[uint64]struct{}{}
	}
	h.words[len(r)][h.hash(r)] = struct{}{}
	h.most = max(h.most, len(r))
}

// In tells whether a text holds hidden text.
func (h *Hidden) In(text string) bool {
	if h == nil {
		return false
	}
	var v visible
	r := letters(v.write(text) + v.flush())
	for n := range r {
		if h.ends(r[max(0, n+1-h.most):n+1]) > 0 {
			return true
		}
	}
	return false
}

// ends is how many of the last letters of r are hidden text, 0 if none.
func (h *Hidden) ends(r []rune) int {
	found := 0
	if len(r) >= window {
		if _, ok := h.grams[h.hash(r[len(r)-window:])]; ok {
			found = window
		}
	}
	for n, words := range h.words {
		if len(r) >= n && n > found {
			if _, ok := words[h.hash(r[len(r)-n:])]; ok {
				found = n
			}
		}
	}
	return found
}

// hiding redacts hidden text. It holds back as many letters as the longest window has.
type hiding struct {
	hidden  *Hidden
	reading reading
	held    []heldRune
	// letters are those of held, at their places.
	letters []rune
	at      []int
	// open tells that what went out last is a redaction, which goes on.
	open bool
}

type heldRune struct {
	r      rune
	hidden bool
}

func newHiding(h *Hidden) *hiding { return &hiding{hidden: h} }

func (h *hiding) write(text string) string {
	if h.hidden == nil {
		return text
	}
	for _, r := range text {
		h.held = append(h.held, heldRune{r: r})
		l, ok := h.reading.letter(r)
		if !ok {
			continue
		}
		h.letters, h.at = append(h.letters, l), append(h.at, len(h.held)-1)
		if n := h.hidden.ends(h.letters); n > 0 {
			for i := h.at[len(h.at)-n]; i < len(h.held); i++ {
				h.held[i].hidden = true
			}
		}
	}
	// A match that is still to come holds at most as many letters, one of them new.
	if spare := len(h.letters) - (h.hidden.most - 1); spare > 0 {
		return h.release(h.at[spare-1]+1, spare)
	}
	return ""
}

func (h *hiding) flush() string {
	if h.hidden == nil {
		return ""
	}
	return h.release(len(h.held), len(h.letters))
}

// release gives the first runes, with so many letters among them.
func (h *hiding) release(runes, letters int) string {
	var out strings.Builder
	for _, x := range h.held[:runes] {
		if !x.hidden {
			out.WriteRune(x.r)
		} else if !h.open {
			out.WriteString(redacted)
		}
		h.open = x.hidden
	}
	h.held = append(h.held[:0], h.held[runes:]...)
	h.letters = append(h.letters[:0], h.letters[letters:]...)
	h.at = append(h.at[:0], h.at[letters:]...)
	for i := range h.at {
		h.at[i] -= runes
	}
	return out.String()
}
