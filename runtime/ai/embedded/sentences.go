package embedded

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// abbreviations whose full stop ends no sentence, without it, in lower case.
var abbreviations = map[string]bool{
	"mr": true, "mrs": true, "ms": true, "dr": true, "prof": true, "st": true, "jr": true, "sr": true,
	"vs": true, "etc": true, "e.g": true, "i.e": true, "cf": true, "approx": true, "no": true, "fig": true,
	"inc": true, "ltd": true, "co": true, "dept": true, "vol": true, "ed": true, "al": true,
	"z.b": true, "d.h": true, "u.a": true, "bzw": true, "ca": true, "nr": true, "usw": true, "str": true,
	"p.ej": true, "sra": true, "av": true,
}

// sentences splits a text. A line ends a sentence too, unless the next one goes on
// in lower case. White space inside becomes single spaces.
func sentences(text string) []string {
	var out []string
	from := 0
	cut := func(to int) {
		if s := strings.Join(strings.Fields(text[from:to]), " "); s != "" {
			out = append(out, s)
		}
		from = to
	}
	for i, r := range text {
		after := i + utf8.RuneLen(r)
		if r == utf8.RuneError || after <= from {
			continue
		}
		switch r {
		case '\n':
			if !goesOn(text[after:]) {
				cut(after)
			}
		case '。', '！', '？', '｡':
			cut(closing(text, after))
		case '.', '!', '?', '…', '؟', '।':
			end := closing(text, after)
			if end < from || end < len(text) && !startsSpace(text[end:]) {
				continue
			}
			if r == '.' && (abbreviated(text[from:i]) || startsLower(text[end:])) {
				continue
			}
			cut(end)
		}
	}
	cut(len(text))
	return out
}

// closing steps over quotes and brackets that belong to the sentence before, and
// over repeated marks.
func closing(text string, i int) int {
	for i < len(text) {
		r, n := utf8.DecodeRuneInString(text[i:])
		if !strings.ContainsRune(`"')]}»”’」』）】!?.…。！？`, r) {
			break
		}
		i += n
	}
	return i
}

func startsSpace(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsSpace(r)
}

func startsLower(s string) bool {
	r, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(s, unicode.IsSpace))
	return unicode.IsLower(r)
}

// goesOn tells that the line after a line end continues a wrapped sentence.
func goesOn(next string) bool {
	r, _ := utf8.DecodeRuneInString(strings.TrimLeft(next, " \t"))
	return unicode.IsLower(r)
}

// abbreviated tells that a full stop after s ends a shortened word, an initial, or
// the number of a list's item.
func abbreviated(s string) bool {
	last := s
	if i := strings.LastIndexFunc(s, unicode.IsSpace); i >= 0 {
		_, n := utf8.DecodeRuneInString(s[i:])
		last = s[i+n:]
	}
	last = strings.ToLower(strings.TrimLeft(last, `("'“‘[`))
	if abbreviations[last] {
		return true
	}
	if r, n := utf8.DecodeRuneInString(last); n == len(last) && unicode.IsLetter(r) {
		return true
	}
	return last != "" && strings.TrimSpace(s) == last && strings.Trim(last, "0123456789") == ""
}
