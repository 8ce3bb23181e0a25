package chunk

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// grain is how finely text is cut.
type grain int

const (
	lines grain = iota
	sentences
	words
	points
)

// parts gives the byte ranges that text[s:e] is cut into; white space between may be left
// out.
func (g grain) parts(text string, s, e int) iter.Seq2[int, int] {
	end := map[grain]func(string) int{lines: lineEnd, sentences: sentenceEnd, words: wordEnd}[g]
	return func(yield func(int, int) bool) {
		for s < e {
			to := s + max(end(text[s:e]), 1)
			if !yield(s, to) {
				return
			}
			s = to
		}
	}
}

func lineEnd(text string) int {
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		return i + 1
	}
	return len(text)
}

const (
	// stops end a sentence if white space follows, wideStops in any case.
	stops     = ".!?…؟۔।։"
	wideStops = "。！？｡"
	// closers belong to the sentence that they follow.
	closers = ")]}\"'»«”’›」』）】"
)

// abbreviations, lower case, whose full stop ends no sentence.
var abbreviations = map[string]bool{
	"dr": true, "mr": true, "mrs": true, "ms": true, "prof": true, "st": true, "vs": true, "nr": true, "no": true,
	"fig": true, "e.g": true, "i.e": true, "z.b": true, "d.h": true, "bzw": true, "ca": true, "cf": true, "vgl": true, "abs": true, "art": true,
}

// sentenceEnd gives the length of the first sentence of text.
func sentenceEnd(text string) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		wide := strings.ContainsRune(wideStops, r)
		if !wide && !strings.ContainsRune(stops, r) {
			i += size
			continue
		}
		// A run of stops is looked at once: a text may be made of nothing else.
		rest := strings.TrimLeft(text[i+size:], closers+stops+wideStops)
		end := len(text) - len(rest)
		next := strings.TrimLeftFunc(rest, unicode.IsSpace)
		if next == "" {
			return len(text)
		}
		if wide || len(next) < len(rest) && (r != '.' || !goesOn(text[:i], next)) {
			return end
		}
		i = len(text) - len(next)
	}
	return len(text)
}

// goesOn tells that a full stop between before and next ends no sentence.
func goesOn(before, next string) bool {
	if first, _ := utf8.DecodeRuneInString(next); unicode.IsLower(first) {
		return true
	}
	word := before[strings.LastIndexFunc(before, func(r rune) bool { return unicode.IsSpace(r) || r == '(' })+1:]
	return utf8.RuneCountInString(word) == 1 && !unicode.IsDigit([]rune(word)[0]) || abbreviations[strings.ToLower(word)]
}

// wordEnd gives the length of the first word with the white space before it.
func wordEnd(text string) int {
	seen := false
	var last rune
	for i, r := range text {
		switch {
		case unicode.IsSpace(r):
			if seen {
				return i
			}
		case seen && apart(last, r):
			return i
		default:
			seen = true
		}
		last = r
	}
	return len(text)
}

// apart tells that a new word begins between two characters without white space: in
// scripts that write none.
func apart(a, b rune) bool {
	if a == zeroWidthJoiner || !unicode.IsLetter(b) && !unicode.IsDigit(b) {
		return false
	}
	return unspaced(a) || unspaced(b) || strings.ContainsRune(wideStops+"、，", a)
}

func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) && r != 'ー'
}

const zeroWidthJoiner = '\u200d'

// prefixLength gives the bytes of at most n code points of text, ended where a reader
// sees a new character; the first character is cut if it alone is longer than n.
func prefixLength(text string, n int) int {
	if n <= 0 {
		return 0
	}
	count, whole := 0, 0
	var last rune
	flags := 0
	for i, r := range text {
		if i > 0 && !joined(last, r, flags) {
			whole = i
		}
		if count == n {
			if whole > 0 {
				return whole
			}
			return i
		}
		if flags++; !regional(r) {
			flags = 0
		}
		count++
		last = r
	}
	return len(text)
}

// joined tells that a and b are seen as one character. flags is how many regional
// indicators end with a: two are a flag.
func joined(a, b rune, flags int) bool {
	switch {
	case a == '\r' && b == '\n', a == zeroWidthJoiner, b == zeroWidthJoiner, unicode.Is(unicode.M, b):
		return true
	case b >= 0x1f3fb && b <= 0x1f3ff, b >= 0xe0020 && b <= 0xe007f: // skin tones, tags
		return true
	case b >= 0x1160 && b <= 0x11ff: // Hangul vowels and finals
		return true
	}
	return regional(b) && flags%2 == 1
}

func regional(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

// repeatFrom gives where in text[floor:s] the overlap of at most n code points before s
// begins: with a sentence if one begins there, else with a word; s for none.
func repeatFrom(text string, floor, s, n int) int {
	from := s
	for range n {
		_, size := utf8.DecodeLastRuneInString(text[floor:from])
		if size == 0 {
			break
		}
		from -= size
	}
	if from == s {
		return s
	}
	if from > floor {
		// A word that began before is left out; text before tells whether one did.
		before, _ := utf8.DecodeLastRuneInString(text[:from])
		if first, _ := utf8.DecodeRuneInString(text[from:]); !unicode.IsSpace(before) && !unicode.IsSpace(first) && !apart(before, first) {
			from += wordEnd(text[from:s])
		}
		if rest := from + sentenceEnd(text[from:s]); strings.TrimSpace(text[rest:s]) != "" {
			from = rest
		}
	}
	from, to := trim(text, from, s)
	if from == to {
		return s
	}
	return from
}

// trim leaves out the white space round text[s:e].
func trim(text string, s, e int) (int, int) {
	s = e - len(strings.TrimLeftFunc(text[s:e], unicode.IsSpace))
	return s, s + len(strings.TrimRightFunc(text[s:e], unicode.IsSpace))
}

// headerRow gives a table's first row, if repeating it leaves room for others.
func headerRow(table string, most int) string {
	row, rest, _ := strings.Cut(table, "\n")
	row = strings.TrimSpace(row)
	if rest == "" || utf8.RuneCountInString(row) > most/4 {
		return ""
	}
	return row
}
