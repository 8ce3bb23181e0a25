package guard

import (
	"encoding/base64"
	"encoding/hex"
	"hash/maphash"
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
		for _, form := range disguises(text) {
			h.addGrams(letters(form))
		}
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' }) {
			if isSecret(word) {
				for _, form := range disguises(word) {
					h.addWord(letters(form))
				}
			}
		}
	}
	if len(h.grams) == 0 && len(h.words) == 0 {
		return nil
	}
	return h
}

// disguises are text and what a model may be made to turn it into. White space and
// punctuation between the letters don't matter.
func disguises(text string) []string {
	out := []string{text, reversed(text), rot13(text), hex.EncodeToString([]byte(text))}
	for offset := range 3 {
		// The letters around what is repeated shift its base64.
		padded := strings.Repeat(" ", offset) + text
		code := base64.StdEncoding.EncodeToString([]byte(padded))
		lead := (offset*8 + 5) / 6
		out = append(out, code[min(len(code), lead):max(lead, len(strings.TrimRight(code, "="))-1)])
	}
	return out
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
	for _, r := range s {
		if r, ok := letter(r); ok {
			out = append(out, r)
		}
	}
	return out
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

func (h *Hidden) addGrams(r []rune) {
	if len(r) < window {
		return
	}
	h.most = max(h.most, window)
	for i := 0; i+window <= len(r); i++ {
		h.grams[h.hash(r[i:i+window])] = struct{}{}
	}
}

func (h *Hidden) addWord(r []rune) {
	if len(r) < secretRunes-2 {
		return
	}
	if h.words[len(r)] == nil {
		h.words[len(r)] = map[uint64]struct{}{}
	}
	h.words[len(r)][h.hash(r)] = struct{}{}
	h.most = max(h.most, len(r))
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
	hidden *Hidden
	held   []heldRune
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
		l, ok := letter(r)
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
