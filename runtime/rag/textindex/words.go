package textindex

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTermBytes bounds a term; what is longer is cut there, at a code point.
const maxTermBytes = 64

// A word is one that the text holds, folded. The bytes are valid during the call only.
type wordFunc func(word []byte, kind wordKind)

type wordKind uint8

const (
	// plain words make up a text's length.
	plain wordKind = iota
	// extra words are other spellings of a plain one: found, but not counted.
	extra
)

// scanner cuts texts into words. It is reused for its buffers, by one goroutine.
type scanner struct {
	// query leaves out single characters of unparted scripts where a pair tells more.
	query  bool
	folded []byte
	word   []byte
}

const (
	other byte = iota
	letter
	digit
	joiner // between word characters it holds an identifier together
)

// class of a byte; those beyond ASCII are other.
var class = func() (t [256]byte) {
	for c := range t {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			t[c] = letter
		case c >= '0' && c <= '9':
			t[c] = digit
		case c == '_' || c == '.' || c == '-' || c == '\'':
			t[c] = joiner
		}
	}
	return t
}()

// scan calls yield for each word of text, in order.
func (s *scanner) scan(text string, yield wordFunc) {
	for i := 0; i < len(text); {
		if end := letters(text, i); end > i {
			s.yield(text[i:end], plain, yield)
			i = end
			continue
		}
		if wordWidth(text, i) == 0 {
			_, n := utf8.DecodeRuneInString(text[i:])
			i += n
			continue
		}
		end, ascii := s.runEnd(text, i)
		if ascii {
			s.run(text[i:end], yield)
			s.language(text, i, end, yield)
		} else {
			s.folded = fold(s.folded[:0], text[i:end])
			s.run(string(s.folded), yield)
		}
		i = end
	}
}

// letters tells where the word at i ends if it is of ASCII letters alone, as most are,
// and nothing after it can belong to it; else it gives i.
func letters(text string, i int) (end int) {
	for end = i; end < len(text) && class[text[end]] == letter; end++ {
	}
	switch {
	case end == len(text):
		return end
	case class[text[end]] == joiner && wordWidth(text, end+1) == 0:
		return end
	case class[text[end]] != other || text[end] >= utf8.RuneSelf || text[end] == '+' || text[end] == '#':
		return i
	}
	return end
}

// wordWidth is the width of the word character at i, 0 if there is none.
func wordWidth(text string, i int) int {
	if i >= len(text) {
		return 0
	}
	if c := text[i]; c < utf8.RuneSelf {
		if class[c] == letter || class[c] == digit {
			return 1
		}
		return 0
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	if r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
		return 0
	}
	return n
}

// runEnd tells where the run of word characters and single joiners that begins at i
// ends.
func (s *scanner) runEnd(text string, i int) (end int, ascii bool) {
	ascii = true
	for i < len(text) {
		if n := wordWidth(text, i); n > 0 {
			ascii = ascii && n == 1
			i += n
			continue
		}
		n := joinerWidth(text, i)
		if n == 0 || wordWidth(text, i+n) == 0 {
			return i, ascii
		}
		ascii = ascii && n == 1
		i += n
	}
	return i, ascii
}

const curly = "’" // an apostrophe, in most typeset texts

func joinerWidth(text string, i int) int {
	if c := text[i]; c < utf8.RuneSelf {
		if class[c] == joiner {
			return 1
		}
		return 0
	}
	if strings.HasPrefix(text[i:], curly) {
		return len(curly)
	}
	return 0
}

// run yields an identifier whole, and each of its parts. Words that a hyphen joins are
// words: found whole as well they would count twice in questions.
func (s *scanner) run(run string, yield wordFunc) {
	if len(run) <= maxTermBytes && identifier(run) {
		s.yield(run, extra, yield)
		if run[0]|0x20 == 'v' && digitAt(run[1]) {
			s.yield(run[1:], extra, yield) // v1.2.3 is 1.2.3
		}
	}
	for len(run) > 0 {
		i := strings.IndexAny(run, "_.-")
		if i < 0 {
			i = len(run)
		}
		s.part(run[:i], yield)
		run = run[min(i+1, len(run)):]
	}
}

// identifier tells foo_bar, example.com, 1.2.3 and utf-8 from well-known.
func identifier(run string) bool {
	return strings.ContainsAny(run, "_.") || strings.Contains(run, "-") && strings.ContainsAny(run, "0123456789")
}

// part yields what holds no joiner but apostrophes: stretches of unparted scripts by
// characters, the others as words.
func (s *scanner) part(part string, yield wordFunc) {
	start := 0
	for i := 0; i < len(part); {
		if part[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(part[i:])
		if !unparted(r) {
			i += n
			continue
		}
		s.plain(part[start:i], yield)
		i = s.characters(part, i, yield)
		start = i
	}
	s.plain(part[start:], yield)
}

func (s *scanner) plain(word string, yield wordFunc) {
	if word == "" {
		return
	}
	s.yield(word, plain, yield)
	if len(word) > maxTermBytes {
		return
	}
	// sha256 is also sha and 256; a lone character of such a word says nothing.
	for i := 0; i < len(word); {
		start, kind := i, digitAt(word[i])
		for i < len(word) && digitAt(word[i]) == kind {
			i++
		}
		if i-start > 1 && i-start < len(word) {
			s.yield(word[start:i], extra, yield)
		}
	}
}

func digitAt(c byte) bool { return c >= '0' && c <= '9' }

// characters yields a stretch of an unparted script from i on: overlapping pairs, and
// in a passage each character too, so that a question of one is answered.
func (s *scanner) characters(text string, i int, yield wordFunc) (end int) {
	before := -1
	for i < len(text) {
		r, n := utf8.DecodeRuneInString(text[i:])
		if !unparted(r) {
			break
		}
		_, next := utf8.DecodeRuneInString(text[i+n:])
		paired := before >= 0 || next > 0 && unpartedAt(text, i+n)
		if before >= 0 {
			s.yield(text[before:i+n], plain, yield)
		}
		switch {
		case !paired:
			s.yield(text[i:i+n], plain, yield)
		case !s.query:
			s.yield(text[i:i+n], extra, yield)
		}
		before = i
		i += n
	}
	return i
}

func unpartedAt(text string, i int) bool {
	r, _ := utf8.DecodeRuneInString(text[i:])
	return unparted(r)
}

// unparted tells characters of scripts that put no space between words, or whose words
// carry endings that no stemmer here knows.
func unparted(r rune) bool {
	if r < 0x0e00 {
		return false
	}
	return r == 'ー' || unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// language yields C++ and C#, whose names are no words without what follows.
func (s *scanner) language(text string, start, end int, yield wordFunc) {
	rest := text[end:]
	var mark string
	switch {
	case strings.HasPrefix(rest, "++"):
		mark = "++"
	case strings.HasPrefix(rest, "#"):
		mark = "#"
	default:
		return
	}
	if end-start+len(mark) > maxTermBytes || wordWidth(text, end+len(mark)) > 0 {
		return
	}
	s.yield(text[start:end+len(mark)], extra, yield)
}

// yield lowers the ASCII of a word and cuts it.
func (s *scanner) yield(word string, kind wordKind, yield wordFunc) {
	if len(word) > maxTermBytes {
		n := maxTermBytes
		for n > 0 && !utf8.RuneStart(word[n]) {
			n--
		}
		word = word[:n]
	}
	s.word = s.word[:0]
	for i := range len(word) {
		c := word[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		s.word = append(s.word, c)
	}
	yield(s.word, kind)
}
