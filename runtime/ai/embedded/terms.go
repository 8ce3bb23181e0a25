package embedded

import (
	"strings"
	"unicode"
)

// stopWords say nothing about what a question is about.
var stopWords = wordSet(`a about an and any are as at be been but by can could did do does for from had has have he her
his how i if in into is it its just me my no not of on or our please she so some tell than that the their them then there
these they this those to up us was we were what when where which who whom why will with would you your
der die das ein eine und oder ist sind war wie was wo wer wann warum ich du er sie es wir ihr nicht mit von zu im in den dem`)

func wordSet(s string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		set[w] = true
	}
	return set
}

// terms are what a text is compared by: words in lower case without stop words and
// plural endings, and pairs of neighbours where a script doesn't part words.
func terms(text string) []string {
	var out []string
	var word []rune
	var before rune // the last character of an unparted script, 0 if none
	alone := false  // before stands without a pair yet
	flush := func() {
		if len(word) > 0 {
			if w := stem(string(word)); !stopWords[w] && w != "" {
				out = append(out, w)
			}
			word = word[:0]
		}
	}
	part := func() {
		if alone {
			out = append(out, string(before))
		}
		before, alone = 0, false
	}
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer):
			flush()
			if before != 0 {
				out = append(out, string([]rune{before, r}))
				alone = false
			} else {
				alone = true
			}
			before = r
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || (r == '\'' || r == '’') && len(word) > 0:
			part()
			if r == '’' {
				r = '\''
			}
			word = append(word, unicode.ToLower(r))
		default:
			part()
			flush()
		}
	}
	part()
	flush()
	return out
}

// stem takes off what English puts on a noun; too little rather than too much.
func stem(w string) string {
	w = strings.TrimRight(w, "'")
	w = strings.TrimSuffix(w, "'s")
	switch {
	case stopWords[w]:
		return w
	case len(w) > 4 && strings.HasSuffix(w, "ies"):
		return w[:len(w)-3] + "y"
	case len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && !strings.HasSuffix(w, "us"):
		return w[:len(w)-1]
	}
	return w
}
