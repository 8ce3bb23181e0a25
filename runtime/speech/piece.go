package speech

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// firstPiece is short, so that something is heard soon; later ones are long enough
	// that the voice finds its melody.
	firstPiece, laterPiece = 120, 600
	// longest is where a text without sentences is cut, at a space if there is one.
	longest = 1000
)

// pieces cuts a text at the borders of its sentences. Joined, without white space at the
// cuts, they are the text.
func pieces(text string) []string {
	var out []string
	want := firstPiece
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimLeftFunc(text, unicode.IsSpace) {
		n := cut(text, want)
		out = append(out, strings.TrimRightFunc(text[:n], unicode.IsSpace))
		text, want = text[n:], laterPiece
	}
	return out
}

// cut is where the piece that text begins with ends: at the last border within want
// characters, else at the first one, else at the last space within longest.
func cut(text string, want int) int {
	border, space, chars := 0, 0, 0
	for i, r := range text {
		if chars >= want && border > 0 {
			return border
		}
		if chars >= longest {
			if space > 0 {
				return space
			}
			return i
		}
		chars++
		after := i + utf8.RuneLen(r)
		switch {
		case r == utf8.RuneError:
		case unicode.IsSpace(r):
			space = after
			if r == '\n' {
				border = after
			}
		case strings.ContainsRune("。！？｡", r):
			border = after
		case strings.ContainsRune(".!?…؟।", r) && endsSentence(text[:i], text[after:]):
			border = after
		}
	}
	if chars <= want || border == 0 {
		return len(text)
	}
	return border
}

// endsSentence tells whether a mark between before and after ends one: white space and
// no small letter follows, and what it ends is no initial, number or short title.
func endsSentence(before, after string) bool {
	r, _ := utf8.DecodeRuneInString(after)
	if after != "" && !unicode.IsSpace(r) && !strings.ContainsRune(`"')]}»”’`, r) {
		return false
	}
	next, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(after, unicode.IsSpace))
	if unicode.IsLower(next) {
		return false
	}
	word := before[strings.LastIndexFunc(before, unicode.IsSpace)+1:]
	switch strings.ToLower(word) {
	case "mr", "mrs", "ms", "dr", "prof", "st", "no", "nr", "vs", "e.g", "i.e", "z.b", "ca", "approx":
		return false
	}
	return utf8.RuneCountInString(word) > 1 || word == "" || !unicode.IsLetter([]rune(word)[0])
}
