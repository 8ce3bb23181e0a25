package embedded

import (
	"cmp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// quotePassages answers from passages: their closest sentences as they stand, in the order
// of the passages, each with the number that cites it.
func quotePassages(g *ai.Grounds) []string {
	var quotes []quote
	for i, p := range g.Passages {
		for j, s := range sentences(p.Text) {
			if utf8.RuneCountInString(s) <= maxChars && len(quotes) < maxSentences {
				q := newQuote(s, "", i, j == 0)
				q.cite = p.ID
				quotes = append(quotes, q)
			}
		}
	}
	chosen := closest(g.Question, quotes)
	slices.SortStableFunc(chosen, func(x, y quote) int { return cmp.Compare(x.ago, y.ago) })
	if len(chosen) == 0 {
		return []string{ai.Ungrounded}
	}
	parts := make([]string, len(chosen))
	for i, q := range chosen {
		parts[i] = q.text
		if q.cite > 0 {
			parts[i] += " [" + strconv.Itoa(q.cite) + "]"
		}
		if i > 0 {
			parts[i] = "\n" + parts[i]
		}
	}
	return parts
}
