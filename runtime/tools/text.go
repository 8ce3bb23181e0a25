package tools

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sentenceEnds end a sentence; those of East Asia need no white space after them.
const (
	sentenceEnds     = ".!?…"
	wideSentenceEnds = "。！？｡"
)

// cutText cuts a text into parts of at most most characters, at the last paragraph, line,
// sentence or word that fits.
func cutText(text string, most int) []string {
	var parts []string
	for {
		end := offsetOf(text, most)
		if end == len(text) {
			return append(parts, text)
		}
		cut := end
		for _, border := range []string{"\n\n", "\n", ". ", "。", " "} {
			if i := strings.LastIndex(text[:end], border); i > end/2 {
				cut = i + len(border)
				break
			}
		}
		parts = append(parts, text[:cut])
		text = text[cut:]
	}
}

// offsetOf is where character n begins, the text's end if there are fewer.
func offsetOf(text string, n int) int {
	if len(text) <= n {
		return len(text)
	}
	for i := range text {
		if n == 0 {
			return i
		}
		n--
	}
	return len(text)
}

// cutAtSentence cuts to most characters, at a sentence's end or else at a word's.
func cutAtSentence(text string, most int) string {
	end := offsetOf(text, most)
	if end == len(text) {
		return text
	}
	part := text[:end]
	for i := len(part); i > len(part)/2; {
		r, size := utf8.DecodeLastRuneInString(part[:i])
		if strings.ContainsRune(sentenceEnds+wideSentenceEnds, r) {
			return part[:i]
		}
		i -= size
	}
	end = offsetOf(text, most-1)
	if i := strings.LastIndexFunc(text[:end], unicode.IsSpace); i > 0 {
		end = i
	}
	return strings.TrimRightFunc(text[:end], unicode.IsSpace) + "…"
}

// sentences cuts a text at the ends of sentences and lines.
func sentences(text string) []string {
	var out []string
	begin := 0
	add := func(end int) {
		if s := strings.TrimSpace(text[begin:end]); s != "" {
			out = append(out, strings.Join(strings.Fields(s), " "))
		}
		begin = end
	}
	for i, r := range text {
		after := i + utf8.RuneLen(r)
		next, _ := utf8.DecodeRuneInString(text[min(after, len(text)):])
		switch {
		case r == '\n', strings.ContainsRune(wideSentenceEnds, r):
			add(after)
		case strings.ContainsRune(sentenceEnds, r) && (after >= len(text) || unicode.IsSpace(next)):
			add(after)
		}
	}
	add(len(text))
	return out
}

// extract sums up without a model: the sentences whose words are the text's own most
// frequent ones, the first somewhat before the others, in the text's order.
func extract(text string, most int, points bool) string {
	all := sentences(text)
	counts := map[string]int{}
	for _, s := range all {
		for _, w := range words(s) {
			counts[w]++
		}
	}
	type ranked struct {
		at     int
		weight float64
	}
	order := make([]ranked, len(all))
	for i, s := range all {
		ws := words(s)
		sum := 0.0
		for _, w := range ws {
			sum += float64(counts[w])
		}
		// Short sentences must not win by one word, nor long ones by their length.
		order[i] = ranked{i, sum / float64(len(ws)+5) * (1 + 1/float64(i+1))}
	}
	slices.SortStableFunc(order, func(a, b ranked) int { return cmp.Compare(b.weight, a.weight) })
	var chosen []int
	left := most
	for _, r := range order {
		n := utf8.RuneCountInString(all[r.at]) + 3
		if n-1 <= left {
			chosen, left = append(chosen, r.at), left-n
		}
	}
	if len(chosen) == 0 && len(order) > 0 {
		return cutAtSentence(all[order[0].at], most)
	}
	slices.Sort(chosen)
	picked := make([]string, len(chosen))
	for i, at := range chosen {
		picked[i] = all[at]
		if points {
			picked[i] = "- " + all[at]
		}
	}
	if points {
		return strings.Join(picked, "\n")
	}
	return strings.Join(picked, " ")
}

// words are a text's words of meaning, in lower case.
func words(text string) []string {
	fields := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.DeleteFunc(fields, func(w string) bool { return utf8.RuneCountInString(w) < 3 || stopWords[w] })
}

// stopWords tell nothing of what a text is about.
var stopWords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`the and for are was were with that this from have has had not but you your our their its they she his her
		will would can could should may might shall been being than then them these those there here what when where which who whom why how
		all any each few more most other some such only own same too very just also into over under again about after before between
		der die das und ist nicht mit ein eine einen einem einer des dem den von zu zum zur auf aus bei nach wie als auch oder sich sind
		les des une est pas que qui dans pour par sur avec los las una del que por para con`) {
		m[w] = true
	}
	return m
}()
