package textindex

import (
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fold brings spellings of one word together: case, width, ligatures, accents of
// alphabets, and the points that Arabic and Hebrew may leave out. Signs without which a
// word of their script is another one stay.
func fold(to []byte, word string) []byte {
	apart := norm.NFKD.AppendString(nil, word)
	kept := make([]byte, 0, len(apart))
	for _, r := range string(apart) {
		switch {
		case optional(r):
		case r == '’':
			kept = append(kept, '\'')
		case r == 'ß':
			kept = append(kept, "ss"...)
		case r == 'ς':
			kept = append(kept, "σ"...)
		default:
			kept = append(kept, string(unicode.ToLower(r))...)
		}
	}
	return norm.NFC.Append(to, kept...)
}

func optional(r rune) bool {
	switch {
	case r < 0x300:
		return false
	case r <= 0x36f: // combining accents
		return true
	case r >= 0x591 && r <= 0x5c7: // Hebrew points
		return true
	case r == 0x640, r >= 0x64b && r <= 0x65f, r == 0x670, r >= 0x6d6 && r <= 0x6ed: // Arabic kashida, vowel signs
		return unicode.IsMark(r) || r == 0x640
	}
	return false
}
